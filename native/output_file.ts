/**
 * Files that programs overwrite. Opening one does not change it, so a program can open all its files,
 * compare them, and still refuse to start.
 *
 * Writes are nonblocking: a FIFO or a terminal whose reader is slow takes nothing.
 *
 * @module
 */

import { SystemError, UsageError } from "./errors.ts";
import { FileKind, ifReadable, type Status, status } from "./files.ts";
import { checkErrno, Errno, path, stubs } from "./stubs.ts";

/** Flags of `open(2)`. */
const O_WRONLY = 1, O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400, O_NONBLOCK = 0o4000;
/** Permissions of a new file, less the process's umask. */
const MODE = 0o666;
const POLLOUT = 4;

/** An open file, as far as {@linkcode requireDistinct} compares it. */
export interface OpenFile {
  /** Its path, as the user gave it. */
  readonly name: string;
  /** What it is. */
  readonly status: Status;
}

/** A file to write. Disposing closes it, and removes it if it is new and nothing was written. */
export class OutputFile implements OpenFile, Disposable {
  readonly name: string;
  readonly status: Status;
  readonly #fd: number;
  readonly #isNew: boolean;
  #begun = false;
  #closed = false;

  /**
   * Opens the file, or creates it.
   *
   * @throws {UsageError} if it cannot be written, is a socket, or is a FIFO that no process reads.
   */
  constructor(name: string) {
    const flags = O_WRONLY | O_NOCTTY | O_NONBLOCK;
    let fd = stubs.ixy_open(path(name), flags | O_CREAT | O_EXCL, MODE);
    this.#isNew = fd >= 0;
    // A link to a file that does not exist counts as existing for O_EXCL.
    if (fd === -Errno.EEXIST) fd = stubs.ixy_open(path(name), flags | O_CREAT, MODE);
    if (fd < 0) throw refusal(name, -fd);
    this.name = name;
    this.#fd = fd;
    this.status = status(fd);
  }

  /** Whether {@linkcode OutputFile.begin} has emptied the file. */
  get begun(): boolean {
    return this.#begun;
  }

  /**
   * Empties the file, as the first write does. Idempotent.
   *
   * @throws {SystemError} if the kernel refuses.
   */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    if (this.status.kind !== FileKind.REGULAR) return;
    checkErrno(`empty ${this.name}`, stubs.ixy_truncate(this.#fd, 0));
  }

  /**
   * Writes some of the bytes. Nonblocking.
   *
   * @returns How many, or a negative error number: -EAGAIN if the reader takes none now.
   */
  write(bytes: Uint8Array<ArrayBuffer>): number {
    this.begin();
    const n = stubs.ixy_write(this.#fd, bytes, bytes.length);
    return n === -Errno.EINTR ? 0 : n;
  }

  /**
   * Waits until a write would take bytes or fail; returns whether it would.
   *
   * @param milliseconds The longest time to wait. A signal ends it early.
   * @throws {SystemError} if the kernel cannot wait.
   */
  hasRoom(milliseconds: number): boolean {
    const n = stubs.ixy_poll(Int32Array.of(this.#fd, POLLOUT), 1, Math.ceil(milliseconds));
    return n !== -Errno.EINTR && checkErrno("poll", n) > 0;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    stubs.ixy_close(this.#fd);
    if (!this.#isNew || this.#begun) return;
    const now = ifReadable(() => status(this.name));
    if (now !== undefined && isSame(now, this.status)) stubs.ixy_unlink(path(this.name));
  }
}

function refusal(name: string, errno: number): UsageError {
  if (errno !== Errno.ENXIO) {
    return new UsageError(
      `cannot write ${new SystemError(name, errno).message}: choose another file`,
    );
  }
  return new UsageError(
    `cannot write ${name}: it is a socket, or a FIFO that no process reads: choose another file, or ` +
      "start the reader first",
  );
}

/**
 * Checks that no file to write is also another of these files, by device and inode.
 * Character devices, such as /dev/null and terminals, may be used several times.
 *
 * @param written Files that would be overwritten.
 * @param read Files that must stay as they are.
 * @throws {UsageError} if two are the same, or one is the standard output or error.
 */
export function requireDistinct(
  written: readonly OpenFile[],
  read: readonly OpenFile[] = [],
): void {
  const all = [...written, ...read, ...standardStreams()];
  written.forEach((file, i) => {
    if (file.status.kind === FileKind.CHARACTER_DEVICE) return;
    const other = all.slice(i + 1).find(({ status }) => isSame(status, file.status));
    if (other === undefined) return;
    throw new UsageError(
      other.name === file.name
        ? `${file.name} is named twice, and would be overwritten: name another file`
        : `${file.name} and ${other.name} are the same file, and it would be overwritten: ` +
          "name another file",
    );
  });
}

/** Returns the standard output and the standard error, which other bytes would damage. */
function standardStreams(): OpenFile[] {
  return ["the standard output", "the standard error"].flatMap((name, i) => {
    const values = ifReadable(() => status(i + 1));
    return values === undefined ? [] : [{ name, status: values }];
  });
}

function isSame(a: Status, b: Status): boolean {
  return a.inode === b.inode && a.device === b.device;
}
