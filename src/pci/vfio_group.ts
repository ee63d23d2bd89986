/**
 * IOMMU groups and their containers. A group is the smallest set of functions that the IOMMU can
 * isolate. The kernel lets only one process open a group, and only once, so the functions of a group
 * share one object here.
 *
 * A container is an address space of the IOMMU. All groups of this process share one if they can, because
 * the kernel counts memory against `ulimit -l` once for each container. So each function reaches the memory
 * that is mapped for any of them, and no other.
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
const containers = new Set<Container>();

/** A container. It stays open while it has a group. */
class Container {
  readonly #fd: number;
  /** The number of functions for which each memory is mapped. */
  readonly #maps = new Map<DmaMemory, number>();
  #groups = 0;

  /**
   * Opens a container for a group and turns the IOMMU on. No memory is mapped yet. Throws as
   * {@linkcode VfioGroup.openFunction} does.
   */
  constructor(address: string, number: string, group: number) {
    this.#fd = openContainer(address);
    try {
      const joined = this.add(group);
      if (joined === -Errno.EBUSY || joined === -Errno.EPERM) throw notViable(address, number);
      checkCall(address, `put group ${number} into a container`, joined);
      const on = setIommu(this.#fd, TYPE1V2_IOMMU);
      if (on === -Errno.EPERM) {
        throw new UsageError(
          `${address}: the IOMMU cannot isolate the device's interrupts: turn interrupt remapping ` +
            `on in the firmware, or trust the device with ` +
            "`echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts`",
        );
      }
      checkCall(address, `turn the IOMMU on for group ${number}`, on);
    } catch (error) {
      stubs.ixy_close(this.#fd);
      throw error;
    }
    containers.add(this);
  }

  /**
   * Adds a group, which from then on reaches everything that is mapped.
   *
   * @returns 0, or a negative error number.
   */
  add(group: number): number {
    const result = setContainer(group, this.#fd);
    if (result === 0) this.#groups++;
    return result;
  }

  /** Closes a group, which removes it. The kernel removes all mappings with the last one. */
  close(group: number): void {
    stubs.ixy_close(group);
    this.#groups--;
    if (this.#groups > 0) return;
    containers.delete(this);
    stubs.ixy_close(this.#fd);
  }

  /** Maps memory for a function, see {@linkcode VfioGroup.map}. */
  map(address: string, memory: DmaMemory): void {
    const holders = this.#maps.get(memory) ?? 0;
    if (holders === 0) {
      const busAddress = memory.busAddress(0, "iova");
      const result = mapDma(this.#fd, memory.address, busAddress, memory.bytes);
      if (result === -Errno.ENOMEM) checkLockLimit(address, memory.bytes);
      const what = `map memory at ${busAddress.toString(16)}`;
      checkCall(address, what, result, "see what dmesg says about the IOMMU");
      this.#maps.set(memory, 1); // for `unmap`
      using mapped = new DisposableStack();
      mapped.defer(() => this.unmap(address, memory));
      memory.checkPhysical(address); // the kernel may have moved the memory to pin it
      mapped.move();
    }
    this.#maps.set(memory, holders + 1);
  }

  /** Undoes one {@linkcode Container.map}. */
  unmap(address: string, memory: DmaMemory): void {
    const holders = this.#maps.get(memory)! - 1;
    if (holders === 0) {
      const result = unmapDma(this.#fd, memory.busAddress(0, "iova"), memory.bytes);
      checkCall(address, "unmap memory", result);
      this.#maps.delete(memory);
    } else {
      this.#maps.set(memory, holders);
    }
  }
}

/** A group. It stays open while one of its functions is open. */
export class VfioGroup {
  readonly #number: string;
  readonly #container: Container;
  readonly #group: number;
  readonly #functions = new Set<string>();

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
    this.#group = openGroup(address, number);
    try {
      this.#container = this.#join(address);
    } catch (error) {
      stubs.ixy_close(this.#group);
      throw error;
    }
  }

  /**
   * Puts the group into a container of this process if one takes it, else into a new one. A group behind
   * another IOMMU, with other page sizes or addresses, can need its own.
   */
  #join(address: string): Container {
    const status = checkCall(
      address,
      `get the status of group ${this.#number}`,
      groupStatus(this.#group),
    );
    if ((status & GROUP_VIABLE) === 0) throw notViable(address, this.#number);
    for (const container of containers) if (container.add(this.#group) === 0) return container;
    return new Container(address, this.#number, this.#group);
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

  /** Closes the group with its last function. The kernel then takes it out of its container. */
  #closeIfUnused(): void {
    if (this.#functions.size > 0) return;
    groups.delete(this.#number);
    this.#container.close(this.#group);
  }

  /**
   * Maps memory for a function. All functions in the group's container reach it.
   *
   * @param address The function, for messages.
   * @throws {UsageError} if this user may not lock so much memory.
   * @throws {DeviceError} if the kernel refuses for another reason.
   */
  map(address: string, memory: DmaMemory): void {
    this.#container.map(address, memory);
  }

  /**
   * Undoes one {@linkcode VfioGroup.map}. After the last one, no function reaches the memory.
   *
   * @throws {DeviceError} if the kernel refuses.
   */
  unmap(address: string, memory: DmaMemory): void {
    this.#container.unmap(address, memory);
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
        `with \`chown\`, in a container use \`--device ${CONTAINER} --device ${file}\``,
    );
  }
  const cause = new SystemError(`open ${file}`, -fd);
  throw new UsageError(
    `${address}: ${cause.message}: check that the device is bound to vfio-pci, in a container use ` +
      `\`--device ${CONTAINER} --device ${file}\``,
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

/** Room to add to a limit for rings, which are mapped after the pool, in KiB. */
const RINGS_KIB = 16384;

/**
 * Checks whether a user may lock more memory. The kernel counts what is mapped.
 *
 * @throws {UsageError} if not.
 */
function checkLockLimit(address: string, bytes: number): void {
  const locked = numberIn("/proc/self/status", /^VmLck:\s*(\d+)/m, address);
  const limit = numberIn("/proc/self/limits", /^Max locked memory\s*(\d+)/m, address) / 1024;
  const needed = locked + bytes / 1024;
  if (!(needed > limit)) return;
  throw new UsageError(
    `${address}: this program needs ${needed} KiB of locked memory so far, and \`ulimit -l\` allows ` +
      `${limit} KiB: set it with \`ulimit -l ${
        2 ** Math.ceil(Math.log2(needed + RINGS_KIB))
      }\` as ` +
      "root, in a container with `--ulimit memlock=-1`, or run this as root",
  );
}

/** Returns the number in a file of `/proc`; NaN for `unlimited`. */
function numberIn(file: string, pattern: RegExp, address: string): number {
  return Number(pattern.exec(makeCalls(address, () => readText(file)))?.[1]);
}
