/**
 * Binds a function to vfio-pci or to its kernel driver, or unbinds it. Only the kernel keeps the
 * state: it is lost when the function is plugged in again, or the machine restarts.
 *
 * @module
 */

import { Errno, Open, path, stubs, SystemError } from "../native/stubs.ts";
import { waitUntil } from "../native/clock.ts";
import { linkName, writeText } from "../native/files.ts";
import { ETHERNET_CONTROLLER, hex16 } from "../src/pci/function.ts";
import { SysfsFunction } from "../src/pci/sysfs.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { inUse } from "./drivers.ts";
import type { FunctionFiles, System } from "./system.ts";

const VFIO_PCI = "vfio-pci";
/** Longest that a driver may take to create its interface, in milliseconds. */
const INTERFACE_MS = 2000;
const POLL_MS = 20;

/** The result of binding a function. */
export interface Binding {
  /** Domain, bus, device and function. */
  readonly address: string;
  /** The driver that it was bound to before, or null. */
  readonly before: string | null;
  /** The driver that it is bound to now, or null. */
  readonly driver: string | null;
  /** Its kernel interfaces. */
  readonly interfaces: readonly string[];
  /** The file that a user needs access to for VFIO, or null if it is not bound to vfio-pci. */
  readonly file: string | null;
  /** What is still to be done before it can be used. */
  readonly notes: readonly string[];
}

/**
 * Binds a function to vfio-pci, or unbinds it.
 *
 * @param force Whether to bind it even if the kernel uses it, or it is not an Ethernet controller.
 * @throws {UsageError} if it is in use, vfio-pci or an IOMMU group is missing, or the user is not
 * root. Nothing has changed then.
 * @throws {DeviceError} if vfio-pci does not accept it. It is bound to its kernel driver again
 * then.
 */
export function bind(
  system: System,
  name: string,
  driver: "vfio-pci" | "none",
  force: boolean,
): Binding {
  const before = system.function(name);
  const { address } = before;
  if (!force) checkFree(before);
  if (driver === VFIO_PCI) checkVfio(system, before);
  const already = before.driver === (driver === VFIO_PCI ? VFIO_PCI : null);
  if (already) return binding(system, before);
  const release = hold(system, before, false);
  try {
    const directory = `${system.devices}/${address}`;
    writeText(`${directory}/driver_override`, driver === VFIO_PCI ? VFIO_PCI : "\n");
    try {
      unbind(directory, address);
    } catch (error) {
      writeText(`${directory}/driver_override`, before.driverOverride ?? "\n");
      throw error;
    }
    if (driver === VFIO_PCI) probeVfio(system, address);
  } finally {
    release();
  }
  return binding(system, before);
}

/**
 * Binds a function to its kernel driver.
 *
 * @throws {UsageError} if a program is using it, or the user is not root. Nothing has changed then.
 * @throws {DeviceError} if no kernel driver accepts it.
 */
export async function restore(system: System, name: string): Promise<Binding> {
  const before = system.function(name);
  const { address } = before;
  const directory = `${system.devices}/${address}`;
  const kernels = before.driver !== null && before.driver !== VFIO_PCI;
  if (!kernels || before.driverOverride !== null) {
    const release = hold(system, before, !kernels);
    try {
      writeText(`${directory}/driver_override`, "\n");
      if (!kernels) {
        unbind(directory, address);
        writeText(system.file("/sys/bus/pci/drivers_probe"), address);
      }
    } finally {
      release();
    }
  }
  const driver = linkName(`${directory}/driver`) ?? null;
  if (driver === null) {
    const alias = system.text(`/sys/bus/pci/devices/${address}/modalias`) ?? "its modalias";
    throw new DeviceError(
      address,
      `no kernel driver accepts it: load the module with \`modprobe ${alias}\``,
    );
  }
  const present = () => system.function(address).interfaces.length > 0;
  await waitUntil(INTERFACE_MS, present, POLL_MS);
  const result = binding(system, before);
  if (result.interfaces.length > 0) return result;
  return { ...result, notes: ["it has no interface yet: see dmesg for the driver's messages"] };
}

/** Refuses a function that the kernel uses, or that is not a network card. */
function checkFree(found: FunctionFiles): void {
  const { address, class: deviceClass } = found;
  if (deviceClass !== ETHERNET_CONTROLLER) {
    throw new UsageError(
      `${address}: not an Ethernet controller (class ${hex16(deviceClass)}): use --force if the ` +
        "kernel does not need it",
    );
  }
  for (const { problem, remedy } of inUse(found)) {
    throw new UsageError(`${address}: ${problem}: ${remedy}, or use --force`);
  }
}

function checkVfio(system: System, { address, group }: FunctionFiles): void {
  if (group === null) {
    throw new UsageError(
      `${address}: vfio-pci needs an IOMMU, and it has none: turn VT-d or AMD-Vi on in the ` +
        `firmware ` +
        "and boot with intel_iommu=on, or drive it through sysfs, as root and with hugepages",
    );
  }
  if (!system.has("/sys/bus/pci/drivers", VFIO_PCI)) {
    throw new UsageError(`${address}: vfio-pci is not loaded: run \`modprobe vfio-pci\``);
  }
}

/**
 * Locks the function against programs of this project, and checks that none has it open. Without
 * the check, unbinding would wait in the kernel until a program that uses it by VFIO ends.
 *
 * @returns Ends the lock.
 */
function hold(
  system: System,
  { address, driver, group }: FunctionFiles,
  forKernel: boolean,
): () => void {
  const pci = new SysfsFunction(address, system.devices);
  // vfio-pci may take another function of a group that is in use; a kernel driver may not.
  if (group === null || (driver !== VFIO_PCI && !forKernel)) return () => pci.close();
  const file = system.file(`/dev/vfio/${group.number}`);
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd === -Errno.EBUSY) {
    pci.close();
    throw new UsageError(`${address}: another program is using the device's ${file}: end it`);
  }
  if (fd >= 0) stubs.ixy_close(fd); // vfio-pci cannot be unbound while it is open
  return () => pci.close();
}

function unbind(directory: string, address: string): void {
  if (linkName(`${directory}/driver`) === undefined) return;
  writeText(`${directory}/driver/unbind`, address);
}

/**
 * Makes the kernel probe for vfio-pci alone; if that does not accept the function, for any driver.
 */
function probeVfio(system: System, address: string): void {
  const directory = `${system.devices}/${address}`,
    probe = system.file("/sys/bus/pci/drivers_probe");
  let problem = "";
  try {
    writeText(probe, address);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    problem = ` (${error.message})`;
  }
  if (linkName(`${directory}/driver`) === VFIO_PCI) return;
  writeText(`${directory}/driver_override`, "\n");
  writeText(probe, address);
  throw new DeviceError(
    address,
    `vfio-pci does not accept it${problem}, and it was given back: see dmesg`,
  );
}

function neighbours({ group }: FunctionFiles): string[] {
  return group!.others.filter(({ blocks }) => blocks).map(({ address, driver }) =>
    `kernel driver ${driver} has ${address} of the same IOMMU group, which the kernel and ` +
    `programs cannot share: run \`nic.ts bind ${address} none\``
  );
}

function binding(system: System, before: FunctionFiles): Binding {
  const now = system.function(before.address);
  const vfio = now.driver === VFIO_PCI;
  return {
    address: now.address,
    before: before.driver,
    driver: now.driver,
    interfaces: now.interfaces.map(({ name }) => name),
    file: vfio && now.group !== null ? system.file(`/dev/vfio/${now.group.number}`) : null,
    notes: vfio && now.group !== null ? neighbours(now) : [],
  };
}
