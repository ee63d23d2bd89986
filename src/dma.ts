/**
 * DMA memory: memory that devices can read and write, and its bus addresses.
 *
 * A device uses one of two kinds of bus addresses. `physical`: the machine's physical addresses, for
 * devices accessed through sysfs. The memory must then be in hugepages, and the kernel shows their
 * addresses to root only. `iova`: I/O virtual addresses, which this module assigns and which VFIO or
 * vfio-user maps for the device. Any memory can have them. The same memory can serve devices of both
 * kinds.
 *
 * @module
 */

import { ifReadable, readText } from "../native/files.ts";
import { Errno, SystemError } from "../native/stubs.ts";
import { Mapping, PageSize } from "../native/mapping.ts";
import { DeviceError, makeCalls, UsageError } from "./errors.ts";

/**
 * Size in bytes of the smallest hugepages. The size of all DMA memory is a multiple of it, and physical
 * addresses are contiguous within it.
 */
export const HUGEPAGE: number = PageSize.MIB_2;

/**
 * The kernel's directory for hugepages of this size. `/proc/sys/vm/nr_hugepages` is for the default size,
 * which can be 1 GiB.
 */
const COUNTS = "/sys/kernel/mm/hugepages/hugepages-2048kB";
/** Why this process does not get the physical addresses of hugepages, and what to do. */
const HIDDEN =
  "this process may not see them: run it as root, with CAP_SYS_ADMIN (`--cap-add SYS_ADMIN` of a container)";
/** The fewest hugepages to tell the user to reserve: enough for two devices and their pool. */
const MIN_RESERVE = 256;

/** Returns the command that reserves hugepages. */
export function reserveHugepages(pages = MIN_RESERVE): string {
  return `echo ${Math.max(pages, MIN_RESERVE)} > ${COUNTS}/nr_hugepages`;
}

/** Where DMA memory comes from, see {@linkcode DmaMemory.allocate}. */
export type MemoryKind = "auto" | "hugepages" | "pages";

/** The kind of a device's bus addresses: physical addresses, or I/O virtual addresses. */
export type Addressing = "physical" | "iova";

/** DMA memory as plain values, to send to another thread of this process. */
export interface SharedMemory {
  /** Size in bytes. */
  readonly bytes: number;
  /** Its virtual address in this process. */
  readonly address: bigint;
  /** Its file descriptor in this process. */
  readonly fd: number;
  /** Its I/O virtual address. */
  readonly iova: number;
  /** The physical address of each hugepage. */
  readonly physical: readonly number[] | undefined;
}

// An IOVA is never used twice, so that a late DMA to freed memory hits nothing. IOVAs begin at 4 GiB,
// so that a driver that loses the high 32 bits fails at once.
let nextIova = 2 ** 32;

/** DMA memory: zeroed, and contiguous in this process. */
export class DmaMemory {
  /** Size in bytes, a multiple of {@linkcode HUGEPAGE}. */
  readonly bytes: number;
  readonly #mapping: Mapping;
  readonly #iova: number;
  /** Physical address of each hugepage; undefined for ordinary pages, or if the kernel hides them. */
  #physical: readonly number[] | undefined;
  /** Whether a device may use a physical address: one was returned. */
  #physicalUsed = false;
  /** Why the memory has no physical addresses, and what to do, for messages. */
  readonly noPhysical: string;
  #pins = 0;
  #kept = false;

  private constructor(
    mapping: Mapping,
    iova: number,
    physical: readonly number[] | undefined,
    noPhysical = HIDDEN,
  ) {
    this.bytes = mapping.bytes;
    this.#mapping = mapping;
    this.#iova = iova;
    this.#physical = physical;
    this.noPhysical = noPhysical;
  }

