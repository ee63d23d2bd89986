/**
 * Memory mapped into this process: files, memory shared with devices, reserved address space.
 *
 * @module
 */

import { FileKind, isServed, status } from "./files.ts";
import { checkErrno, stubs } from "./stubs.ts";

/** Sizes of hugepages in bytes. */
export const PageSize = { MIB_2: 2 ** 21, GIB_1: 2 ** 30 } as const;

/**
 * Memory mapped into this process. Unmapping detaches every view of it: a view that is used too late is
 * empty, and never reaches other memory.
 */
export class Mapping implements Disposable {
  /** Size in bytes. */
  readonly bytes: number;
  /** The file descriptor of memory from {@linkcode Mapping.memory}, also if adopted; else -1. */
  readonly fd: number;
  /** Whether the memory consists of hugepages. */
  readonly huge: boolean;
  readonly #adopted: boolean;
  /** Index for the stubs if the memory is watched. */
  #watch: number | undefined;
  #pointer: Deno.PointerObject | undefined;
  #buffer: ArrayBuffer | undefined;

  private constructor(
    address: bigint,
    bytes: number,
    fd: number,
    huge: boolean,
    adopted = false,
  ) {
    this.#adopted = adopted;
    this.bytes = bytes;
    this.fd = fd;
    this.huge = huge;
    this.#pointer = Deno.UnsafePointer.create(address)!;
    this.#buffer = Deno.UnsafePointerView.getArrayBuffer(this.#pointer, bytes);
  }

  /**
   * Maps part of an open file, shared, for reading and writing. For a file of another process, see
   * {@linkcode Mapping.peerFile}.
   *
   * @param what The file, for messages.
   * @throws {SystemError} if the kernel refuses.
   */
  static file(what: string, fd: number, bytes: number, offset = 0): Mapping {
    const address = new BigUint64Array(1);
    checkErrno(`mmap ${what}`, stubs.ixy_mmap(fd, bytes, offset, address));
    return new Mapping(address[0], bytes, -1, false);
  }

  /**
   * Maps part of a file of another process, shared, for reading and writing. That process can truncate
   * the file: an access to what is gone marks the memory as lost, see {@linkcode Mapping.prototype.watch}.
   *
   * @param what The file, for messages.
   * @throws {RangeError} if it is not a regular file, is too small, or the part is not whole hugepages.
   * @throws {SystemError} if the kernel refuses.
   */
  static peerFile(what: string, fd: number, bytes: number, offset = 0): Mapping {
    if (isServed(fd)) {
      throw new RangeError(`the file of ${what} is in a file system that may wait for a process`);
    }
    const { kind, size, hugepage } = status(fd);
    if (kind !== FileKind.REGULAR) {
      throw new RangeError(`the file of ${what} is not a regular file`);
    }
    if (size < offset + bytes) throw new RangeError(`the file of ${what} has only ${size} bytes`);
    // Hugepages can only be mapped and unmapped whole.
    if (hugepage > 0 && (offset % hugepage !== 0 || bytes % hugepage !== 0)) {
      throw new RangeError(`${what} does not consist of whole hugepages of ${hugepage} bytes`);
    }
    const mapping = Mapping.file(what, fd, bytes, offset);
    try {
      mapping.watch();
    } catch (error) {
      mapping.unmap();
      throw error;
    }
    return mapping;
  }

  /**
   * Allocates zeroed memory that can be shared by its descriptor. Its size is sealed.
   *
   * @param huge Whether to use hugepages.
   * @param pageSize Size of a hugepage in bytes; `bytes` is a multiple of it.
   * @throws {SystemError} if there is not enough memory or there are too few hugepages, or the limit of the
   * control group is reached.
   */
  static memory(bytes: number, huge: boolean, pageSize: number = PageSize.MIB_2): Mapping {
    const address = new BigUint64Array(1);
    const fd = checkErrno(
      `map ${bytes} bytes of ${huge ? "hugepages" : "memory"}`,
      stubs.ixy_memory(bytes, huge ? Math.log2(pageSize) : 0, address),
    );
    return new Mapping(address[0], bytes, fd, huge);
  }

  /**
   * Reserves address space for {@linkcode Mapping.place}. It reads as zeros and takes no memory until it
   * is written.
   *
   * @throws {SystemError} if the kernel refuses.
   */
  static reserve(bytes: number): Mapping {
    const address = new BigUint64Array(1);
    checkErrno(`reserve ${bytes} bytes of address space`, stubs.ixy_reserve(bytes, address));
    return new Mapping(address[0], bytes, -1, false);
  }

