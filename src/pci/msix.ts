/**
 * The MSI-X vectors of a function, as VFIO and vfio-user hand them out: SET_IRQS gives each an eventfd,
 * which the kernel or the server signals when the device sends the vector's message. How the request
 * travels is the bus's affair, and which vector is for what the driver's.
 *
 * @module
 */

import { stubs } from "../../native/stubs.ts";
import { checkCall, UsageError } from "../errors.ts";

/** Number of the interrupt index that MSI-X has in Linux's `<linux/vfio.h>`. */
export const MSIX = 2;

const DATA_NONE = 0x1, DATA_EVENTFD = 0x4, ACTION_TRIGGER = 0x20;
/** Flag of an interrupt index: its vectors signal eventfds. */
const INFO_EVENTFD = 0x1;

/** What is said about an interrupt index. */
export interface IrqInfo {
  /** As VFIO defines them. */
  readonly flags: number;
  /** Number of vectors. */
  readonly count: number;
}

/** How a bus asks for interrupts. */
export interface IrqRequests {
  /** GET_IRQ_INFO of MSI-X. */
  info(): IrqInfo;
  /** SET_IRQS of MSI-X for vectors from 0, with the eventfds that the flags speak of. */
  set(flags: number, count: number, fds: readonly number[]): void;
}

/** The vectors of one function. */
export class Interrupts {
  readonly #address: string;
  readonly #requests: IrqRequests;
  #fds: number[] = [];

  /**
   * Vectors that are still off.
   *
   * @param address The device's address, for messages.
   */
  constructor(address: string, requests: IrqRequests) {
    this.#address = address;
    this.#requests = requests;
  }

  /**
   * Has the first vectors signal eventfds, which whoever sleeps on them also empties.
   *
   * @throws {UsageError} if the function has fewer vectors.
   * @throws {Error} if they are on already: VFIO cannot add any.
   */
  enable(vectors: number): readonly number[] {
    if (this.#fds.length > 0) throw new Error(`${this.#address}: interrupts are on already`);
    const { flags, count } = this.#requests.info();
    const usable = (flags & INFO_EVENTFD) !== 0 ? count : 0;
    if (usable < vectors) {
      throw new UsageError(
        `${this.#address}: the device has ${usable} MSI-X vectors, and its receive queues need ` +
          `${vectors}: open it with fewer queues or without interrupts`,
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

  /** Takes all vectors away from their eventfds. Nothing happens if they are off. */
  disable(): void {
    if (this.#fds.length > 0) this.#requests.set(DATA_NONE | ACTION_TRIGGER, 0, []);
  }

  /** Closes the eventfds. Again: nothing happens. */
  close(): void {
    for (const fd of this.#fds) stubs.ixy_close(fd);
    this.#fds = [];
  }
}
