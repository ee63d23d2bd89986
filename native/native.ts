/**
 * The C stubs, loaded: system calls as functions. A failed call throws {@linkcode SystemError},
 * where nothing else is said. `--allow-ffi` is all it takes: the shared object is embedded in the
 * module graph and loaded from memory.
 *
 * @module
 */

import { STUBS } from "./stubs.generated.ts";

const SYMBOLS = {
  ixy_open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  ixy_close: { parameters: ["i32"], result: "i32" },
  ixy_pread: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_pwrite: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_unlink: { parameters: ["buffer"], result: "i32" },
  ixy_readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  ixy_size: { parameters: ["i32", "buffer"], result: "i32" },
  ixy_list: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  ixy_lock: { parameters: ["i32"], result: "i32" },
  ixy_ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  // The same for requests that take a number in the pointer's place.
  ixy_ioctl_value: { name: "ixy_ioctl", parameters: ["i32", "u32", "usize"], result: "i32" },
  ixy_mmap: { parameters: ["i32", "f64", "f64", "buffer"], result: "i32" },
  ixy_reserve: { parameters: ["f64", "buffer"], result: "i32" },
  ixy_mmap_at: { parameters: ["pointer", "i32", "f64", "f64"], result: "i32" },
  ixy_munmap: { parameters: ["pointer", "f64"], result: "i32" },
  ixy_memory: { parameters: ["f64", "i32", "buffer"], result: "i32" },
  ixy_pagemap: { parameters: ["pointer", "u32", "u32", "buffer"], result: "i32" },
  ixy_connect: { parameters: ["buffer", "i32"], result: "i32" },
  ixy_bind: { parameters: ["buffer", "i32"], result: "i32" },
  ixy_accept: { parameters: ["i32"], result: "i32" },
  ixy_send: { parameters: ["i32", "buffer", "u32", "buffer", "u32", "i32"], result: "i32" },
  ixy_sendto: { parameters: ["i32", "buffer", "u32", "buffer", "i32"], result: "i32" },
  ixy_recv: { parameters: ["i32", "buffer", "u32", "buffer", "i32"], result: "i32" },
  ixy_eventfd: { parameters: [], result: "i32" },
  ixy_poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  ixy_milliseconds: { parameters: [], result: "f64" },
  ixy_stop_begin: { parameters: ["buffer"], result: "i32" },
  ixy_stop_end: { parameters: [], result: "i32" },
} as const;

/** The error numbers of Linux that this project looks for. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EPIPE: 32,
  ENOBUFS: 105,
  ECONNRESET: 104,
  ECONNREFUSED: 111,
  EADDRINUSE: 98,
} as const;

const MEANING: Record<number, string> = {
  1: "operation not permitted",
  2: "no such file or directory",
  4: "interrupted",
  5: "input/output error",
  6: "no such device or address",
  9: "bad file descriptor",
  11: "would block",
  12: "out of memory",
  13: "permission denied",
  14: "bad address",
  16: "busy",
  17: "file exists",
  19: "no such device",
  20: "not a directory",
  21: "is a directory",
  22: "invalid argument",
  24: "too many open files",
  28: "no space left",
  30: "read-only file system",
  32: "the other side has closed",
  36: "name too long",
  90: "message too long",
  98: "address in use",
  104: "connection reset",
  105: "no buffer space",
  107: "not connected",
  111: "connection refused",
};

/** A system call that failed. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** The positive error number, one of {@linkcode Errno} as a rule. */
  readonly errno: number;

  /**
   * @param what The call and what it was for: `open nic0.sock`.
   * @param errno The positive error number.
   */
  constructor(what: string, errno: number) {
    super(`${what}: ${MEANING[errno] ?? `error ${errno}`}`);
    this.errno = errno;
  }
}

/** Why the stubs cannot run on a machine, in a sentence; undefined if they can. */
export function unsupported(os: string, arch: string): string | undefined {
  if (os === "linux" && arch === "x86_64") return undefined;
  return `ixy.ts runs on Linux on x86-64 only, and this is ${os} on ${arch}`;
}

/** The stubs cannot be used: another machine than they are for, or no permission. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";
}

type Stubs = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Loads the stubs. Where that cannot be, the first use of one says why, not the import. */
function load(): Stubs {
  let problem = unsupported(Deno.build.os, Deno.build.arch);
  if (problem === undefined) {
    try {
      return loadFromMemory();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      problem = "ixy.ts makes system calls through a C library: run it with `deno run --allow-ffi`";
    }
  }
  return new Proxy({} as Stubs, {
    get() {
      throw new UnsupportedError(problem);
    },
  });
}