  /**
   * Allocates memory.
   *
   * @param bytes Size in bytes, rounded up to whole hugepages.
   * @param kind `hugepages`: pages of 1 GiB if enough are free and at most half of one stays unused, else
   * pages of 2 MiB; `pages`: ordinary pages; `auto` (default): hugepages if enough are free, else ordinary
   * pages.
   * @throws {UsageError} if `kind` is `hugepages` and too few are free, or if there is not enough memory.
   */
  static allocate(bytes: number, kind: MemoryKind = "auto"): DmaMemory {
    const { mapping, noHugepages } = allocate(bytes, kind);
    // Its size is sealed, but a peer can punch holes into it, and no hugepage may be free to fill them.
    let physical: readonly number[] | undefined;
    try {
      mapping.watch();
      if (mapping.huge) physical = physicalAddresses(mapping);
    } catch (error) {
      mapping.unmap();
      throw error;
    }
    const iova = nextIova;
    nextIova += mapping.bytes;
    return new DmaMemory(mapping, iova, physical, noHugepages);
  }

  /**
   * Adopts memory that another thread shares. Free it here before that thread frees it.
   *
   * @param shared The result of {@linkcode DmaMemory.prototype.share} in that thread.
   */
  static adopt({ address, bytes, fd, iova, physical }: SharedMemory): DmaMemory {
    return new DmaMemory(Mapping.adopted(address, bytes, fd), iova, physical);
  }

  /** The memory. Its views are empty after it is freed. */
  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** Its virtual address in this process. */
  get address(): bigint {
    return this.#mapping.address;
  }

  /** The file descriptor to share it by. */
  get fd(): number {
    return this.#mapping.fd;
  }

  /** Whether a peer that shares the memory has given its pages back to the kernel. */
  get lost(): boolean {
    return this.#mapping.lost;
  }

