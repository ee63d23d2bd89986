/**
 * Small files, directories and links of the kernel, read and written through the stubs: what a
 * program with `--allow-ffi` alone cannot do through Deno.
 *
 * @module
 */

import { checkErrno, Errno, path, stubs } from "./stubs.ts";

const O_WRONLY = 1;

/** The text of a small file, without white space at its ends; throws SystemError. */
export function readText(file: string): string {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), 0, 0));
  try {
    const bytes = new Uint8Array(4096);
    const n = checkErrno(`read ${file}`, stubs.ixy_pread(fd, bytes, bytes.length, 0));
    return new TextDecoder().decode(bytes.subarray(0, n)).trim();
  } finally {
    stubs.ixy_close(fd);
  }
}

/** Writes text to a file that exists; throws SystemError. */
export function writeText(file: string, text: string): void {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), O_WRONLY, 0));
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
