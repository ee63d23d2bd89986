/**
 * Sends interrupts to the client: SET_IRQS assigns an eventfd to each vector.
 *
 * @module
 */

import { Errno, stubs } from "../../native/stubs.ts";
import { MSIX_VECTORS } from "./config_space.ts";
import { describe, RequestError } from "./connection.ts";

/** Interrupt indices, as VFIO numbers them. */
export const IrqIndex = { INTX: 0, MSI: 1, MSIX: 2, ERROR: 3, REQUEST: 4 } as const;

/** Vectors of each interrupt index. */
export const IRQ_COUNTS: readonly number[] = [1, 1, MSIX_VECTORS, 1, 1];

const DATA_NONE = 0x1;
const DATA_BOOL = 0x2;
const DATA_EVENTFD = 0x4;
const ACTION_TRIGGER = 0x20;
const ACTIONS = 0x38;

/** Request of ioctl(2): sets O_NONBLOCK if its argument is not 0. */
const FIONBIO = 0x5421;
const NONBLOCKING = Int32Array.of(1);

/** The eventfds of one client. */
export class Eventfds {
  readonly #fds: number[][] = IRQ_COUNTS.map((count) => new Array<number>(count).fill(-1));

  /**
   * Executes the command SET_IRQS.
   *
   * @param flags Kind of data and action, as VFIO defines them.
   * @param index Interrupt index.
   * @param start First vector.
   * @param count Number of vectors.
   * @param data The data behind the fixed part: a byte per vector for boolean data.
   * @param fds Descriptors with the message; it removes those that it keeps.
   * @throws {RequestError} if vectors, flags or descriptors are not valid.
   */
  set(
    flags: number,
    index: number,
    start: number,
    count: number,
    data: Uint8Array,
    fds: number[],
  ): void {
    const vectors = this.#fds[index];
    if (vectors === undefined || start + count > vectors.length) {
      throw new RequestError(
        Errno.EINVAL,
        `interrupt index ${index} has no vectors ${start} to ${start + count - 1}`,
      );
    }
    // Masking is up to the client, which gets all signals and may ignore them.
    if ((flags & ACTIONS) !== ACTION_TRIGGER) return;
    if ((flags & DATA_EVENTFD) !== 0) {
      // A write to another file could block the model.
      if (!fds.every((fd) => describe(fd) === "anon_inode:[eventfd]")) {
        throw new RequestError(Errno.EINVAL, "SET_IRQS has a descriptor that is not an eventfd");
      }
      for (const fd of fds) {
        const result = stubs.ixy_ioctl(fd, FIONBIO, NONBLOCKING);
        if (result < 0) throw new RequestError(-result, "an eventfd cannot be made nonblocking");
      }
      this.#assign(vectors, start, count, fds);
    } else if ((flags & DATA_NONE) !== 0 && count === 0) {
      this.#assign(vectors, 0, vectors.length, []);
    } else if ((flags & DATA_NONE) !== 0) {
      for (let i = 0; i < count; i++) this.#signal(vectors[start + i]);
    } else if ((flags & DATA_BOOL) !== 0) {
      for (let i = 0; i < count; i++) if (data[i] === 1) this.#signal(vectors[start + i]);
    } else {
      throw new RequestError(Errno.EINVAL, `SET_IRQS has invalid flags 0x${flags.toString(16)}`);
    }
  }

  /** Interrupts the client by the kind of interrupt that it has enabled. */
  interrupt(vector: number): void {
    if (this.#fds[IrqIndex.MSIX].some((fd) => fd >= 0)) {
      this.#signal(this.#fds[IrqIndex.MSIX][vector] ?? -1);
    } else {
      this.#signal(this.#fds[IrqIndex.MSI][0]);
      this.#signal(this.#fds[IrqIndex.INTX][0]);
    }
  }

  /** Closes every eventfd. */
  clear(): void {
    for (const vectors of this.#fds) this.#assign(vectors, 0, vectors.length, []);
  }

  /** Assigns descriptors to vectors in order; vectors beyond them get none. */
  #assign(vectors: number[], start: number, count: number, fds: number[]): void {
    for (let i = start; i < start + count; i++) {
      if (vectors[i] >= 0) stubs.ixy_close(vectors[i]);
      vectors[i] = fds.shift() ?? -1;
    }
  }

  /** Signals an eventfd, unless it is full: then it is signalled already. */
  #signal(fd: number): void {
    if (fd >= 0) stubs.ixy_signal(fd);
  }
}