/** Loads the shared object from memory: a file of ours on disk would need more permissions. */
function loadFromMemory(): Stubs {
  const libc = Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
    write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const object = Uint8Array.from(atob(STUBS), (c) => c.charCodeAt(0));
  const fd = libc.symbols.memfd_create(path("ixy-stubs"), 1);
  try {
    if (fd < 0 || libc.symbols.write(fd, object, BigInt(object.length)) !== BigInt(object.length)) {
      throw new Error("cannot put the C stubs into memory: memfd_create or write failed");
    }
    return Deno.dlopen(`/proc/self/fd/${fd}`, SYMBOLS).symbols;
  } finally {
    libc.symbols.close(fd);
    libc.close();
  }
}

/** A NUL-terminated string, as the stubs take paths. */
export function path(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/** The stubs as they are: a negative result is an error number. */
export const stubs: Stubs = load();

/**
 * Passes a stub's result on, if it is no error.
 *
 * @param what The call and what it was for, for the message.
 * @throws {SystemError} if the result is negative.
 */
export function check(what: string, result: number): number {
  if (result < 0) throw new SystemError(what, -result);
  return result;
}

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
  readonly #borrowed: boolean;
  #pointer: Deno.PointerObject | undefined;
  #buffer: ArrayBuffer | undefined;

  private constructor(
    address: bigint,
    bytes: number,
    fd: number,
    huge: boolean,
    borrowed = false,
  ) {
    this.#borrowed = borrowed;
    this.bytes = bytes;
    this.fd = fd;
    this.huge = huge;
    this.#pointer = Deno.UnsafePointer.create(address)!;
    this.#buffer = Deno.UnsafePointerView.getArrayBuffer(this.#pointer, bytes);
  }

  /** Maps part of an open file, for reading and writing, shared. */
  static file(what: string, fd: number, bytes: number, offset = 0): Mapping {
    const address = new BigUint64Array(1);
    check(`mmap ${what}`, stubs.ixy_mmap(fd, bytes, offset, address));
    return new Mapping(address[0], bytes, -1, false);
  }

  /**
   * Memory of this process, zeroed, locked, shareable by its descriptor; in 2 MiB pages if `huge`.
   *
   * @throws {SystemError} with `ENOMEM` if there are too few hugepages.
   */
  static memory(bytes: number, huge: boolean): Mapping {
    const address = new BigUint64Array(1);
    const fd = check(
      `map ${bytes} bytes of ${huge ? "hugepages" : "memory"}`,
      stubs.ixy_memory(bytes, huge ? 1 : 0, address),
    );
    return new Mapping(address[0], bytes, fd, huge);
  }

  /** Address space for {@linkcode Mapping.place}: zeros, and no memory until it is written. */
  static reserve(bytes: number): Mapping {
    const address = new BigUint64Array(1);
    check(`reserve ${bytes} bytes of address space`, stubs.ixy_reserve(bytes, address));
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
    check(`mmap ${what}`, stubs.ixy_mmap_at(pointer, fd, bytes, offset));
  }

  /**
   * Memory that another thread of this process has mapped and will unmap, once nobody borrows it any
   * more: unmapping it here detaches the views of this thread, and nothing else.
   *
   * @param address What {@linkcode Mapping.address} is in the other thread, or lies behind it.
   */
  static borrowed(address: bigint, bytes: number): Mapping {
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
    check(
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
    if (this.#borrowed) return;
    check("munmap", stubs.ixy_munmap(pointer, this.bytes));
    if (this.fd >= 0) check("close", stubs.ixy_close(this.fd));
  }

  /** Unmaps. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const doNothing = () => {};

/**
 * Catches SIGINT and SIGTERM: the first one stores its number where a loop can look for it without
 * leaving JavaScript, the second one of a kind ends the process.
 */
export class StopFlag implements Disposable {
  readonly #word: Int32Array;

  /** Installs the signal handlers. */
  constructor() {
    // Deno installs its own handlers when it first needs them, which would undo ours: do that now.
    for (const signal of SIGNALS) Deno.addSignalListener(signal, doNothing);
    const address = new BigUint64Array(1);
    check("install signal handlers", stubs.ixy_stop_begin(address));
    const pointer = Deno.UnsafePointer.create(address[0])!;
    this.#word = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
  }

  /** The signal's number once one has come, else 0. */
  get signal(): number {
    return this.#word[0];
  }

  /** Puts the former handlers back. */
  [Symbol.dispose](): void {
    check("restore signal handlers", stubs.ixy_stop_end());
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, doNothing);
  }
}

/**
 * Milliseconds since some moment in the past, for loops that move packets: it leaves nothing on the heap
 * where the compiler knows it, while each call of `performance.now()` makes a number there.
 */
export function milliseconds(): number {
  return stubs.ixy_milliseconds();
}

/** A time span that is asked again and again whether it is over. */
export class TimeSpan {
  readonly #milliseconds: number;
  readonly #end = new Float64Array(1);

  /**
   * Begins now.
   *
   * @param milliseconds How long it is.
   */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.restart();
  }

  /** Whether it is over. */
  get over(): boolean {
    return milliseconds() >= this.#end[0];
  }

  /** Begins again, now. */
  restart(): void {
    this.#end[0] = milliseconds() + this.#milliseconds;
  }
}
