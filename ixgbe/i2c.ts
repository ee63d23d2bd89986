/**
 * The I2C bus to an 82599's SFP+ module. Software drives its two lines bit by bit through I2CCTL
 * (section 8.2.3.1.5). Timing is that of a bus at 100 kHz, which every module supports (SFF-8431,
 * section 4). All waits are bounded.
 *
 * @module
 */

import { spinUntil } from "../native/clock.ts";
import type { Registers } from "../src/registers.ts";
import { I2CCTL } from "./registers.ts";

/** Least time for which the clock stays high or low, in milliseconds. */
const HALF_CLOCK_MS = 0.005;
/** Longest time for which a module may hold the clock low, in milliseconds (SFF-8431: 500 us). */
const STRETCH_MS = 1;
/** Clocks that free a bus: a module that sends stops at the latest after the ninth. */
const FREEING_CLOCKS = 9;

/** A module holds one of the lines low, so that the bus cannot be used. */
export class BusStuck extends Error {
  override readonly name = "BusStuck";
}

/** The bus. Use it only while the semaphore that guards it is held. */
export class I2cBus {
  readonly #regs: Registers;
  readonly #others: number;
  /** What the two lines were last set to. */
  #lines = -1;

  /** Creates access to the bus; both lines are released. */
  constructor(regs: Registers) {
    this.#regs = regs;
    const lines = I2CCTL.CLK_IN | I2CCTL.CLK_OUT | I2CCTL.DATA_IN | I2CCTL.DATA_OUT;
    this.#others = regs.read(I2CCTL) & ~lines;
  }

  /**
   * Reads consecutive bytes of a module's memory.
   *
   * @param address The memory's address on the bus, 7 bits.
   * @param offset Offset of the first byte in the memory, 0 to 255.
   * @returns The bytes; undefined if no module answers at the address.
   * @throws {BusStuck} if a module holds the bus, even after clocks that should free it.
   */
  read(address: number, offset: number, count: number): Uint8Array | undefined {
    this.#drive(true, true);
    if (!this.#isReleased()) this.#free();
    try {
      this.#start();
      if (!this.#send(address << 1) || !this.#send(offset)) return undefined;
      this.#start();
      if (!this.#send(address << 1 | 1)) return undefined;
      return Uint8Array.from({ length: count }, (_, i) => this.#receive(i === count - 1));
    } finally {
      this.#stop();
    }
  }

  #start(): void {
    this.#drive(false, true);
    this.#raise(true);
    this.#drive(true, false);
    this.#drive(false, false);
  }

  #stop(): void {
    this.#drive(false, false);
    this.#drive(true, false);
    this.#drive(true, true);
  }

  /** Sends a byte; returns whether it was acknowledged. */
  #send(byte: number): boolean {
    for (let bit = 7; bit >= 0; bit--) {
      const data = (byte >> bit & 1) !== 0;
      this.#drive(false, data);
      this.#raise(data);
      this.#drive(false, data);
    }
    return !this.#sample();
  }

  /** Receives a byte, and acknowledges it if it is not the last. */
  #receive(last: boolean): number {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) byte = byte << 1 | Number(this.#sample());
    this.#drive(false, last);
    this.#raise(last);
    this.#drive(false, last);
    return byte;
  }

  /** Releases the data line for one clock; returns its level. */
  #sample(): boolean {
    this.#drive(false, true);
    const level = this.#raise(true);
    this.#drive(false, true);
    return level;
  }

  /** Returns whether the data line is high: this end has released it. */
  #isReleased(): boolean {
    return (this.#regs.read(I2CCTL) & I2CCTL.DATA_IN) !== 0;
  }

  /** Raises the clock, and waits for a module that holds it low; returns the level of the data line. */
  #raise(data: boolean): boolean {
    this.#drive(true, data);
    let now = 0;
    const isHigh = () => ((now = this.#regs.read(I2CCTL)) & I2CCTL.CLK_IN) !== 0;
    if (spinUntil(STRETCH_MS, isHigh)) return (now & I2CCTL.DATA_IN) !== 0;
    throw new BusStuck("the module holds the clock line of its I2C bus low");
  }

  /** Clocks a module that was cut short while it sent a 0 to the end of its byte. */
  #free(): void {
    for (let i = 0; i < FREEING_CLOCKS; i++) {
      this.#drive(false, true);
      this.#raise(true);
    }
    this.#start();
    this.#stop();
    if (!this.#isReleased()) {
      throw new BusStuck("the module holds the data line of its I2C bus low");
    }
  }

  #drive(clock: boolean, data: boolean): void {
    const lines = (clock ? I2CCTL.CLK_OUT : 0) | (data ? I2CCTL.DATA_OUT : 0);
    if (lines === this.#lines) return;
    this.#lines = lines;
    this.#regs.write(I2CCTL, this.#others | lines);
    const until = performance.now() + HALF_CLOCK_MS;
    while (performance.now() < until);
  }
}
