/**
 * Reads the module in the SFP+ cage of an 82599, whether or not a driver is using the card: software and
 * firmware share the module's bus by semaphores. Claims and enables nothing; writes the bus and the
 * semaphores. Part of the program `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import { INTEL, modelOf } from "../ixgbe/models.ts";
import { LINKS, STATUS } from "../ixgbe/registers.ts";
import { SfpLink } from "../ixgbe/sfp_link.ts";
import { identifyModule, seesSignal } from "../ixgbe/sfp_module.ts";
import type { LinkModule } from "../src/device.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { type Bar, Config, hex16 } from "../src/pci/function.ts";
import { openResource } from "../src/pci/resource_file.ts";
import { VfioUserFunction } from "../src/pci/vfio_user.ts";
import { Registers } from "../src/registers.ts";
import { checkAwake } from "./registers.ts";
import type { FunctionFiles, System } from "./system.ts";

/** Value of every register of a function that is asleep or gone. */
const ONES = 0xffffffff;

/** What is in a card's cage. */
export interface ModuleReport {
  /** The card's address, as the caller gave it. */
  readonly address: string;
  /** The card's model. */
  readonly model: string;
  /** The module; null if none was found. */
  readonly module: LinkModule | null;
  /** Why none was found; null if one was. */
  readonly problem: string | null;
  /** Whether a signal arrives at the module, by its diagnostics; null if it does not say. */
  readonly signal: boolean | null;
  /** Whether the link is up. */
  readonly up: boolean;
}

/** Reads the module of a function that another process serves: the software NIC. */
export async function moduleOfRemote(address: string, socket: string): Promise<ModuleReport> {
  const pci = new VfioUserFunction(address, socket);
  try {
    const vendor = pci.readConfig(Config.VENDOR_ID, 2);
    if (vendor !== INTEL) {
      throw new UsageError(
        `${address}: module does not support devices of vendor ${hex16(vendor)}, only of 8086`,
      );
    }
    return await report(address, pci.readConfig(Config.DEVICE_ID, 2), pci.bar(0));
  } finally {
    pci.close();
  }
}

/**
 * Reads the module of a PCI function.
 *
 * @throws {UsageError} if the card has no cage for SFP+ modules, the kernel does not let this process
 * access its registers, or they are turned off.
 * @throws {DeviceError} if the function is asleep or gone.
 */
export async function moduleOf(system: System, found: FunctionFiles): Promise<ModuleReport> {
  const { address, device } = found;
  checkCage(address, device);
  checkAwake(system, address);
  const user = found.driver === null ? "a program" : `the driver ${found.driver}`;
  const remedy = `the kernel reserves the registers for ${user}: boot with iomem=relaxed, or use ` +
    "`ethtool -m`";
  const bar = openResource(address, `${system.devices}/${address}`, 0, false, remedy);
  try {
    return await report(address, device, bar);
  } finally {
    bar.close();
  }
}

function checkCage(address: string, device: number): string {
  const model = modelOf(address, device);
  if (SfpLink.fits(model)) return model.name;
  throw new UsageError(
    `${address}: module does not support ${model.name}, only an 82599 with a cage for SFP+`,
  );
}

async function report(address: string, device: number, bar: Bar): Promise<ModuleReport> {
  const model = checkCage(address, device), regs = new Registers(bar, address);
  if (regs.read(STATUS) === ONES) {
    throw new DeviceError(
      address,
      "registers read as ones: the device is asleep or gone, see dmesg",
    );
  }
  const up = (regs.read(LINKS) & LINKS.UP) !== 0;
  const found = await identifyModule(regs);
  if (found.module === undefined) {
    return { address, model, module: null, problem: found.problem, signal: null, up };
  }
  const { kind, vendor, part, serial, megabits, warnings } = found.module;
  const module = { kind, vendor, part, serial, megabits, warnings };
  const signal = await seesSignal(regs, found.module) ?? null;
  return { address, model, module, problem: null, signal, up };
}

/** Formats a report as lines of text. */
export function* formatModule(found: ModuleReport): Generator<string> {
  const { address, model, module, problem, signal, up } = found;
  yield `${address}: ${model}`;
  if (module === null) {
    yield `  module    none found: ${problem}`;
  } else {
    yield `  module    ${module.kind}`;
    yield `  vendor    ${module.vendor}, part ${module.part}, serial ${module.serial}`;
    const speeds = module.megabits.map((speed) => speed / 1000).join(" and ");
    yield `  speed     ${speeds} Gbit/s`;
    if (signal !== null) yield `  signal    ${signal ? "arrives" : "does not arrive"}`;
    for (const warning of module.warnings) yield `  warning   ${warning}`;
  }
  yield `  link      ${up ? "up" : "down"}`;
}