  /**
   * Maps part of an open file, shared, over part of this memory; or zeros over what was placed there.
   *
   * @param what The file, for messages.
   * @param at Offset in this memory, in bytes: a multiple of the file's page size.
   * @param fd The file; -1 for zeros.
   * @throws {RangeError} if the place is not within this memory.
   * @throws {SystemError} if the kernel refuses.
   */
  place(what: string, at: number, bytes: number, fd: number, offset = 0): void {
    if (!(at >= 0 && at + bytes <= this.bytes)) {
      throw new RangeError(`${what} at ${at} lies outside the ${this.bytes} bytes reserved`);
    }
    const pointer = Deno.UnsafePointer.create(this.address + BigInt(at));
    checkErrno(`mmap ${what}`, stubs.ixy_mmap_at(pointer, fd, bytes, offset));
  }

  /**
   * Watches memory that another process can take away, until it is unmapped. An access to what is gone
   * does not end this process with SIGBUS: all of the memory then reads as zeros, and is
   * {@linkcode Mapping.prototype.lost}.
   *
   * @throws {SystemError} if too much memory is watched.
   */
  watch(): void {
    this.#watch ??= checkErrno("watch memory", stubs.ixy_watch(this.#pointer!, this.bytes));
  }

  /** Whether another process has taken watched memory away, and this process has accessed it since. */
  get lost(): boolean {
    return this.#watch !== undefined && stubs.ixy_lost(this.#watch) !== 0;
  }

  /** How often watched memory was lost in this process so far. */
  static get losses(): number {
    return stubs.ixy_lost(-1);
  }

  /**
   * Adopts memory that another thread of this process has mapped. Unmapping it here only detaches this
   * thread's views; the other thread unmaps the memory, after all threads that have adopted it.
   *
   * @param address An address within the other thread's mapping.
   * @param fd The other thread's file descriptor of the memory; -1 if there is none.
   */
  static adopted(address: bigint, bytes: number, fd: number): Mapping {
    return new Mapping(address, bytes, fd, false, true);
  }

  /**
   * The memory.
   *
   * @throws {Error} if it was unmapped.
   */
  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) throw new Error("memory used after it was unmapped");
    return this.#buffer;
  }

  /**
   * The memory's virtual address in this process, for system calls that take one.
   *
   * @throws {Error} if it was unmapped.
   */
  get address(): bigint {
    if (this.#pointer === undefined) throw new Error("memory used after it was unmapped");
    return Deno.UnsafePointer.value(this.#pointer);
  }

  /**
   * Looks up the physical address of every `step` bytes.
   *
   * @returns The addresses, or undefined if the kernel hides them from this process.
   * @throws {SystemError} if `/proc/self/pagemap` cannot be read.
   * @throws {Error} if the memory was unmapped.
   */
  physicalAddresses(step: number): number[] | undefined {
    const entries = new BigUint64Array(this.bytes / step);
    if (this.#pointer === undefined) throw new Error("memory used after it was unmapped");
    checkErrno(
      "read /proc/self/pagemap",
      stubs.ixy_pagemap(this.#pointer, step, entries.length, entries),
    );
    // Bits 0 to 54: the frame number, which reads as 0 without privileges. Bit 63: the page is present.
    const frames = Array.from(entries, (entry) => Number(entry & ((1n << 55n) - 1n)));
    if (frames.some((frame, i) => frame === 0 || entries[i] >> 63n === 0n)) return undefined;
    return frames.map((frame) => frame * 4096);
  }

  /**
   * Detaches every view, unmaps the memory and closes its descriptor. Idempotent.
   *
   * @throws {SystemError} if the kernel refuses.
   */
  unmap(): void {
    const pointer = this.#pointer;
    if (pointer === undefined) return;
    this.detach();
    if (this.#adopted) return;
    if (this.#watch !== undefined) stubs.ixy_unwatch(this.#watch);
    this.#watch = undefined;
    checkErrno("munmap", stubs.ixy_munmap(pointer, this.bytes));
    if (this.fd >= 0) checkErrno("close", stubs.ixy_close(this.fd));
  }

  /** Detaches every view, and leaves the memory mapped until the process ends. Idempotent. */
  detach(): void {
    if (this.#pointer === undefined) return;
    this.#pointer = undefined;
    this.buffer.transfer();
    this.#buffer = undefined;
  }

  /** Unmaps the memory, see {@linkcode Mapping.unmap}. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
