/**
 * Loads the C stubs: system calls as functions. `--allow-ffi` is the only permission needed, because
 * the shared object is embedded in a module and loaded from memory.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import { STUBS } from "./stubs.generated.ts";
import { path } from "./system_calls.ts";

export { SystemError } from "./errors.ts";
export { checkErrno, Errno, Open, path } from "./system_calls.ts";

const SYMBOLS = {
  ixy_open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  ixy_close: { parameters: ["i32"], result: "i32" },
  ixy_pread: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_pwrite: { parameters: ["i32", "buffer", "u32", "f64"], result: "i32" },
  ixy_read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_truncate: { parameters: ["i32", "f64"], result: "i32" },
  ixy_unlink: { parameters: ["buffer"], result: "i32" },
  ixy_readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  ixy_seals: { parameters: ["i32"], result: "i32" },
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
  ixy_socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  ixy_bind_address: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  ixy_getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  ixy_wake: { parameters: ["i32", "i32"], result: "i32" },
  ixy_bpf: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  ixy_start: {
    parameters: ["buffer", "u32", "buffer", "buffer", "i32", "buffer"],
    result: "i32",
  },
  ixy_end: { parameters: ["i32"], result: "i32" },
  ixy_eventfd: { parameters: [], result: "i32" },
  ixy_signal: { parameters: ["i32"], result: "i32" },
  ixy_empty: { parameters: ["i32"], result: "i32" },
  ixy_poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  ixy_milliseconds: { parameters: [], result: "f64" },
  ixy_stop_begin: { parameters: ["buffer"], result: "i32" },
  ixy_stop_cover: { parameters: [], result: "i32" },
  ixy_stop_end: { parameters: [], result: "i32" },
} as const;

/** Returns a sentence that says why the stubs cannot run on a machine; undefined if they can. */
export function unsupported(os: string, arch: string): string | undefined {
  if (os === "linux" && arch === "x86_64") return undefined;
  return `ixy.ts runs only on Linux on x86-64, and this is ${os} on ${arch}`;
}

type Stubs = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Loads the stubs. If that is not possible, their first use throws a UsageError; the import does not. */
function load(): Stubs {
  try {
    const problem = unsupported(Deno.build.os, Deno.build.arch);
    if (problem !== undefined) throw new UsageError(problem);
    return loadFromMemory();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return new Proxy({} as Stubs, {
      get() {
        throw error;
      },
    });
  }
}

const LIBC = {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  mkostemp: { parameters: ["buffer", "i32"], result: "i32" },
  getenv: { parameters: ["buffer"], result: "pointer" },
  unlink: { parameters: ["buffer"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
} as const;
type Libc = Deno.DynamicLibrary<typeof LIBC>;

function openLibc(): Libc {
  try {
    return Deno.dlopen("libc.so.6", LIBC);
  } catch (cause) {
    // With permission for some paths only, the name means a file in the working directory.
    const allowed = Deno.permissions.querySync({ name: "ffi" }).state === "granted";
    throw new UsageError(
      allowed
        ? `ixy.ts needs the GNU C library (${
          reason(cause)
        }): use a system that has it, such as Debian`
        : "ixy.ts makes system calls through a C library: run it with `deno run --allow-ffi`, without a path",
      { cause },
    );
  }
}

/** Flags of memfd_create(2): close-on-exec, executable. Kernels before 6.3 do not know the second. */
const MFD_CLOEXEC = 1, MFD_EXEC = 0x10;
const O_CLOEXEC = 0o2000000;

/**
 * Loads the shared object from memory: a file on disk would need further permissions. Where the kernel
 * or a container does not allow that, it loads a temporary file, which C creates.
 */
function loadFromMemory(): Stubs {
  const libc = openLibc(), { memfd_create, mkostemp, getenv, unlink } = libc.symbols;
  const problems: string[] = [];
  try {
    const name = path("ixy-stubs");
    for (const flags of [MFD_CLOEXEC | MFD_EXEC, MFD_CLOEXEC]) {
      const loaded = tryLoad(libc, "memfd_create", memfd_create(name, flags), [], problems);
      if (loaded) return loaded;
    }
    const TMPDIR = getenv(path("TMPDIR"));
    const own = TMPDIR ? [new Deno.UnsafePointerView(TMPDIR).getCString()] : [];
    for (const directory of [...own, "/tmp", "/var/tmp", "/dev/shm"]) {
      const template = path(`${directory}/ixy-XXXXXX`);
      const fd = mkostemp(template, O_CLOEXEC);
      const file = new TextDecoder().decode(template.subarray(0, -1));
      const loaded = tryLoad(libc, directory, fd, [file], problems);
      if (fd >= 0) unlink(template);
      if (loaded) return loaded;
    }
  } finally {
    libc.close();
  }
  const why = [...new Set(problems)].join("; ");
  throw new UsageError(
    `cannot load the C stubs (${why}): mount /proc, or set TMPDIR to a directory where this process may ` +
      "write and execute files, in a container with `--tmpfs /tmp:exec`, and see `ulimit -n`",
  );
}

/**
 * Writes the shared object to an open file, loads it and closes the file. If that is not possible, adds the
 * reason to `problems`.
 *
 * @param what The file, for messages.
 * @param names Paths of the file, for processes without `/proc`.
 */
function tryLoad(
  { symbols: { write, close } }: Libc,
  what: string,
  fd: number,
  names: readonly string[],
  problems: string[],
): Stubs | undefined {
  if (fd < 0) {
    problems.push(`${what}: refused`);
    return undefined;
  }
  const object = Uint8Array.fromBase64(STUBS);
  try {
    if (write(fd, object, BigInt(object.length)) !== BigInt(object.length)) {
      problems.push(`${what}: no space`);
      return undefined;
    }
    for (const name of [`/proc/self/fd/${fd}`, ...names]) {
      try {
        return Deno.dlopen(name, SYMBOLS).symbols;
      } catch (error) {
        problems.push(`${what}: ${reason(error)}`);
      }
    }
  } finally {
    close(fd);
  }
}

/** Returns the last part of an error's message, without the names of files before it, which are temporary. */
function reason(error: unknown): string {
  return String(error).split(": ").at(-1)!;
}

/** The stubs. A negative result is an error number, see `checkErrno`. */
export const stubs: Stubs = load();
