/**
 * The registers of an 82599, X540 or X550 as they are now, whoever drives it, as far as the kernel lets
 * them be mapped (not while vfio-pci has the card): nothing is claimed, enabled or written. Part of the program `nic.ts`, and so above the drivers.
 *
 * @module
 */

import { INTEL, type Mac, modelOf } from "../ixgbe/models.ts";
import { REGISTERS, STATUS } from "../ixgbe/registers.ts";
import { type Bar, Command, Config, hex16 } from "../src/pci/function.ts";
import { VfioUserFunction } from "../src/pci/vfio_user.ts";
import { ifReadable, readBytes, readText } from "../native/files.ts";
import { openResource } from "../src/pci/resource_file.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { offsetOf, type Register } from "../src/registers.ts";
import { type Dump, dump, format, type Reading, select } from "./dump.ts";
import type { FunctionFiles, System } from "./system.ts";

/** Bytes of configuration space that every user may read. */
const CONFIG_HEADER = 64;
/** What a function reads that is asleep or gone. */
const ONES = 0xffffffff;

/** Dump of an ixgbe function. */
export interface IxgbeDump extends Dump {
  /** The address under which it was asked for. */
  readonly address: string;
  /** Its model. */
  readonly model: string;
}

/** What of a function's registers to read. */
export interface DumpOptions {
  /** Names of registers; all if there is none. */
  readonly names: readonly string[];
  /** Whether to read those too that change by being read. */
  readonly all: boolean;
}

/** Reads the registers of a function in another process: the software NIC. */
export function dumpRemote(address: string, socket: string, options: DumpOptions): IxgbeDump {
  select(REGISTERS, options.names); // before the device is bothered
  const pci = new VfioUserFunction(address, socket);
  try {
    const vendor = pci.readConfig(Config.VENDOR_ID, 2);
    if (vendor !== INTEL) {
      throw new UsageError(
        `${address}: no register table for a device of vendor ${hex16(vendor)}`,
      );
    }
    return dumpBar(address, pci.readConfig(Config.DEVICE_ID, 2), pci.bar(0), options);
  } finally {
    pci.close();
  }
}

/**
 * Reads the registers of a PCI function, whichever driver has it.
 *
 * @throws {UsageError} if the kernel does not let this process read them, or they are turned off.
 * @throws {DeviceError} if the function is asleep or gone.
 */
export function dumpFunction(
  system: System,
  found: FunctionFiles,
  options: DumpOptions,
): IxgbeDump {
  const { address, device } = found;
  select(REGISTERS, options.names);
  modelOf(address, device);
  checkAwake(system, address);
  const user = found.driver === null ? "a program" : `the driver ${found.driver}`;
  const remedy =
    `the kernel keeps registers for ${user} alone: boot with iomem=relaxed, or see what ` +
    "`ethtool -d` shows";
  const bar = openResource(address, `${system.devices}/${address}`, 0, false, remedy);
  try {
    return dumpBar(address, device, readOnly(bar), options);
  } finally {
    bar.close();
  }
}

function dumpBar(address: string, device: number, bar: Bar, options: DumpOptions): IxgbeDump {
  const model = modelOf(address, device);
  if (bar.read(offsetOf(STATUS), 4) >>> 0 === ONES) {
    throw new DeviceError(address, "registers read as ones: it is asleep or gone, see dmesg");
  }
  const registers = select(REGISTERS, options.names).filter((register) => {
    return options.names.length > 0 || has(model.mac, register.section);
  });
  const dumped = dump(bar, registers, reading(model.mac, options.all));
  return { address, model: model.name, ...dumped };
}

/** Lines for people. */
export function* formatDump(found: IxgbeDump): Generator<string> {
  yield `${found.address}: ${found.model}`;
  yield* format(found, Object.values(REGISTERS));
  const reasons = Map.groupBy(found.skipped, ({ reason }) => reason);
  for (const [reason, skipped] of reasons) {
    yield `not read, since ${reason}: ${skipped.map(({ name }) => name).join(" ")}`;
  }
}

/** What the table says of reading registers, for a MAC. */
function reading(mac: Mac, all: boolean): Reading {
  const effect = ({ readEffect, section }: Register) => {
    if (readEffect === null || !has(mac, readEffect.section ?? section)) return undefined;
    return readEffect;
  };
  return {
    all,
    changes: (register) => {
      const found = effect(register);
      return found && `reading ${found.does} (--all reads it)`;
    },
    never: (register) => {
      if (register.access === "WO") return "it can only be written";
      const found = effect(register);
      return found?.takes && `reading ${found.does}`;
    },
  };
}

/** Whether a MAC has what a section describes: those of other datasheets say which have it. */
function has(mac: Mac, section: string): boolean {
  if (section.startsWith("X550")) return mac === "X550";
  return !section.startsWith("X540") || mac !== "82599";
}

/** Refuses a function whose registers are turned off: turning them on would be a change. */
function checkAwake(system: System, address: string): void {
  const directory = `${system.devices}/${address}`;
  const config = new DataView(readBytes(`${directory}/config`, CONFIG_HEADER).buffer);
  const command = config.getUint16(Config.COMMAND, true);
  const power = ifReadable(() => readText(`${directory}/power_state`)) ?? "unknown";
  if ((command & Command.MEMORY) !== 0 && !power.startsWith("D3")) return;
  throw new UsageError(
    `${address}: its registers are turned off (COMMAND ${
      hex16(command)
    }, power state ${power}), as ` +
      "where no driver runs it: start one first",
  );
}

/** A BAR that nobody can write to by mistake: it is mapped for writing too. */
function readOnly(bar: Bar): Bar {
  const refuse = () => {
    throw new Error("a register dump writes nothing");
  };
  return {
    size: bar.size,
    read: (offset, bytes) => bar.read(offset, bytes),
    write: refuse,
    doorbell: refuse,
  };
}
