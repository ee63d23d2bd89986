/**
 * Dumps the registers of an 82599, X540 or X550, whether or not a driver is using it. Claims,
 * enables and writes nothing. The kernel does not allow it while the card is bound to vfio-pci.
 * Part of the program `nic.ts`, and therefore above the drivers.
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
/** Value of every register of a function that is asleep or gone. */
const ONES = 0xffffffff;

/** Dump of an ixgbe function. */
export interface IxgbeDump extends Dump {
  /** Its address, as the caller gave it. */
  readonly address: string;
  /** Its model. */
  readonly model: string;
}

/** Which registers to read. */
export interface DumpOptions {
  /** Names of registers; all if empty. */
  readonly names: readonly string[];
  /** Whether to read registers that reading changes. */
  readonly all: boolean;
}

/** Reads the registers of a function that another process serves: the software NIC. */
export function dumpRemote(address: string, socket: string, options: DumpOptions): IxgbeDump {
  select(REGISTERS, options.names); // checks the names before the device is opened
  const pci = new VfioUserFunction(address, socket);
  try {
    const vendor = pci.readConfig(Config.VENDOR_ID, 2);
    if (vendor !== INTEL) {
      throw new UsageError(
        `${address}: regs does not support devices of vendor ${hex16(vendor)}, only of 8086`,
      );
    }
    return dumpBar(address, pci.readConfig(Config.DEVICE_ID, 2), pci.bar(0), options);
  } finally {
    pci.close();
  }
}

/**
 * Reads the registers of a PCI function, whether or not a driver is using it.
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
  const remedy = `the kernel reserves the registers for ${user}: boot with iomem=relaxed, or use ` +
    "`ethtool -d`";
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
    throw new DeviceError(
      address,
      "registers read as ones: the device is asleep or gone, see dmesg",
    );
  }
  const registers = select(REGISTERS, options.names).filter((register) => {
    return options.names.length > 0 || has(model.mac, register.section);
  });
  const dumped = dump(bar, registers, reading(model.mac, options.all));
  return { address, model: model.name, ...dumped };
}

/** Formats a dump as lines of text. */
export function* formatDump(found: IxgbeDump): Generator<string> {
  yield `${found.address}: ${found.model}`;
  yield* format(found, Object.values(REGISTERS));
  const reasons = Map.groupBy(found.skipped, ({ reason }) => reason);
  for (const [reason, skipped] of reasons) {
    yield `not read, because ${reason}: ${skipped.map(({ name }) => name).join(" ")}`;
  }
}

/** Returns which registers of a MAC to skip, from the effects of reading in the register table. */
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
      if (register.access === "WO") return "it is write-only";
      const found = effect(register);
      return found?.takes && `reading ${found.does}`;
    },
  };
}

/**
 * Returns whether a MAC has what a section describes; other sections than the 82599's name theirs.
 */
function has(mac: Mac, section: string): boolean {
  if (section.startsWith("X550")) return mac === "X550";
  return !section.startsWith("X540") || mac !== "82599";
}

/**
 * Refuses a function whose registers are turned off, since turning them on would change it.
 *
 * @throws {UsageError} if they are off.
 */
export function checkAwake(system: System, address: string): void {
  const directory = `${system.devices}/${address}`;
  const config = new DataView(readBytes(`${directory}/config`, CONFIG_HEADER).buffer);
  const command = config.getUint16(Config.COMMAND, true);
  const power = ifReadable(() => readText(`${directory}/power_state`)) ?? "unknown";
  if ((command & Command.MEMORY) !== 0 && !power.startsWith("D3")) return;
  throw new UsageError(
    `${address}: its registers are turned off (COMMAND ${hex16(command)}, power state ${power}): ` +
      "start a driver first",
  );
}

/** Returns a BAR that refuses writes, because the mapping itself allows them. */
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
