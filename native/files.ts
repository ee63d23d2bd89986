/**
 * Reads and writes small files, directories and links of the kernel (sysfs, procfs) through the stubs.
 * Deno's own calls would need permissions beyond `--allow-ffi`.
 *
 * @module
 */

import { checkErrno, Errno, Open, path, stubs, SystemError } from "./stubs.ts";

/**
 * Errors that say that a file does not exist or is not readable. ESRCH: a file in `/proc` whose process
 * has ended. ENODEV: a file in `/sys` whose device was removed after it was opened.
 */
const ABSENT: readonly number[] = [
  ...[Errno.ENOENT, Errno.ESRCH, Errno.ENODEV, Errno.EPERM, Errno.EACCES],
];

/** The bytes of a UTF-8 character, by its first byte. */
function lengthOf(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/**
 * Decodes the kernel's text. Names in it are bytes: a byte that is not UTF-8 becomes a lone surrogate U+DC80
 * to U+DCFF, from which `path` makes the same byte.
 */
export function decode(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const whole = (part: Uint8Array) => {
    try {
      return decoder.decode(part);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return undefined;
    }
  };
  const all = whole(bytes);
  if (all !== undefined) return all;
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const length = lengthOf(bytes[i]), character = whole(bytes.subarray(i, i + length));
    text += character ?? String.fromCharCode(0xdc00 + bytes[i]);
    i += character === undefined ? 1 : length;
  }
  return text;
}

/**
 * Returns a text to print: with escapes for control characters, which names can contain, and for bytes that
 * are not UTF-8.
 */
export function visible(text: string): string {
  // deno-lint-ignore no-control-regex
  const hidden = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu;
  return text.replaceAll(hidden, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, "0");
    return code.startsWith("dc") ? `\\x${code.slice(2)}` : `\\u${code}`;
  });
}

/** Returns a name as a word of a shell command. */
export function shellWord(name: string): string {
  if (/^[\w.:@%+/-]+$/.test(name)) return name;
  const bytes = [...path(name).subarray(0, -1)].map((byte) => {
    const character = String.fromCharCode(byte);
    return /[^\x21-\x7e]|['\\]/.test(character)
      ? `\\x${byte.toString(16).padStart(2, "0")}`
      : character;
  });
  return `$'${bytes.join("")}'`;
}

/**
 * Reads a file to its end. The size is not known in advance: the kernel reports 0 for its own files.
 *
 * @param most The most bytes to read.
 * @throws {SystemError} if the file cannot be opened or read.
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
 * Reads a text file, without white space at its ends.
 *
 * @throws {SystemError} if the file cannot be opened or read.
 */
export function readText(file: string): string {
  return decode(readBytes(file)).replaceAll(/^[ \t-\r]+|[ \t-\r]+$/g, "");
}

/**
 * Returns what `read` returns, or undefined if the file does not exist or this user may not read it.
 *
 * @throws {SystemError} if `read` fails for another reason.
 */
export function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SystemError && ABSENT.includes(error.errno)) return undefined;
    throw error;
  }
}

/**
 * Writes text to an existing file.
 *
 * @throws {SystemError} if the file cannot be opened or written.
 */
export function writeText(file: string, text: string): void {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), Open.WRONLY, 0));
  try {
    const bytes = new TextEncoder().encode(text);
    checkErrno(`write ${file}`, stubs.ixy_write(fd, bytes, bytes.length));
  } finally {
    stubs.ixy_close(fd);
  }
}

/**
 * Returns the names in a directory; none if it does not exist, is not readable, or is a file.
 *
 * @throws {SystemError} if it cannot be read for another reason: too many files are open, for example.
 */
export function list(directory: string): string[] {
  let bytes = new Uint8Array(4096), n: number;
  while ((n = stubs.ixy_list(path(directory), bytes, bytes.length)) === -Errno.ENOBUFS) {
    bytes = new Uint8Array(4 * bytes.length);
  }
  if (n < 0 && -n !== Errno.ENOTDIR && !ABSENT.includes(-n)) {
    throw new SystemError(`list ${directory}`, -n);
  }
  if (n <= 0) return [];
  return decode(bytes.subarray(0, n - 1)).split("\0");
}

/** Returns the target of a symbolic link; undefined if the link does not exist. */
function linkTarget(link: string): string | undefined {
  const bytes = new Uint8Array(4096);
  const n = stubs.ixy_readlink(path(link), bytes, bytes.length);
  return n <= 0 ? undefined : decode(bytes.subarray(0, n));
}

/** Returns the last component of a symbolic link's target; undefined if the link does not exist. */
export function linkName(link: string): string | undefined {
  return linkTarget(link)?.split("/").at(-1);
}

/**
 * Returns whether a process or another machine may serve an open file, so that stat(2) or an access to mapped
 * memory can wait for it forever. Asks the kernel only.
 */
export function isServed(fd: number): boolean {
  if (stubs.ixy_seals(fd) >= 0) return false; // it is in memory
  if (linkTarget(`/proc/self/fd/${fd}`)?.startsWith("/") === false) return false; // eventfds, sockets
  const [info, mounts] = [`fdinfo/${fd}`, "mountinfo"].map((name) =>
    ifReadable(() => readText(`/proc/self/${name}`)) ?? ""
  );
  const mount = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1];
  const type = new RegExp(`^${mount} .* - (\\S+) `, "m").exec(mounts)?.[1];
  // A mount of another mount namespace is unknown here.
  return type === undefined || /^(fuse|nfs|9p|cifs|smb|ceph|afs)/.test(type);
}

/** What a file is, as stat(2) says. */
export interface Status {
  /** The file system's device number, and the number of the inode in it. */
  readonly device: number;
  readonly inode: number;
  /** Kind of file: {@linkcode FileKind}. */
  readonly kind: number;
  /** Size in bytes. */
  readonly size: number;
  /** Size in bytes of the hugepages that the file consists of; 0 for other files, and for a path. */
  readonly hugepage: number;
}

/** Kinds of files, in {@linkcode Status}. */
export const FileKind = {
  FIFO: 0o010000,
  CHARACTER_DEVICE: 0o020000,
  DIRECTORY: 0o040000,
  REGULAR: 0o100000,
  SOCKET: 0o140000,
} as const;
const KIND_MASK = 0o170000;

/**
 * Returns the status of an open file, or of what is at a path itself, also if it is a link.
 *
 * @throws {SystemError} if the kernel refuses.
 */
export function status(file: number | string): Status {
  const values = new Float64Array(5);
  const [fd, name] = typeof file === "number" ? [file, ""] : [-1, file];
  checkErrno(`stat ${name || `descriptor ${fd}`}`, stubs.ixy_stat(fd, path(name), values));
  const [device, inode, mode, size, hugepage] = values;
  return { device, inode, kind: mode & KIND_MASK, size, hugepage };
}
