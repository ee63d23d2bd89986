/**
 * An IOMMU group in a container of its own: the smallest set of functions that an IOMMU can tell from
 * others, and the memory that they reach. The kernel opens a group once, so that functions of one
 * group share it within this process; other processes are kept out. Functions of different groups
 * share nothing: each reaches what was mapped for it.
 *
 * @module
 */

import { Errno, Open, path, stubs, SystemError } from "../../native/stubs.ts";
import type { DmaMemory } from "../dma.ts";
import { checkCall, makeCalls, UsageError } from "../errors.ts";
import { linkName, list, readText } from "../../native/files.ts";
import {
  API_VERSION,
  apiVersion,
  checkExtension,
  deviceFd,
  GROUP_VIABLE,
  groupStatus,
  mapDma,
  setContainer,
  setIommu,
  TYPE1V2_IOMMU,
  unmapDma,
} from "./vfio_ioctl.ts";

const CONTAINER = "/dev/vfio/vfio";
/** Kernel drivers that leave a function's DMA alone, and so do not keep its group from user space. */
export const HARMLESS: readonly string[] = ["vfio-pci", "pci-stub", "pcieport"];

const groups = new Map<string, VfioGroup>();

/** A group that functions are opened from. It is open as long as one of them is. */
export class VfioGroup {
  readonly #number: string;
  readonly #container: number;
  readonly #group: number;
  readonly #functions = new Set<string>();
  /** For how many functions each memory is mapped. */
  readonly #maps = new Map<DmaMemory, number>();

