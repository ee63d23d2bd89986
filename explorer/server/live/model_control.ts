/**
 * What the main thread asks of the model's thread, in shared memory: the model's loop looks at it often,
 * and receives messages seldom.
 *
 * @module
 */

import { checkErrno, stubs } from "../../../native/stubs.ts";

/** Words of the shared memory. */
const STOP = 0, PAUSED = 1, ROUNDS = 2, PAGES = 3, LOOK = 4, WORDS = 5;

/** The shared memory as plain values, for the other thread. */
export interface SharedControl {
  readonly memory: SharedArrayBuffer;
  readonly fd: number;
}

/** Requests to the model's loop. Both threads have one, on the same memory. */
export class ModelControl {
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** An eventfd that wakes the loop. */
  readonly fd: number;

  /** @param shared The other thread's; default: new memory. */
  constructor(shared?: SharedControl) {
    this.#words = new Int32Array(shared?.memory ?? new SharedArrayBuffer(WORDS * 4));
    this.fd = shared?.fd ?? checkErrno("make an eventfd", stubs.ixy_eventfd());
  }

  /** Returns the memory for the other thread. */
  share(): SharedControl {
    return { memory: this.#words.buffer, fd: this.fd };
  }

  /** Whether the loop has to end. */
  get stopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  /** Whether the device is paused. */
  get paused(): boolean {
    return Atomics.load(this.#words, PAUSED) !== 0;
  }

  /** Whether any page looks on. */
  get watched(): boolean {
    return Atomics.load(this.#words, PAGES) !== 0;
  }

  /** Returns the number of rounds asked for since the last call. */
  takeRounds(): number {
    return Atomics.exchange(this.#words, ROUNDS, 0);
  }

  /** Returns whether a state was asked for since the last call. */
  takeLook(): boolean {
    if (Atomics.exchange(this.#words, LOOK, 0) === 0) return false;
    stubs.ixy_empty(this.fd);
    return true;
  }

  /** Ends the loop. */
  stop(): void {
    this.#set(STOP, 1);
  }

  /** Pauses the device, or has it go on. */
  pause(on: boolean): void {
    this.#set(PAUSED, Number(on));
  }

  /** Asks for one round of each port. */
  round(): void {
    Atomics.add(this.#words, ROUNDS, 1);
    this.#wake();
  }

  /** Says how many pages look on. */
  watch(pages: number): void {
    this.#set(PAGES, pages);
  }

  /** Closes the eventfd. The other thread must have ended. */
  close(): void {
    stubs.ixy_close(this.fd);
  }

  #set(word: number, value: number): void {
    Atomics.store(this.#words, word, value);
    this.#wake();
  }

  /** Has the loop look at the memory now, and send a state. */
  #wake(): void {
    Atomics.store(this.#words, LOOK, 1);
    stubs.ixy_signal(this.fd);
  }
}
