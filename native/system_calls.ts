/**
 * What belongs to system calls besides the calls themselves, which `stubs.ts` makes: modes, error
 * numbers, paths.
 *
 * @module
 */

import { SystemError, UsageError } from "./errors.ts";

/** Access modes of `open(2)`. */
export const Open = { RDONLY: 0, WRONLY: 1, RDWR: 2 } as const;

/** The Linux error numbers that this project handles. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  EMFILE: 24,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  ENETDOWN: 100,
  ENOBUFS: 105,
  ECONNRESET: 104,
  ECONNREFUSED: 111,
  EADDRINUSE: 98,
} as const;

/**
 * Encodes a path as the NUL-terminated string that the stubs take. Lone surrogates U+DC80 to U+DCFF stand
 * for bytes that are not UTF-8, see `decode` in `files.ts`.
 *
 * @throws {UsageError} if the path has a NUL character: the kernel would take another path.
 */
export function path(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new UsageError(`${JSON.stringify(text)} is not a path: leave out the NUL character`);
  }
  const encoder = new TextEncoder();
  if (text.isWellFormed()) return encoder.encode(text + "\0");
  return Uint8Array.from(
    [...text, "\0"].flatMap((character) => {
      const code = character.codePointAt(0)!;
      return code >= 0xdc80 && code <= 0xdcff ? [code & 0xff] : [...encoder.encode(character)];
    }),
  );
}

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
