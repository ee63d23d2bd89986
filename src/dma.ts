/**
 * Memory that devices may reach, and the addresses under which they reach it.
 *
 * Bus addresses have a scheme. `physical`: memory is in 2 MiB pages and its bus addresses are the
 * machine's own; every bus can use it, and sysfs can use no other. `chosen`: ordinary pages, at bus
 * addresses that we make up and a VFIO or vfio-user device maps.
 *
 * @module
 */

import { Errno, Mapping, SystemError } from "../native/native.ts";
import { UsageError } from "./errors.ts";

/** Bytes of a hugepage; all DMA memory is a multiple of it. */
export const HUGEPAGE: number = 2 * 1024 * 1024;

/** Where DMA memory is to come from: {@linkcode DmaMemory} says what each choice means. */
export type MemoryKind = "auto" | "hugepages" | "pages";

/** A part of DMA memory that is contiguous for a device. Numbers are in bytes. */
export interface DmaSegment {
  /** Where in the memory it begins. */
  readonly offset: number;
  /** Its length. */
  readonly bytes: number;
  /** The bus address of its first byte. */
  readonly busAddress: number;
}

// Chosen bus addresses are never used twice: a late DMA to freed memory hits nothing. They begin
// above 4 GiB, so that a driver that drops the high half is found out.
let nextBusAddress = 2 ** 32;

/** Memory that devices may reach: zeroed, locked, in one piece for this process. */
export class DmaMemory {
  /** Size in bytes, a multiple of {@linkcode HUGEPAGE}. */
  readonly bytes: number;
  /** The scheme of its bus addresses. */
  readonly addressing: "physical" | "chosen";
  /** Contiguous parts, in order, without gaps. */
  readonly segments: readonly DmaSegment[];
  readonly #mapping: Mapping;
  #holders = 0;

  /**
   * Allocates memory.
   *
   * @param bytes Size in bytes, rounded up to whole hugepages.
   * @param kind `hugepages`: 2 MiB pages, physical addresses where the kernel shows them (to root);
   * `pages`: ordinary pages and chosen addresses; `auto`: the first if there are any, else the second.
   * @throws {UsageError} if there are too few hugepages and `kind` is `hugepages`, or no memory.
   */
  constructor(bytes: number, kind: MemoryKind = "auto") {
    this.bytes = Math.ceil(bytes / HUGEPAGE) * HUGEPAGE;
    this.#mapping = allocate(this.bytes, kind);
    const physical = this.#mapping.huge ? this.#mapping.physicalAddresses(HUGEPAGE) : undefined;
    this.addressing = physical ? "physical" : "chosen";
    if (physical) {
      this.segments = merge(physical);
    } else {
      this.segments = [{ offset: 0, bytes: this.bytes, busAddress: nextBusAddress }];
      nextBusAddress += this.bytes;
    }
  }

  /** The memory. Its views become empty when it is freed. */
  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** The descriptor to share it by. */
  get fd(): number {
    return this.#mapping.fd;
  }

  /** The bus address of a byte of the memory. */
  busAddress(offset: number): number {
    const segment = this.segments.find((s) => offset >= s.offset && offset < s.offset + s.bytes);
    if (!segment) throw new RangeError(`offset ${offset} is not in ${this.bytes} bytes of memory`);
    return segment.busAddress + offset - segment.offset;
  }

  /** Counts a device that can reach the memory: it cannot be freed before `release`. */
  hold(): void {
    this.#holders++;
  }

  /** Takes back one `hold`. */
  release(): void {
    this.#holders--;
  }

  /**
   * Frees the memory and empties every view of it. Again: nothing happens.
   *
   * @throws {Error} if a device can still reach it.
   */
  free(): void {
    if (this.#holders > 0) {
      throw new Error(`memory is still in reach of ${this.#holders} device(s): close them first`);
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
        );
      }
    }
  }
  try {
    return Mapping.memory(bytes, false);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== Errno.ENOMEM) throw error;
    throw new UsageError(`no ${bytes} bytes of memory: ask for fewer or smaller buffers`);
  }
}

/** Joins hugepages that follow each other on the bus. */
function merge(pages: readonly number[]): DmaSegment[] {
  const segments: { offset: number; bytes: number; busAddress: number }[] = [];
  pages.forEach((busAddress, i) => {
    const last = segments.at(-1);
    if (last && last.busAddress + last.bytes === busAddress) last.bytes += HUGEPAGE;
    else segments.push({ offset: i * HUGEPAGE, bytes: HUGEPAGE, busAddress });
  });
  return segments;
}
