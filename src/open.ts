/**
 * From an address to a device: opens what the address names, and chooses the driver for it.
 *
 * @module
 */

import { parsePciAddress } from "./pci/address.ts";
import { Config, ETHERNET_CONTROLLER, hex16, type PciFunction } from "./pci/function.ts";
import { ifReadable, linkName, readText } from "../native/files.ts";
import { stoppable } from "../native/stop.ts";
import { SysfsFunction } from "./pci/sysfs.ts";
import { VfioFunction } from "./pci/vfio.ts";
import { VfioUserFunction } from "./pci/vfio_user.ts";
import type { Device, OpenOptions } from "./device.ts";
import type { Driver, PciDriver } from "./driver.ts";
import { DeviceError, UsageError } from "./errors.ts";
import type { MempoolOptions } from "./mempool.ts";
import { checkOptions } from "./options.ts";

const PCI_DEVICES = "/sys/bus/pci/devices";
const SCHEME = /^([a-z][a-z0-9-]*):(.+)$/;

/**
 * Opens a device.
 *
 * @param address `0000:03:00.0` (or `03:00.0`) for a PCI function, accessed through VFIO if it is bound
 * to vfio-pci, else through sysfs; `vfio-user:PATH` for one that another process serves on a Unix
 * socket; `SCHEME:PATH` with the scheme of a driver.
 * @param drivers The drivers to choose from.
 * @throws {UsageError} if the address is malformed; the device does not exist, is in use or is not
 * supported; or a permission is missing. Nothing has changed then.
 * @throws {DeviceError} if the device does not follow its specification, or is gone or powered down.
 * @throws {StopError} if a StopFlag has caught a signal.
 */
export function openDevice(
  address: string,
  drivers: readonly Driver[],
  options: OpenOptions = {},
): Promise<Device> {
  return stoppable(() => openStoppable(address, drivers, options));
}

/** How the packets of a pool lie in its memory. */
export type PoolLayout = Required<Pick<MempoolOptions, "headroom" | "spread">>;

/**
 * Returns the layout of a pool that suits devices: the most headroom that one of them has use for, or 0 if one has
 * none; spread if all of them take that. Opens no device.
 *
 * @param addresses Addresses as for {@linkcode openDevice}. One that names no device counts as without use.
 * @throws {SystemError} if the kernel does not tell the vendor of a PCI function that exists.
 */
export function layoutFor(addresses: readonly string[], drivers: readonly Driver[]): PoolLayout {
  const found = addresses.map((address) => driverAt(address, drivers));
  const wanted = found.map((driver) => driver?.headroom ?? 0);
  return {
    headroom: wanted.includes(0) ? 0 : Math.max(0, ...wanted),
    spread: found.length > 0 && found.every((driver) => driver?.spread),
  };
}

/** Returns the driver for the scheme of an address, or for the vendor of a PCI function. */
function driverAt(address: string, drivers: readonly Driver[]): Driver | undefined {
  const pci = parsePciAddress(address);
  if (pci === undefined) {
    const [, scheme = ""] = SCHEME.exec(address) ?? [];
    return drivers.find(({ schemes }) => schemes?.includes(scheme));
  }
  const vendor = ifReadable(() => readText(`${PCI_DEVICES}/${pci}/vendor`));
  return drivers.find((driver) => driver.vendor === Number(vendor ?? NaN));
}

async function openStoppable(
  address: string,
  drivers: readonly Driver[],
  options: OpenOptions,
): Promise<Device> {
  checkOptions(address, options);
  const [, scheme = "", path = ""] = SCHEME.exec(address) ?? [];
  const connector = drivers.find((driver) => driver.schemes?.includes(scheme));
  if (connector?.connect) return await connector.connect(address, path, options);
  const pci = await openFunction(address, options);
  if (!pci) throw badAddress(address, drivers);
  using opened = new DisposableStack();
  opened.adopt(pci, (pci) => pci.close());
  const device = await driverOf(pci, drivers).attach(pci, options);
  opened.move(); // the device owns the function now
  return device;
}

/** Opens the PCI function that an address names; returns undefined if it does not name one. */
async function openFunction(
  address: string,
  options: OpenOptions,
): Promise<PciFunction | undefined> {
  const pci = parsePciAddress(address);
  if (pci !== undefined) return openPci(pci, options);
  const [, scheme, path] = SCHEME.exec(address) ?? [];
  return scheme === "vfio-user" ? await VfioUserFunction.open(address, path) : undefined;
}

/** Opens a PCI function through VFIO if it is bound to vfio-pci, else through sysfs. */
function openPci(address: string, { rebind, guard }: OpenOptions): PciFunction {
  const driver = linkName(`${PCI_DEVICES}/${address}/driver`);
  const group = linkName(`${PCI_DEVICES}/${address}/iommu_group`);
  if (driver === "vfio-pci" && group !== undefined) return new VfioFunction(address, group);
  return new SysfsFunction(address, PCI_DEVICES, { rebind, guard });
}

function driverOf(pci: PciFunction, all: readonly Driver[]): PciDriver {
  const drivers = all.filter(isPciDriver);
  const vendor = pci.readConfig(Config.VENDOR_ID, 2);
  const id = pci.readConfig(Config.DEVICE_ID, 2);
  const deviceClass = pci.readConfig(Config.CLASS, 2);
  if (vendor === 0xffff) {
    throw new DeviceError(
      pci.address,
      "configuration space reads as ones, so the device is gone or powered down: rescan the PCI bus or reboot",
    );
  }
  const driver = drivers.find((candidate) => candidate.vendor === vendor);
  if (driver && deviceClass === ETHERNET_CONTROLLER) return driver;
  const device = `device ${hex16(vendor)}:${hex16(id)} of class ${hex16(deviceClass)}`;
  if (deviceClass !== ETHERNET_CONTROLLER) {
    throw new UsageError(
      `${pci.address}: ${device} is not supported, because it is not an Ethernet controller (class ` +
        `${hex16(ETHERNET_CONTROLLER)}): \`lspci -Dnn -d ::0200\` lists the Ethernet controllers`,
    );
  }
  throw new UsageError(
    `${pci.address}: ${device} is not supported: use an Ethernet controller of ` +
      drivers.map((d) => `${d.name} (vendor ${hex16(d.vendor)})`).join(" or "),
  );
}

function isPciDriver(driver: Driver): driver is PciDriver {
  return driver.vendor !== undefined && driver.attach !== undefined;
}

function badAddress(address: string, drivers: readonly Driver[]): UsageError {
  const schemes = (of: readonly Driver[]) => of.flatMap((driver) => driver.schemes ?? []);
  const interfaces = drivers.filter(({ names }) => names === "interface");
  const sockets = drivers.filter((driver) => !interfaces.includes(driver));
  const paths = ["vfio-user", ...schemes(sockets)].map((scheme) => `${scheme}:PATH`);
  const names = schemes(interfaces).map((scheme) => `, or ${scheme}:NAME (a network interface)`);
  return new UsageError(
    `"${address}" is not a device address: use 0000:03:00.0 (a PCI function, as \`lspci -D\` ` +
      `shows it) or ${paths.join(" or ")} (the Unix socket of a device)${names.join("")}`,
  );
}
