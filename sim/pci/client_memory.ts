/**
 * The client's memory. Each DMA_MAP maps part of the client's file into this process, each
 * DMA_UNMAP unmaps it, and everything is unmapped when the client disconnects.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { Errno, SystemError } from "../../native/stubs.ts";
import { indexAfter } from "../rings/dma_map.ts";
import { RequestError } from "./connection.ts";
import type { DmaTarget } from "./model.ts";

/** A range of bus addresses that the client has mapped. They are exact: see `MAX_END`. */
interface Range {
  readonly start: number;
  readonly end: number;
  /** Absent if the client sent no descriptor: the model cannot reach the range then. */
  readonly mapping: Mapping | undefined;
}

/**
 * Maximum number of ranges of a client, as the reply to VERSION says. Behind a guest's IOMMU, each
 * buffer of each ring can be a range. Linux allows 65,530 mappings in a process, which all ports share.
 */
export const MAX_RANGES = 16384;
/** Maximum number of bytes that one client maps: 1 TiB. The process has 128 TiB of addresses. */
const MAX_BYTES = 2 ** 40;
const PAGE = 4096n;
/** Limit of ranges, exclusive: bus addresses are JavaScript numbers in the model. */
const MAX_END = 1n << 53n;
const MAP_READ = 0x1;
const MAP_WRITE = 0x2;
const UNMAP_ALL = 0x2;
const EEXIST = 17;
const ENOSPC = 28;

/** All ranges of one client. */
export class ClientMemory {
  readonly #target: DmaTarget;
  /** Sorted by their start. */
  readonly #ranges: Range[] = [];
  /** Bytes of the client's files that are mapped. */
  #bytes = 0;
  /** `Mapping.losses` when all ranges were known to be there. */
  #losses = Mapping.losses;

  /**
   * Creates an empty set of ranges.
   *
   * @param target Takes the ranges.
   */
  constructor(target: DmaTarget) {
    this.#target = target;
  }

  /** Number of ranges mapped. */
  get size(): number {
    return this.#ranges.length;
  }

  /** Whether the client has truncated a file, so that a range of it is lost. */
  get lost(): boolean {
    const { losses } = Mapping;
    if (losses === this.#losses) return false;
    this.#losses = losses;
    return this.#ranges.some(({ mapping }) => mapping?.lost);
  }

  /**
   * Maps a range: the command DMA_MAP.
   *
   * @param flags 1: the device may read; 2: it may write.
   * @param offset Offset of the range in the file, in bytes.
   * @param fd The file, or undefined. The caller keeps ownership.
   * @throws {RequestError} if the range overlaps another, exceeds the file, or is one too many.
   */
  map(flags: number, offset: bigint, iova: bigint, bytes: bigint, fd: number | undefined): void {
    const what = `DMA range 0x${iova.toString(16)} of ${bytes} bytes`;
    if (bytes === 0n || ((iova | bytes | offset) & (PAGE - 1n)) !== 0n) {
      throw new RequestError(Errno.EINVAL, `${what} does not consist of whole pages`);
    }
    if (iova + bytes >= MAX_END || offset + bytes >= MAX_END) {
      throw new RequestError(Errno.EINVAL, `${what} is beyond 53-bit addresses`);
    }
    if (this.#ranges.length === MAX_RANGES) {
      throw new RequestError(ENOSPC, `${what} is one too many: ${MAX_RANGES} are mapped`);
    }
    const start = Number(iova), size = Number(bytes), end = start + size;
    const at = indexAfter(this.#ranges, start);
    if (at > 0 && this.#ranges[at - 1].end > start || this.#ranges[at]?.start < end) {
      throw new RequestError(EEXIST, `${what} overlaps a mapped range`);
    }
    const mapping = fd === undefined ? undefined : this.#mapFile(fd, Number(offset), size);
    if (mapping !== undefined) this.#show(mapping, start, flags);
    this.#ranges.splice(at, 0, { start, end, mapping });
  }

  /**
   * Unmaps all ranges inside a range, if there are any: the command DMA_UNMAP.
   *
   * @param flags 2: unmaps all ranges of the client.
   * @throws {RequestError} if the range cuts a mapped one in two.
   */
  unmap(flags: number, iova: bigint, bytes: bigint): void {
    if ((flags & UNMAP_ALL) !== 0) return this.clear();
    // Not exact beyond 2^53, where no range is.
    const start = Number(iova), end = Number(iova + bytes);
    let from = indexAfter(this.#ranges, start);
    if (from > 0 && this.#ranges[from - 1].end > start) from--;
    const to = Math.max(from, indexAfter(this.#ranges, end - 1));
    if (this.#ranges[from]?.start < start && to > from || this.#ranges[to - 1]?.end > end) {
      throw new RequestError(Errno.EINVAL, `0x${iova.toString(16)} cuts a mapped range in two`);
    }
    for (const range of this.#ranges.splice(from, to - from)) this.#drop(range);
  }

  /** Unmaps all ranges. */
  clear(): void {
    for (const range of this.#ranges.splice(0)) this.#drop(range);
  }

  /** Maps part of the client's file, watched: an access beyond its end would end this process. */
  #mapFile(fd: number, offset: number, bytes: number): Mapping {
    if (this.#bytes + bytes > MAX_BYTES) {
      throw new RequestError(ENOSPC, `a DMA range exceeds ${MAX_BYTES} bytes in all`);
    }
    try {
      return Mapping.peerFile("a DMA range", fd, bytes, offset);
    } catch (error) {
      if (error instanceof RangeError) throw new RequestError(Errno.EINVAL, error.message);
      if (!(error instanceof SystemError)) throw error;
      throw new RequestError(error.errno, error.message);
    }
  }

  /** Shows memory to the model. */
  #show(mapping: Mapping, iova: number, flags: number): void {
    const writable = (flags & MAP_WRITE) !== 0;
    const readable = (flags & MAP_READ) !== 0;
    try {
      this.#target.map(iova, mapping.buffer, 0, mapping.bytes, writable, readable);
    } catch (error) {
      mapping.unmap();
      throw error;
    }
    this.#bytes += mapping.bytes;
  }

  /** Drops the model's views before the memory: the other order would crash the process. */
  #drop({ start, mapping }: Range): void {
    if (mapping === undefined) return;
    this.#bytes -= mapping.bytes;
    this.#target.unmap(start, mapping.bytes);
    mapping.unmap();
  }
}
