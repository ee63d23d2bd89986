/**
 * How the self-test reaches the ports of the command line.
 *
 * @module
 */

import { IxgbeDevice } from "../../ixgbe/device.ts";
import { open, type OpenOptions, UsageError } from "../../mod.ts";
import { Command, Config } from "../../src/pci/function.ts";
import { readBytes } from "../../native/files.ts";
import { identify } from "../drivers.ts";
import type { System } from "../system.ts";
import type { Access } from "./check.ts";

const SOCKET = /^vfio-user:.+$/;
/** Why a port without VFIO has no interrupts. */
const NO_INTERRUPTS = "interrupts are not available through sysfs";
/** Bytes of configuration space that every user may read. */
const CONFIG_HEADER = 64;

/**
 * Returns how to reach ports. Changes nothing.
 *
 * @throws {UsageError} if an address is malformed, names no device or one of another driver, or both
 * are the same.
 */
export function accessesTo(system: System, addresses: readonly string[]): Access[] {
  const accesses = addresses.map((address, i) => {
    return SOCKET.test(address) ? remote(address, i + 1) : local(system, address, i + 1);
  });
  if (new Set(accesses.map(({ address }) => address)).size === accesses.length) return accesses;
  throw new UsageError("selftest takes two different ports: give one address, or another one");
}

function remote(address: string, number: number): Access {
  return {
    number,
    address,
    open: (options) => openIxgbe(address, options),
    noInterrupts: undefined,
    isBusMaster: () => undefined,
  };
}

function local(system: System, name: string, number: number): Access {
  if (/^vhost-user(-server)?:/.test(name)) throw unsupported(name);
  const found = system.function(name), { address, driver, group } = found;
  if (identify(found).driver === "virtio") throw unsupported(address);
  const vfio = driver === "vfio-pci" && group !== null;
  return {
    number,
    address,
    open: (options) => openIxgbe(address, options),
    noInterrupts: vfio ? undefined : NO_INTERRUPTS,
    isBusMaster() {
      const config = readBytes(`${system.devices}/${address}/config`, CONFIG_HEADER);
      return (config[Config.COMMAND] & Command.BUS_MASTER) !== 0;
    },
  };
}

async function openIxgbe(address: string, options: OpenOptions): Promise<IxgbeDevice> {
  const device = await open(address, options);
  if (device instanceof IxgbeDevice) return device;
  device.close();
  throw unsupported(address);
}

function unsupported(address: string): UsageError {
  return new UsageError(
    `${address}: selftest does not support VirtIO devices, only an 82599, X540 or X550`,
  );
}
