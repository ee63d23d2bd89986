/**
 * Small files, directories and links of the kernel, read and written through the stubs: what a
 * program with `--allow-ffi` alone cannot do through Deno.
 *
 * @module
 */

import { checkErrno, Errno, Open, path, stubs, SystemError } from "./stubs.ts";

/** Errors of a file that this process cannot have; that of another process goes when that one ends. */
const ABSENT: readonly number[] = [Errno.ENOENT, Errno.ESRCH, Errno.EPERM, Errno.EACCES];

/**
 * The bytes of a file up to its end, which is where reading finds it: the kernel's files tell no size.
 *
 * @param most How many bytes to read at most.
 * @throws {SystemError} if it cannot be opened or read.
 */
export function readBytes(file: string, most = Infinity): Uint8Array<ArrayBuffer> {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), Open.RDONLY, 0));
  try {
    let bytes = new Uint8Array(Math.min(most, 4096)), used = 0;
    for (;;) {
      const room = bytes.subarray(used);
      const n = checkErrno(`read ${file}`, stubs.ixy_read(fd, room, room.length));
      used += n;
      if (n === 0 || used === most) return bytes.subarray(0, used);
      if (used < bytes.length) continue;
      const longer = new Uint8Array(Math.min(most, 4 * used));
      longer.set(bytes);
      bytes = longer;
    }
  } finally {
    stubs.ixy_close(fd);
  }
}

/**
 * The text of a file, without white space at its ends.
 *
 * @throws {SystemError} if it cannot be opened or read.
 */
export function readText(file: string): string {
  return new TextDecoder().decode(readBytes(file)).trim();
}

/**
 * What `read` returns; undefined if it finds that there is no such file, or that this user may not read
 * it.
 *
 * @throws {SystemError} if it fails for another reason.
 */
export function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SystemError && ABSENT.includes(error.errno)) return undefined;
    throw error;
  }
}

/** Writes text to a file that exists; throws SystemError. */
export function writeText(file: string, text: string): void {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), Open.WRONLY, 0));
  try {
    const bytes = new TextEncoder().encode(text);
    checkErrno(`write ${file}`, stubs.ixy_write(fd, bytes, bytes.length));
  } finally {
    stubs.ixy_close(fd);
  }
}

/** The names in a directory; none if there is no such directory or it cannot be read. */
export function list(directory: string): string[] {
  let bytes = new Uint8Array(4096), n: number;
  while ((n = stubs.ixy_list(path(directory), bytes, bytes.length)) === -Errno.ENOBUFS) {
    bytes = new Uint8Array(4 * bytes.length);
  }
  if (n <= 0) return [];
  return new TextDecoder().decode(bytes.subarray(0, n - 1)).split("\0");
}

/** The last part of what a symbolic link points to; undefined if there is no such link. */
export function linkName(link: string): string | undefined {
  const bytes = new Uint8Array(4096);
  const n = stubs.ixy_readlink(path(link), bytes, bytes.length);
  if (n <= 0) return undefined;
  return new TextDecoder().decode(bytes.subarray(0, n)).split("/").at(-1);
}
