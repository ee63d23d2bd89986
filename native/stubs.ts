/**
 * The C stubs, loaded: system calls as functions. A failed call throws {@linkcode SystemError},
 * where nothing else is said. `--allow-ffi` is all it takes: the shared object is embedded in the
 * module graph and loaded from memory.
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

/** How a file is opened (`open(2)`). */
export const Open = { RDONLY: 0, WRONLY: 1, RDWR: 2 } as const;

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

/** Why the stubs cannot run on a machine, in a sentence; undefined if they can. */
export function unsupported(os: string, arch: string): string | undefined {
  if (os === "linux" && arch === "x86_64") return undefined;
  return `ixy.ts runs on Linux on x86-64 only, and this is ${os} on ${arch}`;
}

type Stubs = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Loads the stubs. Where that is not possible, the first use throws a UsageError, not the import. */
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
export function checkErrno(what: string, result: number): number {
  if (result < 0) throw new SystemError(what, -result);
  return result;
}