  /**
   * Opens a function.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param number The number of its group.
   * @returns The group, and a descriptor of the function for `closeFunction`.
   * @throws {UsageError} if the function or its group is in use, or permission is missing.
   */
  static openFunction(address: string, number: string): { group: VfioGroup; fd: number } {
    let group = groups.get(number);
    if (!group) groups.set(number, group = new VfioGroup(address, number));
    try {
      return { group, fd: group.#openFunction(address) };
    } finally {
      group.#closeIfUnused();
    }
  }

  private constructor(address: string, number: string) {
    this.#number = number;
    this.#container = openContainer(address);
    try {
      this.#group = openGroup(address, number);
    } catch (error) {
      stubs.ixy_close(this.#container);
      throw error;
    }
    try {
      this.#join(address);
    } catch (error) {
      stubs.ixy_close(this.#group);
      stubs.ixy_close(this.#container);
      throw error;
    }
  }

  /** Puts the group into its container and turns the IOMMU on for it: nothing is mapped yet. */
  #join(address: string): void {
    const status = checkCall(
      address,
      `ask for the state of group ${this.#number}`,
      groupStatus(this.#group),
    );
    if ((status & GROUP_VIABLE) === 0) throw notViable(address, this.#number);
    const joined = setContainer(this.#group, this.#container);
    if (joined === -Errno.EBUSY || joined === -Errno.EPERM) throw notViable(address, this.#number);
    checkCall(address, `put group ${this.#number} into a container`, joined);
    const on = setIommu(this.#container, TYPE1V2_IOMMU);
    if (on === -Errno.EPERM) {
      throw new UsageError(
        `${address}: the IOMMU cannot keep the device's interrupts apart: turn interrupt remapping ` +
          `on in the firmware, or trust the device with ` +
          "`echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts`",
      );
    }
    checkCall(address, `turn the IOMMU on for group ${this.#number}`, on);
  }

  #openFunction(address: string): number {
    if (this.#functions.has(address)) {
      throw new UsageError(`${address}: this program has the device open already: close it first`);
    }
    const fd = deviceFd(this.#group, address);
    if (fd < 0) {
      const cause = new SystemError(`open it in group ${this.#number}`, -fd);
      throw new UsageError(
        `${address}: ${cause.message}: see whether it is bound to vfio-pci, and what dmesg says`,
        { cause },
      );
    }
    this.#functions.add(address);
    return fd;
  }

  /** Closes a function's descriptor; the kernel turns the function off, and resets it if it can. */
  closeFunction(address: string, fd: number): void {
    stubs.ixy_close(fd);
    this.#functions.delete(address);
    this.#closeIfUnused();
  }

  /** The kernel takes back maps and IOMMU with the last descriptor. */
  #closeIfUnused(): void {
    if (this.#functions.size > 0) return;
    groups.delete(this.#number);
    stubs.ixy_close(this.#group);
    stubs.ixy_close(this.#container);
  }

  /**
   * Lets the functions of the group reach memory.
   *
   * @param address The function that asks, for messages.
   * @throws {UsageError} if this user may not lock so much memory.
   */
  map(address: string, memory: DmaMemory): void {
    const holders = this.#maps.get(memory) ?? 0;
    if (holders === 0) {
      const busAddress = memory.busAddress(0, "iova");
      const result = mapDma(this.#container, memory.address, busAddress, memory.bytes);
      if (result === -Errno.ENOMEM) throw lockLimit(address, memory.bytes);
      const what = `map memory at ${busAddress.toString(16)}`;
      checkCall(address, what, result, "see what dmesg says about the IOMMU");
    }
    this.#maps.set(memory, holders + 1);
  }

  /** Takes back one `map`; after the last, memory is out of the group's reach. */
  unmap(address: string, memory: DmaMemory): void {
    const holders = this.#maps.get(memory)! - 1;
    if (holders === 0) {
      const result = unmapDma(this.#container, memory.busAddress(0, "iova"), memory.bytes);
      checkCall(address, "unmap memory", result);
      this.#maps.delete(memory);
    } else {
      this.#maps.set(memory, holders);
    }
  }
}

function openContainer(address: string): number {
  const fd = stubs.ixy_open(path(CONTAINER), Open.RDWR, 0);
  if (fd < 0) {
    const cause = new SystemError(`open ${CONTAINER}`, -fd);
    throw new UsageError(
      `${address}: ${cause.message}: load the kernel's module with \`modprobe vfio\``,
      { cause },
    );
  }
  const version = apiVersion(fd);
  if (version === API_VERSION && checkExtension(fd, TYPE1V2_IOMMU) === 1) return fd;
  stubs.ixy_close(fd);
  if (version !== API_VERSION) {
    throw new UsageError(`${address}: the kernel's VFIO has version ${version}, unknown here`);
  }
  throw new UsageError(
    `${address}: the kernel's VFIO knows no IOMMU of this machine: load the module with ` +
      "`modprobe vfio_iommu_type1`",
  );
}

function openGroup(address: string, number: string): number {
  const file = `/dev/vfio/${number}`;
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd >= 0) return fd;
  if (fd === -Errno.EBUSY) {
    throw new UsageError(`${address}: another program is using the device's ${file}: end it`);
  }
  if (fd === -Errno.EACCES || fd === -Errno.EPERM) {
    throw new UsageError(
      `${address}: no permission to open ${file}: run this as root, or give the file to this user ` +
        `with \`chown\``,
    );
  }
  const cause = new SystemError(`open ${file}`, -fd);
  throw new UsageError(
    `${address}: ${cause.message}: see whether the device is bound to vfio-pci`,
    { cause },
  );
}

/** Says which functions of a group kernel drivers hold. */
function notViable(address: string, number: string): UsageError {
  const held = list(`/sys/kernel/iommu_groups/${number}/devices`).flatMap((member) => {
    const driver = linkName(`/sys/bus/pci/devices/${member}/driver`);
    return driver === undefined || HARMLESS.includes(driver) ? [] : [`${member} (${driver})`];
  });
  return new UsageError(
    `${address}: kernel drivers hold functions of its IOMMU group ${number}, ` +
      `${
        held.sort().join(", ")
      }: unbind these, since a group is for the kernel or for us as a whole`,
  );
}

function lockLimit(address: string, bytes: number): UsageError {
  const status = makeCalls(address, () => readText("/proc/self/status"));
  const locked = /^VmLck:\s*(\d+)/m.exec(status)?.[1] ?? "0";
  return new UsageError(
    `${address}: to lock ${
      bytes / 1024
    } KiB for the device beside the ${locked} KiB locked already ` +
      "is more than `ulimit -l` allows: raise that limit, or run this as root",
  );
}
