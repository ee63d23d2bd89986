/**
 * An IOMMU group in a container of its own. A group is the smallest set of functions that the IOMMU can
 * isolate; its functions reach the same memory. The kernel lets only one process open a group, and only
 * once, so the functions of a group share one object here. Functions of different groups share nothing:
 * each reaches only memory that was mapped for its group.
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
/** Kernel drivers that do no DMA, so that functions bound to them leave the group viable. */
export const HARMLESS: readonly string[] = ["vfio-pci", "pci-stub", "pcieport"];

const groups = new Map<string, VfioGroup>();

/** A group. It stays open while one of its functions is open. */
export class VfioGroup {
  readonly #number: string;
  readonly #container: number;
  readonly #group: number;
  readonly #functions = new Set<string>();
  /** The number of functions for which each memory is mapped. */
  readonly #maps = new Map<DmaMemory, number>();

  /**
   * Opens a function.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param number The number of its group.
   * @returns The group, and the function's file descriptor, to close with `closeFunction`.
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

  /** Puts the group into its container and turns the IOMMU on. No memory is mapped yet. */
  #join(address: string): void {
    const status = checkCall(
      address,
      `get the status of group ${this.#number}`,
      groupStatus(this.#group),
    );
    if ((status & GROUP_VIABLE) === 0) throw notViable(address, this.#number);
    const joined = setContainer(this.#group, this.#container);
    if (joined === -Errno.EBUSY || joined === -Errno.EPERM) throw notViable(address, this.#number);
    checkCall(address, `put group ${this.#number} into a container`, joined);
    const on = setIommu(this.#container, TYPE1V2_IOMMU);
    if (on === -Errno.EPERM) {
      throw new UsageError(
        `${address}: the IOMMU cannot isolate the device's interrupts: turn interrupt remapping ` +
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
      const cause = new SystemError(`open the device in group ${this.#number}`, -fd);
      throw new UsageError(
        `${address}: ${cause.message}: check that it is bound to vfio-pci, and see what dmesg says`,
        { cause },
      );
    }
    this.#functions.add(address);
    return fd;
  }

  /** Closes a function's descriptor. The kernel disables the function, and resets it if it can. */
  closeFunction(address: string, fd: number): void {
    stubs.ixy_close(fd);
    this.#functions.delete(address);
    this.#closeIfUnused();
  }

  /** Closes the group with its last function. The kernel then removes all mappings. */
  #closeIfUnused(): void {
    if (this.#functions.size > 0) return;
    groups.delete(this.#number);
    stubs.ixy_close(this.#group);
    stubs.ixy_close(this.#container);
  }

  /**
   * Maps memory for the functions of the group.
   *
   * @param address The function, for messages.
   * @throws {UsageError} if this user may not lock so much memory.
   * @throws {DeviceError} if the kernel refuses for another reason.
   */
  map(address: string, memory: DmaMemory): void {
    const holders = this.#maps.get(memory) ?? 0;
    if (holders === 0) {
      const busAddress = memory.busAddress(0, "iova");
      const result = mapDma(this.#container, memory.address, busAddress, memory.bytes);
      if (result === -Errno.ENOMEM) throw lockLimit(address, memory.bytes);
      const what = `map memory at ${busAddress.toString(16)}`;
      checkCall(address, what, result, "see what dmesg says about the IOMMU");
      this.#maps.set(memory, 1); // for `unmap`
      using mapped = new DisposableStack();
      mapped.defer(() => this.unmap(address, memory));
      memory.checkPhysical(address); // the kernel has pinned the memory, and may have moved it before
      mapped.move();
    }
    this.#maps.set(memory, holders + 1);
  }

  /**
   * Undoes one {@linkcode VfioGroup.map}. After the last one, the group no longer reaches the memory.
   *
   * @throws {DeviceError} if the kernel refuses.
   */
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
      `${address}: ${cause.message}: load the kernel module with \`modprobe vfio\`, in a container use ` +
        "`--device /dev/vfio/vfio` and the card's `--device /dev/vfio/N`",
      { cause },
    );
  }
  const version = apiVersion(fd);
  if (version === API_VERSION && checkExtension(fd, TYPE1V2_IOMMU) === 1) return fd;
  stubs.ixy_close(fd);
  if (version !== API_VERSION) {
    throw new UsageError(
      `${address}: version ${version} of the kernel's VFIO interface is not supported: use a kernel ` +
        `with version ${API_VERSION}`,
    );
  }
  throw new UsageError(
    `${address}: the kernel's VFIO does not support the IOMMU of this machine: load the module with ` +
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
        `with \`chown\`, in a container use \`--device ${file}\``,
    );
  }
  const cause = new SystemError(`open ${file}`, -fd);
  throw new UsageError(
    `${address}: ${cause.message}: check that the device is bound to vfio-pci, in a container use ` +
      `\`--device ${file}\``,
    { cause },
  );
}

/** Returns the error for a group with functions that are bound to kernel drivers. */
function notViable(address: string, number: string): UsageError {
  const held = list(`/sys/kernel/iommu_groups/${number}/devices`).flatMap((member) => {
    const driver = linkName(`/sys/bus/pci/devices/${member}/driver`);
    return driver === undefined || HARMLESS.includes(driver) ? [] : [`${member} (${driver})`];
  });
  return new UsageError(
    `${address}: kernel drivers hold functions of its IOMMU group ${number}, ` +
      `${held.sort().join(", ")}: unbind them, because VFIO takes over a group as a whole`,
  );
}

function lockLimit(address: string, bytes: number): UsageError {
  const status = makeCalls(address, () => readText("/proc/self/status"));
  const locked = /^VmLck:\s*(\d+)/m.exec(status)?.[1] ?? "0";
  return new UsageError(
    `${address}: \`ulimit -l\` does not allow locking ${
      bytes / 1024
    } KiB for the device in addition to ` +
      `the ${locked} KiB locked already: raise that limit, in a container with ` +
      "`--ulimit memlock=-1`, or run this as root",
  );
}
