/**
 * Writes to the standard output or the standard error without waiting for a reader.
 *
 * `O_NONBLOCK` belongs to the open file, which other processes share. So a pipe or a terminal is opened
 * again, for this process alone. What cannot be opened again, such as a socket, is polled before each
 * write.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import { checkErrno, Errno, path, stubs } from "./stubs.ts";

/** Bytes that a pipe takes without waiting if it takes any: PIPE_BUF. */
const PIPE_BUF = 4096;
/** Flags of `open(2)`: write only, no controlling terminal, nonblocking. */
const O_WRONLY = 1, O_NOCTTY = 0o400, O_NONBLOCK = 0o4000;
/** What `poll(2)` calls room for a write. */
const POLLOUT = 4;
const ESPIPE = 29;

/** How to reach a stream: `most` is the most bytes of a write. */
interface Way {
  readonly fd: number;
  /** Whether to poll before each write. */
  readonly polled: boolean;
  readonly most: number;
}

/** The way of a process without `--allow-ffi`: by Deno's calls. */
const BY_DENO: Way = { fd: -1, polled: false, most: 0 };

/** One of the two streams. */
export class StandardStream {
  /** Its name, for messages. */
  readonly name: string;
  readonly #number: 1 | 2;
  /** Undefined until the first write. */
  #way: Way | undefined;

  /** @param number Its file descriptor. */
  constructor(number: 1 | 2) {
    this.#number = number;
    this.name = number === 1 ? "standard output" : "standard error";
  }

  /**
   * Writes some of the bytes. Without `--allow-ffi`, it waits for the reader.
   *
   * @returns How many, or a negative error number: -EAGAIN if the reader takes none now.
   */
  write(bytes: Uint8Array<ArrayBuffer>): number {
    const { fd, polled, most } = this.#way ??= this.#find();
    if (fd < 0) return this.#writeByDeno(bytes);
    if (polled && !this.hasRoom(0)) return -Errno.EAGAIN;
    const n = stubs.ixy_write(fd, bytes, Math.min(bytes.length, most));
    return n === -Errno.EINTR ? 0 : n;
  }

  /**
   * Waits until a write would take bytes or fail; returns whether it would.
   *
   * @param milliseconds The longest time to wait. A signal ends it early.
   * @throws {SystemError} if the kernel cannot wait.
   */
  hasRoom(milliseconds: number): boolean {
    const { fd } = this.#way ??= this.#find();
    if (fd < 0) return true;
    const timeout = milliseconds === Infinity ? -1 : Math.ceil(milliseconds);
    const n = stubs.ixy_poll(Int32Array.of(fd, POLLOUT), 1, timeout);
    return n !== -Errno.EINTR && checkErrno("poll", n) > 0;
  }

  get #stream(): typeof Deno.stdout | typeof Deno.stderr {
    return this.#number === 1 ? Deno.stdout : Deno.stderr;
  }

  #find(): Way {
    let seekable: boolean;
    try {
      seekable = stubs.ixy_pread(this.#number, new Uint8Array(1), 0, 0) !== -ESPIPE;
    } catch (error) {
      if (error instanceof UsageError) return BY_DENO;
      throw error;
    }
    // A file has no reader to wait for. Opened again, it would be written from its start.
    if (seekable) return { fd: this.#number, polled: false, most: Infinity };
    const file = path(`/proc/self/fd/${this.#number}`);
    const fd = stubs.ixy_open(file, O_WRONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd >= 0) return { fd, polled: false, most: Infinity };
    // A terminal that has room has it for a byte, and would wait with more.
    return { fd: this.#number, polled: true, most: this.#stream.isTerminal() ? 1 : PIPE_BUF };
  }

  #writeByDeno(bytes: Uint8Array): number {
    try {
      return this.#stream.writeSync(bytes);
    } catch (error) {
      if (error instanceof Deno.errors.WouldBlock) return -Errno.EAGAIN;
      return error instanceof Deno.errors.BrokenPipe ? -Errno.EPIPE : -Errno.EIO;
    }
  }
}

/** The standard output. */
export const standardOutput: StandardStream = new StandardStream(1);
/** The standard error. */
export const standardError: StandardStream = new StandardStream(2);
