/**
 * Memory mapped into this process: files, memory to share with devices, address space.
 *
 * @module
 */

import { checkErrno, stubs } from "./stubs.ts";

/**
 * Memory mapped into this process. Unmapping detaches every view of it, whoever holds one: a view
 * used too late is empty, never a stray access.
 */
export class Mapping implements Disposable {
  /** Size in bytes. */
  readonly bytes: number;
  /** The descriptor behind memory made by {@linkcode Mapping.memory}, else -1. */
  readonly fd: number;
  /** Whether it is in 2 MiB pages. */
  readonly huge: boolean;
  readonly #adopted: boolean;
  #pointer: Deno.PointerObject | undefined;
  #buffer: ArrayBuffer | undefined;

  private constructor(
    address: bigint,
    bytes: number,
    fd: number,
    huge: boolean,
    borrowed = false,
  ) {
    this.#adopted = borrowed;
    this.bytes = bytes;
    this.fd = fd;
    this.huge = huge;
    this.#pointer = Deno.UnsafePointer.create(address)!;
    this.#buffer = Deno.UnsafePointerView.getArrayBuffer(this.#pointer, bytes);
  }

  /** Maps part of an open file, for reading and writing, shared. */
  static file(what: string, fd: number, bytes: number, offset = 0): Mapping {
    const address = new BigUint64Array(1);
    checkErrno(`mmap ${what}`, stubs.ixy_mmap(fd, bytes, offset, address));
    return new Mapping(address[0], bytes, -1, false);
  }

  /**
   * Memory of this process, zeroed, locked, shareable by its descriptor; in 2 MiB pages if `huge`.
   *
   * @throws {SystemError} with `ENOMEM` if there are too few hugepages.
   */
  static memory(bytes: number, huge: boolean): Mapping {
    const address = new BigUint64Array(1);
    const fd = checkErrno(
      `map ${bytes} bytes of ${huge ? "hugepages" : "memory"}`,
      stubs.ixy_memory(bytes, huge ? 1 : 0, address),
    );
    return new Mapping(address[0], bytes, fd, huge);
  }

  /** Address space for {@linkcode Mapping.place}: zeros, and no memory until it is written. */
  static reserve(bytes: number): Mapping {
    const address = new BigUint64Array(1);
    checkErrno(`reserve ${bytes} bytes of address space`, stubs.ixy_reserve(bytes, address));
    return new Mapping(address[0], bytes, -1, false);
  }

  /**
   * Puts part of an open file in the place of part of the memory, shared; or zeros in the place of
   * what was put there.
   *
   * @param at Where in this memory, in bytes: a multiple of the file's page size.
   * @param fd The file; -1 for zeros.
   */
  place(what: string, at: number, bytes: number, fd: number, offset = 0): void {
    if (!(at >= 0 && at + bytes <= this.bytes)) throw new RangeError(`${what} at ${at}: outside`);
    const pointer = Deno.UnsafePointer.create(this.address + BigInt(at));
    checkErrno(`mmap ${what}`, stubs.ixy_mmap_at(pointer, fd, bytes, offset));
  }

  /**
   * Memory that another thread of this process has mapped and will unmap, once nobody borrows it any
   * more: unmapping it here detaches the views of this thread, and nothing else.
   *
   * @param address What {@linkcode Mapping.address} is in the other thread, or lies behind it.
   */
  static adopted(address: bigint, bytes: number): Mapping {
    return new Mapping(address, bytes, -1, false, true);
  }

  /** The memory. */
  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) throw new Error("memory used after it was unmapped");
    return this.#buffer;
  }

  /** Where it begins in this process, for system calls that want to be told. */
  get address(): bigint {
    if (this.#pointer === undefined) throw new Error("memory used after it was unmapped");
    return Deno.UnsafePointer.value(this.#pointer);
  }

  /**
   * The physical address of every `step` bytes.
   *
   * @returns Addresses in bytes, or undefined where the kernel hides them from this process.
   */
  physicalAddresses(step: number): number[] | undefined {
    const entries = new BigUint64Array(this.bytes / step);
    if (this.#pointer === undefined) throw new Error("memory used after it was unmapped");
    checkErrno(
      "read /proc/self/pagemap",
      stubs.ixy_pagemap(this.#pointer, step, entries.length, entries),
    );
    // Bits 0 to 54 are the frame number, 0 for who may not see it; bit 63 says the page is there.
    const frames = Array.from(entries, (entry) => Number(entry & ((1n << 55n) - 1n)));
    if (frames.some((frame, i) => frame === 0 || entries[i] >> 63n === 0n)) return undefined;
    return frames.map((frame) => frame * 4096);
  }

  /** Detaches every view, unmaps the memory and closes its descriptor. Again: nothing happens. */
  unmap(): void {
    if (this.#pointer === undefined) return;
    const pointer = this.#pointer;
    this.#pointer = undefined;
    this.buffer.transfer();
    this.#buffer = undefined;
    if (this.#adopted) return;
    checkErrno("munmap", stubs.ixy_munmap(pointer, this.bytes));
    if (this.fd >= 0) checkErrno("close", stubs.ixy_close(this.fd));
  }

  /** Unmaps. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
