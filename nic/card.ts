/**
 * Access to the registers of an 82599, X540 or X550, whether or not a driver is using it. Claims and
 * enables nothing. The kernel does not allow it while the card is bound to vfio-pci. Part of the program
 * `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import { INTEL, type Model, modelOf } from "../ixgbe/models.ts";
import { STATUS } from "../ixgbe/registers.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { type Bar, Config, hex16 } from "../src/pci/function.ts";
import { openResource } from "../src/pci/resource_file.ts";
import { VfioUserFunction } from "../src/pci/vfio_user.ts";
import { Registers } from "../src/registers.ts";
import { checkAwake } from "./registers.ts";
import type { System } from "./system.ts";

/** Value of every register of a function that is asleep or gone. */
const ONES = 0xffffffff;

/** A card. */
export interface Card {
  /** Its address, as the caller gave it. */
  readonly address: string;
  /** Its model. */
  readonly model: Model;
  /** Its registers. */
  readonly regs: Registers;
}

/** What a command does with a card, for messages. */
export interface Purpose {
  /** The command of `nic.ts`. */
  readonly command: string;
  /** The kernel's way to do it: `ethtool -m`. */
  readonly instead: string;
  /** Refuses a model that the command does not support. */
  readonly check?: (address: string, model: Model) => void;
}

/**
 * Runs an action on a card's registers.
 *
 * @param name A PCI address, or `vfio-user:PATH` for a function that another process serves.
 * @throws {UsageError} if the card is not supported, the kernel does not let this process access its
 * registers, or they are turned off.
 * @throws {DeviceError} if the function is asleep or gone.
 */
export async function withCard<T>(
  system: System,
  name: string,
  purpose: Purpose,
  action: (card: Card) => T | Promise<T>,
): Promise<T> {
  const remote = /^vfio-user:(.+)$/.exec(name);
  if (remote) return await withRemote(name, remote[1], purpose, action);
  const { address, device, driver } = system.function(name);
  purpose.check?.(address, modelOf(address, device));
  checkAwake(system, address);
  const user = driver === null ? "a program" : `the driver ${driver}`;
  const remedy = `the kernel reserves the registers for ${user}: boot with iomem=relaxed, or use ` +
    `\`${purpose.instead}\``;
  const bar = openResource(address, `${system.devices}/${address}`, 0, false, remedy);
  try {
    return await action(cardOf(address, device, bar));
  } finally {
    bar.close();
  }
}

async function withRemote<T>(
  address: string,
  socket: string,
  { command, check }: Purpose,
  action: (card: Card) => T | Promise<T>,
): Promise<T> {
  const pci = new VfioUserFunction(address, socket);
  try {
    const vendor = pci.readConfig(Config.VENDOR_ID, 2);
    if (vendor !== INTEL) {
      throw new UsageError(
        `${address}: ${command} does not support devices of vendor ${hex16(vendor)}, only of 8086`,
      );
    }
    const device = pci.readConfig(Config.DEVICE_ID, 2);
    check?.(address, modelOf(address, device));
    return await action(cardOf(address, device, pci.bar(0)));
  } finally {
    pci.close();
  }
}

function cardOf(address: string, device: number, bar: Bar): Card {
  const model = modelOf(address, device), regs = new Registers(bar, address);
  if (regs.read(STATUS) !== ONES) return { address, model, regs };
  throw new DeviceError(
    address,
    "registers read as ones: the device is asleep or gone, see dmesg",
  );
}