  /** Returns the memory as plain values, for {@linkcode DmaMemory.adopt} in another thread. */
  share(): SharedMemory {
    const { bytes, address, fd } = this;
    return { bytes, address, fd, iova: this.#iova, physical: this.#physical };
  }

  /** Returns whether the memory has bus addresses of this kind. */
  has(addressing: Addressing): boolean {
    return addressing === "iova" || this.#physical !== undefined;
  }

  /**
   * Returns the bus address of a byte of the memory. I/O virtual addresses are contiguous; physical
   * addresses are contiguous only within a hugepage.
   *
   * @throws {RangeError} if the offset is out of range, or the memory has no addresses of this kind.
   */
  busAddress(offset: number, addressing: Addressing): number {
    if (!(offset >= 0 && offset < this.bytes)) {
      throw new RangeError(`offset ${offset} is not in ${this.bytes} bytes of memory`);
    }
    if (addressing === "iova") return this.#iova + offset;
    if (this.#physical === undefined) throw new RangeError("the memory has no physical addresses");
    this.#physicalUsed = true;
    return this.#physical[Math.floor(offset / HUGEPAGE)] + offset % HUGEPAGE;
  }

  /**
   * Reads the physical addresses again. The kernel can move a page, for instance when VFIO maps memory that
   * is in ZONE_MOVABLE. A device that uses the old address would then reach memory of another program.
   *
   * @param device The device that maps the memory, for messages.
   * @throws {DeviceError} if a page has moved whose address a device may use.
   */
  checkPhysical(device: string): void {
    if (this.#physical === undefined) return;
    const now = makeCalls(device, () => this.#mapping.physicalAddresses(HUGEPAGE));
    const moved = this.#physical.findIndex((address, i) => now?.[i] !== address);
    if (moved < 0) return;
    if (!this.#physicalUsed) {
      this.#physical = now;
      return;
    }
    throw new DeviceError(
      device,
      `the kernel has moved page ${moved} of the memory that devices use by physical addresses: start ` +
        "this program again, and open devices that use VFIO first",
    );
  }

  /** Counts a device that can reach the memory: it cannot be freed before {@linkcode DmaMemory.prototype.unpin}. */
  pin(): void {
    this.#pins++;
  }

  /** Undoes one {@linkcode DmaMemory.prototype.pin}. */
  unpin(): void {
    this.#pins--;
  }

  /**
   * Keeps the memory allocated until the process ends, even if it is freed: a device that no longer answers
   * may still reach it.
   */
  keep(): void {
    this.#kept = true;
  }

  /** Whether a device can reach the memory; it cannot be freed then. */
  get pinned(): boolean {
    return this.#pins > 0;
  }

  /**
   * Frees the memory, unless it is kept, and empties every view of it. Idempotent.
   *
   * @throws {Error} if a device can still reach it.
   * @throws {SystemError} if the kernel refuses to unmap it.
   */
  free(): void {
    if (this.pinned) {
      throw new Error(`memory is still in reach of ${this.#pins} device(s): close them first`);
    }
    if (this.#kept) this.#mapping.detach();
    else this.#mapping.unmap();
  }
}

/** Maps memory; also returns why it has no hugepages, if it has none. */
function allocate(
  bytes: number,
  kind: MemoryKind,
): { readonly mapping: Mapping; readonly noHugepages?: string } {
  let noHugepages = 'this memory is in ordinary pages: set `memory` of its pool to "hugepages"';
  if (kind !== "pages") {
    const mapping = allocateHugepages(bytes);
    if (mapping instanceof Mapping) return { mapping };
    noHugepages = withoutHugepages(bytes, mapping);
    if (kind === "hugepages") throw new UsageError(noHugepages, { cause: mapping });
  }
  try {
    return { mapping: Mapping.memory(roundUp(bytes, HUGEPAGE), false), noHugepages };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const { message, errno } = error;
    throw new UsageError(
      errno === Errno.ENOMEM
        ? `${bytes} bytes of memory are not available: use fewer or smaller buffers`
        : errno === Errno.ENOSPC // the process may not use memfd_create
        ? `${bytes} bytes of memory are not available in /dev/shm: enlarge it, in a container with ` +
          "`--shm-size`, or use fewer or smaller buffers"
        : `cannot allocate DMA memory (${message}): see \`ulimit -a\` for the limits of this process`,
      { cause: error },
    );
  }
}

/** Maps memory in hugepages; returns the error if there are too few. */
function allocateHugepages(bytes: number): Mapping | SystemError {
  // The unused part of a page is not available to other programs.
  const large = roundUp(bytes, PageSize.GIB_1);
  if (large - bytes <= PageSize.GIB_1 / 2) {
    const mapping = tryHugepages(large, PageSize.GIB_1);
    if (mapping instanceof Mapping) return mapping;
  }
  return tryHugepages(roundUp(bytes, HUGEPAGE), HUGEPAGE);
}

function tryHugepages(bytes: number, size: number): Mapping | SystemError {
  try {
    return Mapping.memory(bytes, true, size);
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/** Returns the sentence for memory that cannot have hugepages. */
function withoutHugepages(bytes: number, { message }: SystemError): string {
  const pages = Math.ceil(bytes / HUGEPAGE);
  const free = ifReadable(() => Number(readText(`${COUNTS}/free_hugepages`))) ?? 0;
  return free < pages
    ? `${pages} hugepages of 2 MiB are not free (${message}): reserve them with ` +
      `\`${reserveHugepages(pages)}\` as root`
    : `${pages} hugepages of 2 MiB are refused (${message}), although ${free} are free: raise ` +
      "hugetlb.2MB.max of this process's control group (in a container: its limit of hugepages-2Mi)";
}

function roundUp(bytes: number, to: number): number {
  return Math.ceil(bytes / to) * to;
}

/** Returns the physical address of each hugepage; undefined if the kernel hides them. */
function physicalAddresses(mapping: Mapping): readonly number[] | undefined {
  try {
    return mapping.physicalAddresses(HUGEPAGE);
  } catch (error) {
    // Without /proc, devices that use I/O virtual addresses still work.
    if (error instanceof SystemError && error.errno === Errno.ENOENT) return undefined;
    if (!(error instanceof SystemError)) throw error;
    throw new UsageError(
      `cannot look up physical addresses (${error.message}): see \`ulimit -a\` for the limits of ` +
        "this process",
      { cause: error },
    );
  }
}
