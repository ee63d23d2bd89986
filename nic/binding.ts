/**
 * Gives a function to vfio-pci, to no driver, or back to the kernel's own. Nothing is remembered but in
 * the kernel: a function that is plugged in again, or a machine that boots again, forgets it.
 *
 * @module
 */

import { Errno, Open, path, stubs, SystemError } from "../native/stubs.ts";
import { delay } from "../native/clock.ts";
import { linkName, writeText } from "../native/files.ts";
import { ETHERNET_CONTROLLER, hex16 } from "../src/pci/function.ts";
import { SysfsFunction } from "../src/pci/sysfs.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { inUse } from "./drivers.ts";
import type { FunctionFiles, System } from "./system.ts";

const VFIO_PCI = "vfio-pci";
/** A driver may make its interface a moment after it has taken the function, in milliseconds. */
const INTERFACE_MS = 2000;
const LOOK_MS = 20;

/** What has become of a function. */
export interface Binding {
  /** Domain, bus, device and function. */
  readonly address: string;
  /** The driver that had it before, or null. */
  readonly before: string | null;
  /** The driver that has it now, or null. */
  readonly driver: string | null;
  /** The kernel's interfaces on it now. */
  readonly interfaces: readonly string[];
  /** The file that a user needs permission for to drive it by VFIO, or null if vfio-pci has it not. */
  readonly file: string | null;
  /** What is still to be done before it can be used, if anything. */
  readonly notes: readonly string[];
}

/**
 * Binds a function to vfio-pci, or unbinds it.
 *
 * @param force Whether to do so although the kernel uses it, or although it is no Ethernet controller.
 * @throws {UsageError} if it is in use, vfio-pci or an IOMMU group is missing, or this is not root.
 * Nothing was changed then.
 * @throws {DeviceError} if vfio-pci does not take it; it was given back then.
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
 * Gives a function back to the kernel's own driver.
 *
 * @throws {UsageError} if a program is using it, or this is not root. Nothing was changed then.
 * @throws {DeviceError} if no kernel driver takes it.
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
      `no kernel driver takes it: load the module with \`modprobe ${alias}\``,
    );
  }
  const deadline = performance.now() + INTERFACE_MS;
  while (system.function(address).interfaces.length === 0 && performance.now() < deadline) {
    await delay(LOOK_MS);
  }
  const result = binding(system, before);
  if (result.interfaces.length > 0) return result;
  return { ...result, notes: ["it has no interface yet: see what dmesg says of the driver"] };
}

/** Refuses a function that the kernel needs, or that is no network card. */
function checkFree(found: FunctionFiles): void {
  const { address, class: deviceClass } = found;
  if (deviceClass !== ETHERNET_CONTROLLER) {
    throw new UsageError(
      `${address}: no Ethernet controller (class ${hex16(deviceClass)}): ` +
        `--force if the kernel can do without it`,
    );
  }
  for (const { problem, remedy } of inUse(found)) {
    throw new UsageError(`${address}: ${problem}: ${remedy}, or use --force`);
  }
}

function checkVfio(system: System, { address, group }: FunctionFiles): void {
  if (group === null) {
    throw new UsageError(
      `${address}: no IOMMU stands before it, which vfio-pci needs: turn VT-d or AMD-Vi on in the ` +
        "firmware and boot with intel_iommu=on, or leave it to sysfs, as root and with hugepages",
    );
  }
  if (!system.has("/sys/bus/pci/drivers", VFIO_PCI)) {
    throw new UsageError(`${address}: the kernel has no vfio-pci yet: \`modprobe vfio-pci\``);
  }
}

/**
 * Keeps programs of this project from the function meanwhile, after looking that none has it: the
 * kernel would let us wait for one that has it by VFIO, for as long as it likes.
 *
 * @returns What ends it.
 */
function hold(
  system: System,
  { address, driver, group }: FunctionFiles,
  forKernel: boolean,
): () => void {
  const pci = new SysfsFunction(address, system.devices);
  // vfio-pci may get more functions of a group that is in use; the kernel's drivers may not.
  if (group === null || (driver !== VFIO_PCI && !forKernel)) return () => pci.close();
  const file = system.file(`/dev/vfio/${group.number}`);
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd === -Errno.EBUSY) {
    pci.close();
    throw new UsageError(`${address}: another program is using the device's ${file}: end it`);
  }
  if (fd >= 0) stubs.ixy_close(fd); // held open, it would keep vfio-pci from letting go
  return () => pci.close();
}

function unbind(directory: string, address: string): void {
  if (linkName(`${directory}/driver`) === undefined) return;
  writeText(`${directory}/driver/unbind`, address);
}

/** Has the kernel look for a driver, which can be vfio-pci only; back to any if that will not. */
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
    `vfio-pci does not take it${problem}, and it was given back: see what dmesg says`,
  );
}

function neighbours({ group }: FunctionFiles): string[] {
  return group!.others.filter(({ blocks }) => blocks).map(({ address, driver }) =>
    `kernel driver ${driver} has ${address} of the same IOMMU group, which is for the kernel or for ` +
    `programs as a whole: \`nic.ts bind ${address} none\``
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
