/**
 * Memory that devices may reach, and the addresses under which they reach it.
 *
 * A device reaches memory by bus addresses, and its bus has one of two schemes. `physical`: the
 * machine's own addresses, which a device on the sysfs bus uses; the memory has to be in 2 MiB pages
 * then, and the kernel shows their addresses to root only. `chosen`: addresses that we make up and a
 * VFIO or vfio-user device maps; any memory will do. The same memory can serve devices of both kinds.
 *
 * @module
 */

import { Errno, SystemError } from "../native/stubs.ts";
import { Mapping } from "../native/mapping.ts";
import { UsageError } from "./errors.ts";

/** Bytes of a hugepage; all DMA memory is a multiple of it. */
export const HUGEPAGE: number = 2 * 1024 * 1024;

/** Where DMA memory is to come from: {@linkcode DmaMemory} says what each choice means. */
export type MemoryKind = "auto" | "hugepages" | "pages";

/** What a device's bus addresses are: the machine's own, or those that we map. */
export type Addressing = "physical" | "iova";

/** Memory of one thread as plain values, from which another one of this process makes its own views. */
export interface SharedMemory {
  /** Size in bytes. */
  readonly bytes: number;
  /** Where it begins in this process. */
  readonly address: bigint;
  /** Its chosen bus address. */
  readonly iova: number;
  /** The physical address of each hugepage. */
  readonly physical: readonly number[] | undefined;
}

// Chosen bus addresses are never used twice: a late DMA to freed memory hits nothing. They begin
// above 4 GiB, so that a driver that drops the high half is found out.
let nextIova = 2 ** 32;

/** Memory that devices may reach: zeroed, locked, in one piece for this process. */
export class DmaMemory {
  /** Size in bytes, a multiple of {@linkcode HUGEPAGE}. */
  readonly bytes: number;
  readonly #mapping: Mapping;
  readonly #iova: number;
  /** Physical address of each hugepage; undefined if there are none, or the kernel hides them. */
  readonly #physical: readonly number[] | undefined;
  #pins = 0;

  private constructor(mapping: Mapping, iova: number, physical: readonly number[] | undefined) {
    this.bytes = mapping.bytes;
    this.#mapping = mapping;
    this.#iova = iova;
    this.#physical = physical;
  }

  /**
   * Allocates memory.
   *
   * @param bytes Size in bytes, rounded up to whole hugepages.
   * @param kind `hugepages`: 2 MiB pages; `pages`: ordinary ones; `auto` (the default): hugepages if
   * there are enough, else ordinary pages.
   * @throws {UsageError} if there are too few hugepages and `kind` is `hugepages`, or no memory.
   */
  static allocate(bytes: number, kind: MemoryKind = "auto"): DmaMemory {
    const mapping = allocate(Math.ceil(bytes / HUGEPAGE) * HUGEPAGE, kind);
    const physical = mapping.huge ? physicalAddresses(mapping) : undefined;
    const iova = nextIova;
    nextIova += mapping.bytes;
    return new DmaMemory(mapping, iova, physical);
  }

  /**
   * Views of memory that another thread shares. Free it here before that thread frees it.
   *
   * @param shared What {@linkcode DmaMemory.share} returned there.
   */
  static adopt({ address, bytes, iova, physical }: SharedMemory): DmaMemory {
    return new DmaMemory(Mapping.adopted(address, bytes), iova, physical);
  }

  /** The memory. Its views become empty when it is freed. */
  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** Where it begins in this process. */
  get address(): bigint {
    return this.#mapping.address;
  }

  /** The descriptor to share it by. */
  get fd(): number {
    return this.#mapping.fd;
  }

  /** What another thread makes views of the same memory from. */
  share(): SharedMemory {
    const { bytes, address } = this;
    return { bytes, address, iova: this.#iova, physical: this.#physical };
  }

  /** Whether devices on a bus with this scheme can be told where it is. */
  has(addressing: Addressing): boolean {
    return addressing === "iova" || this.#physical !== undefined;
  }

  /**
   * The bus address of a byte of the memory. Chosen addresses are contiguous, physical ones within a
   * hugepage.
   *
   * @throws {RangeError} if there is no such byte, or no such address.
   */
  busAddress(offset: number, addressing: Addressing): number {
    if (!(offset >= 0 && offset < this.bytes)) {
      throw new RangeError(`offset ${offset} is not in ${this.bytes} bytes of memory`);
    }
    if (addressing === "iova") return this.#iova + offset;
    if (this.#physical === undefined) throw new RangeError("the memory has no physical addresses");
    return this.#physical[Math.floor(offset / HUGEPAGE)] + offset % HUGEPAGE;
  }

  /** Counts a device that can reach the memory: it cannot be freed before `release`. */
  pin(): void {
    this.#pins++;
  }

  /** Takes back one `hold`. */
  unpin(): void {
    this.#pins--;
  }

  /** Whether a device can reach the memory, so that it cannot be freed. */
  get pinned(): boolean {
    return this.#pins > 0;
  }

  /**
   * Frees the memory and empties every view of it. Again: nothing happens.
   *
   * @throws {Error} if a device can still reach it.
   */
  free(): void {
    if (this.pinned) {
      throw new Error(`memory is still in reach of ${this.#pins} device(s): close them first`);
    }
    this.#mapping.unmap();
  }
}

function allocate(bytes: number, kind: MemoryKind): Mapping {
  if (kind !== "pages") {
    try {
      return Mapping.memory(bytes, true);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (kind === "hugepages") {
        throw new UsageError(
          `no ${bytes / HUGEPAGE} free hugepages of 2 MiB (${error.message}): reserve them with ` +
            `\`echo 256 > /proc/sys/vm/nr_hugepages\` as root`,
          { cause: error },
        );
      }
    }
  }
  try {
    return Mapping.memory(bytes, false);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const { message, errno } = error;
    throw new UsageError(
      errno === Errno.ENOMEM
        ? `no ${bytes} bytes of memory: ask for fewer or smaller buffers`
        : `no memory for devices (${message}): see \`ulimit -a\` for the limits of this process`,
      { cause: error },
    );
  }
}

/** The physical address of each hugepage; undefined if the kernel hides them. */
function physicalAddresses(mapping: Mapping): readonly number[] | undefined {
  try {
    return mapping.physicalAddresses(HUGEPAGE);
  } catch (error) {
    mapping.unmap();
    if (!(error instanceof SystemError)) throw error;
    throw new UsageError(
      `no physical addresses of memory (${error.message}): is /proc mounted, and are there free file ` +
        "descriptors?",
      { cause: error },
    );
  }
}
