/**
 * From an address to a device: the bus that the address names, and the driver that knows the function.
 *
 * @module
 */

import { type Bus, Config } from "./bus/bus.ts";
import { SysfsBus } from "./bus/sysfs.ts";
import { VfioUserBus } from "./bus/vfio_user.ts";
import type { Device, Driver, OpenOptions } from "./device.ts";
import { UsageError } from "./errors.ts";

const PCI = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i;
const ETHERNET_CONTROLLER = 0x0200;

/**
 * Opens a device.
 *
 * @param address `0000:03:00.0` (or `03:00.0`) for a PCI function, `vfio-user:PATH` for one that
 * another process serves on a Unix socket.
 * @param drivers The drivers to choose from.
 * @throws {UsageError} if the address has no such form, there is no such device, it is in use, not
 * supported, or permission is missing. Nothing was changed then.
 * @throws {DeviceError} if the device does not do as its specification says.
 */
export async function openDevice(
  address: string,
  drivers: readonly Driver[],
  options: OpenOptions = {},
): Promise<Device> {
  const bus = openBus(address);
  try {
    return await driverOf(bus, drivers).attach(bus, options);
  } catch (error) {
    bus.close();
    throw error;
  }
}

function openBus(address: string): Bus {
  const pci = PCI.exec(address);
  if (pci) return new SysfsBus(`${pci[1] ?? "0000"}:${pci[2]}`.toLowerCase());
  const socket = /^vfio-user:(.+)$/.exec(address);
  if (socket) return new VfioUserBus(address, socket[1]);
  throw new UsageError(
    `"${address}" is no address of a device: use 0000:03:00.0 (a PCI function, as \`lspci -D\` ` +
      `shows it) or vfio-user:PATH (a socket that a device is served on)`,
  );
}

function driverOf(bus: Bus, drivers: readonly Driver[]): Driver {
  const vendor = bus.readConfig(Config.VENDOR_ID, 2);
  const id = bus.readConfig(Config.DEVICE_ID, 2);
  const deviceClass = bus.readConfig(Config.CLASS, 2);
  const driver = drivers.find((candidate) => candidate.vendor === vendor);
  if (driver && deviceClass === ETHERNET_CONTROLLER) return driver;
  const name = [vendor, id].map((n) => n.toString(16).padStart(4, "0")).join(":");
  throw new UsageError(
    `${bus.address}: device ${name} of class ${deviceClass.toString(16).padStart(4, "0")} is not ` +
      `supported: supported are ${drivers.map((d) => d.name).join(", ")} Ethernet controllers`,
  );
}
