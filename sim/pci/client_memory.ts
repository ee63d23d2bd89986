/**
 * The client's memory. Each DMA_MAP maps part of the client's file into this process, each
 * DMA_UNMAP unmaps it, and everything is unmapped when the client disconnects.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { Errno, stubs, SystemError } from "../../native/stubs.ts";
import { RequestError } from "./connection.ts";
import type { DmaTarget } from "./model.ts";

/** A range of bus addresses that the client has mapped. */
interface Range {
  readonly iova: bigint;
  readonly bytes: bigint;
  /** Absent if the client sent no descriptor: the model cannot reach the range then. */
  readonly mapping: Mapping | undefined;
}

const PAGE = 4096n;
/** Limit of ranges: bus addresses are JavaScript numbers in the model. */
const MAX_END = 1n << 53n;
const MAP_READ = 0x1;
const MAP_WRITE = 0x2;
const UNMAP_ALL = 0x2;
const EEXIST = 17;

/** All ranges of one client. */
export class ClientMemory {
  readonly #target: DmaTarget;
  #ranges: Range[] = [];

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

  /**
   * Maps a range: the command DMA_MAP.
   *
   * @param flags 1: the device may read; 2: it may write.
   * @param offset Offset of the range in the file, in bytes.
   * @param fd The file, or undefined. The caller keeps ownership.
   * @throws {RequestError} if the range overlaps another, or exceeds the file.
   */
  map(flags: number, offset: bigint, iova: bigint, bytes: bigint, fd: number | undefined): void {
    if (bytes === 0n || ((iova | bytes | offset) & (PAGE - 1n)) !== 0n) {
      throw new RequestError(Errno.EINVAL, `${span(iova, bytes)} does not consist of whole pages`);
    }
    if (iova + bytes > MAX_END || offset + bytes > MAX_END) {
      throw new RequestError(Errno.EINVAL, `${span(iova, bytes)} is beyond 53-bit addresses`);
    }
    if (this.#ranges.some((r) => iova < r.iova + r.bytes && r.iova < iova + bytes)) {
      throw new RequestError(EEXIST, `${span(iova, bytes)} overlaps a mapped range`);
    }
    const mapping = fd === undefined ? undefined : mapFile(fd, Number(offset), Number(bytes));
    this.#ranges.push({ iova, bytes, mapping });
    if (mapping === undefined) return;
    const writable = (flags & MAP_WRITE) !== 0;
    const readable = (flags & MAP_READ) !== 0;
    this.#target.map(Number(iova), mapping.buffer, 0, Number(bytes), writable, readable);
  }

  /**
   * Unmaps all ranges inside a range, if there are any: the command DMA_UNMAP.
   *
   * @param flags 2: unmaps all ranges of the client.
   * @throws {RequestError} if the range cuts a mapped one in two.
   */
  unmap(flags: number, iova: bigint, bytes: bigint): void {
    if ((flags & UNMAP_ALL) !== 0) return this.clear();
    const end = iova + bytes;
    const touched = this.#ranges.filter((r) => iova < r.iova + r.bytes && r.iova < end);
    if (touched.some((r) => r.iova < iova || r.iova + r.bytes > end)) {
      throw new RequestError(Errno.EINVAL, `${span(iova, bytes)} cuts a mapped range in two`);
    }
    this.#ranges = this.#ranges.filter((r) => !touched.includes(r));
    for (const range of touched) this.#drop(range);
  }

  /** Unmaps all ranges. */
  clear(): void {
    const ranges = this.#ranges;
    this.#ranges = [];
    for (const range of ranges) this.#drop(range);
  }

  /** Drops the model's views before the memory: the other order would crash the process. */
  #drop(range: Range): void {
    if (range.mapping === undefined) return;
    this.#target.unmap(Number(range.iova), Number(range.bytes));
    range.mapping.unmap();
  }
}

/**
 * Maps part of the client's file. Checks its size first: access beyond it would crash the process.
 */
function mapFile(fd: number, offset: number, bytes: number): Mapping {
  const size = new Float64Array(1);
  if (stubs.ixy_size(fd, size) < 0 || size[0] < offset + bytes) {
    throw new RequestError(Errno.EINVAL, `the file of a DMA range has only ${size[0]} bytes`);
  }
  try {
    return Mapping.file("the client's memory", fd, bytes, offset);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new RequestError(error.errno, error.message);
  }
}

function span(iova: bigint, bytes: bigint): string {
  return `DMA range 0x${iova.toString(16)} of ${bytes} bytes`;
}
