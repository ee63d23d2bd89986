/**
 * From an address to a device: the bus that the address names, and the driver that knows the function.
 *
 * @module
 */

import { parsePciAddress } from "./pci/address.ts";
import { Config, ETHERNET_CONTROLLER, hex16, type PciFunction } from "./pci/function.ts";
import { linkName } from "../native/files.ts";
import { SysfsFunction } from "./pci/sysfs.ts";
import { VfioFunction } from "./pci/vfio.ts";
import { VfioUserFunction } from "./pci/vfio_user.ts";
import type { Device, OpenOptions } from "./device.ts";
import type { Driver } from "./driver.ts";
import { UsageError } from "./errors.ts";
import { checkOptions } from "./options.ts";

const PCI_DEVICES = "/sys/bus/pci/devices";
const SCHEME = /^([a-z][a-z0-9-]*):(.+)$/;

/**
 * Opens a device.
 *
 * @param address `0000:03:00.0` (or `03:00.0`) for a PCI function, by VFIO if it is bound to vfio-pci
 * and by sysfs if not; `vfio-user:PATH` for one that another process serves on a Unix socket;
 * `SCHEME:PATH` with the scheme of a driver.
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
  checkOptions(address, options);
  const [, scheme = "", path = ""] = SCHEME.exec(address) ?? [];
  const connector = drivers.find((driver) => driver.scheme === scheme);
  if (connector?.connect) return await connector.connect(address, path, options);
  const pci = openFunction(address, options.rebind ?? false);
  if (!pci) throw badAddress(address, drivers);
  using opened = new DisposableStack();
  opened.adopt(pci, (pci) => pci.close());
  const device = await driverOf(pci, drivers).attach(pci, options);
  opened.move(); // the bus is the device's now
  return device;
}

/** The bus that an address names; undefined if it names none. */
function openFunction(address: string, rebind: boolean): PciFunction | undefined {
  const pci = parsePciAddress(address);
  if (pci !== undefined) return openPci(pci, rebind);
  const [, scheme, path] = SCHEME.exec(address) ?? [];
  return scheme === "vfio-user" ? new VfioUserFunction(address, path) : undefined;
}

/** VFIO where somebody has bound the function to it, else sysfs. */
function openPci(address: string, rebind: boolean): PciFunction {
  const driver = linkName(`${PCI_DEVICES}/${address}/driver`);
  const group = linkName(`${PCI_DEVICES}/${address}/iommu_group`);
  if (driver === "vfio-pci" && group !== undefined) return new VfioFunction(address, group);
  return new SysfsFunction(address, PCI_DEVICES, rebind);
}

function driverOf(pci: PciFunction, drivers: readonly Driver[]): Driver {
  const vendor = pci.readConfig(Config.VENDOR_ID, 2);
  const id = pci.readConfig(Config.DEVICE_ID, 2);
  const deviceClass = pci.readConfig(Config.CLASS, 2);
  const driver = drivers.find((candidate) => candidate.vendor === vendor);
  if (driver && deviceClass === ETHERNET_CONTROLLER) return driver;
  const device = `device ${hex16(vendor)}:${hex16(id)} of class ${hex16(deviceClass)}`;
  if (deviceClass !== ETHERNET_CONTROLLER) {
    throw new UsageError(
      `${pci.address}: ${device} is not supported, since it is no Ethernet controller (class ` +
        `${hex16(ETHERNET_CONTROLLER)}): \`lspci -Dnn -d ::0200\` shows those there are`,
    );
  }
  throw new UsageError(
    `${pci.address}: ${device} is not supported: supported are ` +
      `${
        drivers.map((d) => `${d.name} (vendor ${hex16(d.vendor)})`).join(", ")
      } Ethernet controllers`,
  );
}

function badAddress(address: string, drivers: readonly Driver[]): UsageError {
  const schemes = ["vfio-user", ...drivers.flatMap((driver) => driver.scheme ?? [])];
  return new UsageError(
    `"${address}" is no address of a device: use 0000:03:00.0 (a PCI function, as \`lspci -D\` ` +
      `shows it) or ${
        schemes.map((scheme) => `${scheme}:PATH`).join(" or ")
      } (a Unix socket that ` +
      "a device is served on)",
  );
}
