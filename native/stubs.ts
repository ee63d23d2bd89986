/**
 * Loads the C stubs: system calls as functions. `--allow-ffi` is the only permission needed, because
 * the shared object is embedded in a module and loaded from memory.
 *
 * @module
 */

import { SystemError, UsageError } from "./errors.ts";
import { STUBS } from "./stubs.generated.ts";

export { SystemError } from "./errors.ts";

const SYMBOLS = {
  ixy_open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  ixy_close: { parameters: ["i32"], result: "i32" },
  ixy_pread: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_pwrite: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_unlink: { parameters: ["buffer"], result: "i32" },
  ixy_readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  ixy_stat: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  ixy_list: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  ixy_lock: { parameters: ["i32"], result: "i32" },
  ixy_ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  // The same stub, for requests that take a number instead of a pointer.
  ixy_ioctl_value: { name: "ixy_ioctl", parameters: ["i32", "u32", "usize"], result: "i32" },
  ixy_mmap: { parameters: ["i32", "f64", "f64", "buffer"], result: "i32" },
  ixy_reserve: { parameters: ["f64", "buffer"], result: "i32" },
  ixy_mmap_at: { parameters: ["pointer", "i32", "f64", "f64"], result: "i32" },
  ixy_munmap: { parameters: ["pointer", "f64"], result: "i32" },
  ixy_memory: { parameters: ["f64", "u32", "buffer"], result: "i32" },
  ixy_watch: { parameters: ["pointer", "f64"], result: "i32" },
  ixy_unwatch: { parameters: ["i32"], result: "i32" },
  ixy_lost: { parameters: ["i32"], result: "i32" },
  ixy_pagemap: { parameters: ["pointer", "u32", "u32", "buffer"], result: "i32" },
  ixy_connect: { parameters: ["buffer", "i32"], result: "i32" },
  ixy_bind: { parameters: ["buffer", "i32"], result: "i32" },
  ixy_accept: { parameters: ["i32"], result: "i32" },
  ixy_send: { parameters: ["i32", "buffer", "u32", "buffer", "u32", "i32"], result: "i32" },
  ixy_sendto: { parameters: ["i32", "buffer", "u32", "buffer", "i32"], result: "i32" },
  ixy_recv: { parameters: ["i32", "buffer", "u32", "buffer", "i32"], result: "i32" },
  ixy_peer: { parameters: ["i32", "buffer"], result: "i32" },
  ixy_start: {
    parameters: ["buffer", "u32", "buffer", "buffer", "i32", "buffer"],
    result: "i32",
  },
  ixy_end: { parameters: ["i32"], result: "i32" },
  ixy_eventfd: { parameters: [], result: "i32" },
  ixy_signal: { parameters: ["i32"], result: "i32" },
  ixy_poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  ixy_milliseconds: { parameters: [], result: "f64" },
  ixy_stop_nohup: { parameters: [], result: "i32" },
  ixy_stop_begin: { parameters: ["i32", "buffer"], result: "i32" },
  ixy_stop_end: { parameters: [], result: "i32" },
} as const;

/** Access modes of `open(2)`. */
export const Open = { RDONLY: 0, WRONLY: 1, RDWR: 2 } as const;

/** The Linux error numbers that this project handles. */
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

/** Returns a sentence that says why the stubs cannot run on a machine; undefined if they can. */
export function unsupported(os: string, arch: string): string | undefined {
  if (os === "linux" && arch === "x86_64") return undefined;
  return `ixy.ts runs only on Linux on x86-64, and this is ${os} on ${arch}`;
}

type Stubs = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Loads the stubs. If that is not possible, their first use throws a UsageError; the import does not. */
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
      throw new UsageError(problem);
    },
  });
}

/** Loads the shared object from memory: a file on disk would need further permissions. */
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
      throw new Error("cannot load the C stubs: memfd_create or write failed: see `ulimit -a`");
    }
    return Deno.dlopen(`/proc/self/fd/${fd}`, SYMBOLS).symbols;
  } finally {
    libc.symbols.close(fd);
    libc.close();
  }
}

/**
 * Encodes a path as the NUL-terminated string that the stubs take.
 *
 * @throws {UsageError} if the path has a NUL character: the kernel would take another path.
 */
export function path(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new UsageError(`${JSON.stringify(text)} is not a path: leave out the NUL character`);
  }
  return new TextEncoder().encode(text + "\0");
}

/** The stubs. A negative result is an error number, see {@linkcode checkErrno}. */
export const stubs: Stubs = load();

/**
 * Returns the result of a stub if it is not an error.
 *
 * @param what The call and its object, for the message.
 * @throws {SystemError} if the result is negative.
 */
export function checkErrno(what: string, result: number): number {
  if (result < 0) throw new SystemError(what, -result);
  return result;
}
