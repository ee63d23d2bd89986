/**
 * The MSI-X vectors of a function, as VFIO and vfio-user offer them: SET_IRQS connects each vector to an
 * eventfd, which the kernel or the server signals when the device sends the vector's message. The caller
 * provides the transport of the requests; the driver assigns the vectors.
 *
 * @module
 */

import { stubs } from "../../native/stubs.ts";
import { checkCall, UsageError } from "../errors.ts";

/** The interrupt index of MSI-X (Linux's `<linux/vfio.h>`). */
export const MSIX = 2;

const DATA_NONE = 0x1, DATA_EVENTFD = 0x4, ACTION_TRIGGER = 0x20;
/** Flag of an interrupt index: its vectors can signal eventfds. */
const INFO_EVENTFD = 0x1;

/** The reply to GET_IRQ_INFO. */
export interface IrqInfo {
  /** Flags as VFIO defines them. */
  readonly flags: number;
  /** Number of vectors. */
  readonly count: number;
}

/** The requests about interrupts, as system calls (VFIO) or messages (vfio-user). */
export interface IrqRequests {
  /** Sends GET_IRQ_INFO for MSI-X. */
  info(): IrqInfo;
  /** Sends SET_IRQS for MSI-X vectors from 0, with eventfds if the flags include DATA_EVENTFD. */
  set(flags: number, count: number, fds: readonly number[]): void;
}

/** The MSI-X vectors of one function. */
export class Interrupts {
  readonly #address: string;
  readonly #requests: IrqRequests;
  #fds: number[] = [];

  /**
   * Creates the vectors, disabled.
   *
   * @param address The device's address, for messages.
   */
  constructor(address: string, requests: IrqRequests) {
    this.#address = address;
    this.#requests = requests;
  }

  /**
   * Connects the first vectors to eventfds. The reader of an eventfd empties it.
   *
   * @returns The eventfds, by vector.
   * @throws {UsageError} if the function has fewer vectors.
   * @throws {Error} if vectors are enabled already: VFIO cannot add any.
   */
  enable(vectors: number): readonly number[] {
    if (this.#fds.length > 0) throw new Error(`${this.#address}: interrupts are enabled already`);
    const { flags, count } = this.#requests.info();
    const usable = (flags & INFO_EVENTFD) !== 0 ? count : 0;
    if (usable < vectors) {
      throw new UsageError(
        `${this.#address}: the device has ${usable} MSI-X vectors, but its receive queues and link ` +
          `need ${vectors}: open it with fewer queues or without interrupts`,
        { option: "interrupts" },
      );
    }
    try {
      for (let i = 0; i < vectors; i++) {
        this.#fds.push(checkCall(this.#address, "make an eventfd", stubs.ixy_eventfd()));
      }
      this.#requests.set(DATA_EVENTFD | ACTION_TRIGGER, vectors, this.#fds);
    } catch (error) {
      this.close();
      throw error;
    }
    return this.#fds;
  }

  /** Disconnects all vectors from their eventfds. Does nothing if they are disabled. */
  disable(): void {
    if (this.#fds.length > 0) this.#requests.set(DATA_NONE | ACTION_TRIGGER, 0, []);
  }

  /** Closes the eventfds. Idempotent. */
  close(): void {
    for (const fd of this.#fds) stubs.ixy_close(fd);
    this.#fds = [];
  }
}
