/**
 * A descriptor ring of the modelled device (datasheet sections 7.1.7 and 7.2.3.3): its place in
 * memory, its head and tail, and the rules for them. The queues interpret the descriptors.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import { hex, nameOf, offsetOf, type Register } from "../../src/registers.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { DescriptorRing, DmaMap } from "./dma_map.ts";

/** Bytes of a descriptor. */
const DESCRIPTOR = 16;
/** Rules for the place of a ring, whose registers read 0 in bits 6:0. */
export const RING_RULES = {
  base: "aligned to 128 bytes",
  length: "a multiple of 128 bytes, not 0",
} as const;
/** Bytes of the longest ring that the datasheet calls validated: 8 K descriptors. */
const MAX_RING_BYTES = 128 * 1024;

/** The registers of one kind of ring. */
export interface RingRegisters {
  readonly baseLow: Register;
  readonly baseHigh: Register;
  readonly length: Register;
  readonly head: Register;
  readonly tail: Register;
  readonly control: Register;
  /** Whether it is a transmit ring, whose buffers the device only reads. */
  readonly transmit: boolean;
}

/** Registers of receive rings. */
export const RECEIVE: RingRegisters = {
  baseLow: REGISTERS.RDBAL,
  baseHigh: REGISTERS.RDBAH,
  length: REGISTERS.RDLEN,
  head: REGISTERS.RDH,
  tail: REGISTERS.RDT,
  control: REGISTERS.RXDCTL,
  transmit: false,
};

/** Registers of transmit rings. */
export const TRANSMIT: RingRegisters = {
  baseLow: REGISTERS.TDBAL,
  baseHigh: REGISTERS.TDBAH,
  length: REGISTERS.TDLEN,
  head: REGISTERS.TDH,
  tail: REGISTERS.TDT,
  control: REGISTERS.TXDCTL,
  transmit: true,
};

/** What rings share with the rest of the device. */
export interface DeviceCore extends RegisterCore {
  /** Memory that the device can reach. */
  readonly dma: DmaMap;
  /** Memory that holds the tails, by word of BAR0. */
  readonly tails: Uint32Array;
}

/** One ring. Its fields are public for the loops that move frames. */
export class Ring implements DescriptorRing {
  readonly index: number;
  readonly registers: RingRegisters;
  /** Whether the queue is enabled and its ring can be used. */
  running = false;
  /** Memory that holds the descriptors. */
  words: Uint32Array = new Uint32Array(0);
  /** Index in {@linkcode Ring.prototype.words} of descriptor 0. */
  first = 0;
  /** Descriptors in the ring. */
  size = 0;
  /** Next descriptor for the device. */
  head = 0;
  /** One beyond the last descriptor for the device. */
  tail = 0;
  /** Value of {@linkcode DmaMap.prototype.generation} when the ring was last located. */
  generation = -1;
  protected readonly core: DeviceCore;
  readonly #tailWord: number;
  #lastTail = 0;

  constructor(index: number, registers: RingRegisters, core: DeviceCore) {
    this.index = index;
    this.registers = registers;
    this.core = core;
    this.#tailWord = offsetOf(registers.tail, index) / 4;
  }

  /** Descriptors between head and the tail as read last. */
  get room(): number {
    const room = this.tail - this.head;
    return room < 0 ? room + this.size : room;
  }

  /** Starts the ring with its registers' values. It does not run if they make it unusable. */
  start(): void {
    const { file, tails } = this.core;
    const { length, head } = this.registers;
    const bytes = file.get(length, this.index);
    if (bytes === 0) {
      this.#violate(length, length.section, RING_RULES.length, `${bytes} bytes`);
    } else if (bytes > MAX_RING_BYTES) {
      this.#violate(length, length.section, "at most 128 KB (8 K descriptors)", `${bytes} bytes`);
    }
    this.size = bytes / DESCRIPTOR;
    this.head = file.get(head, this.index);
    this.tail = this.#lastTail = tails[this.#tailWord];
    if (this.head >= this.size && this.size > 0) {
      this.#violateHead(this.head);
      this.head = 0;
    }
    if (this.tail !== this.head) {
      this.#violate(
        this.registers.tail,
        this.registers.transmit ? "4.6.8" : "4.6.7.1",
        "moved only after the queue is enabled",
        `tail ${this.tail}, head ${this.head} when enabled`,
      );
      if (this.tail >= this.size) this.tail = this.#lastTail = this.head;
    }
    this.running = this.size > 0 && this.#locate();
  }

  /**
   * Moves the head of a ring that runs, as a write to its register does. The descriptors up to the
   * tail belong to the device, as before.
   */
  moveHead(head: number): void {
    if (head < this.size) this.head = head;
    else this.#violateHead(head);
  }

  /** Moves head and tail of a ring that runs to one place: the device has no descriptors then. */
  empty(head: number): void {
    this.moveHead(head);
    this.tail = this.#lastTail = this.core.tails[this.#tailWord] = this.head;
  }

  /** Stops the ring. The head keeps its value, for the driver to read. */
  stop(): void {
    this.running = false;
    this.words = new Uint32Array(0);
  }

  /**
   * Reads and checks the tail; to be called in every round.
   *
   * @returns Descriptors between head and tail.
   */
  refresh(): number {
    const tail = this.core.tails[this.#tailWord];
    if (this.generation !== this.core.dma.generation && !this.#locate()) {
      this.running = false;
      return 0;
    }
    if (tail !== this.#lastTail) this.#moved(tail);
    return this.room;
  }

  /** Returns what {@linkcode Ring.prototype.refresh} would, and changes nothing. */
  viewRoom(): number {
    if (!this.reachable) return 0;
    const tail = this.core.tails[this.#tailWord];
    return ((tail < this.size ? tail : this.tail) - this.head + this.size) % this.size;
  }

  /** Whether the ring is in memory that the device may reach: if not, it stops at the next look. */
  get reachable(): boolean {
    const { file, dma } = this.core, { baseLow, baseHigh } = this.registers;
    if (this.generation === dma.generation) return true;
    const low = file.get(baseLow, this.index), high = file.get(baseHigh, this.index);
    return dma.has(low, high, this.size * DESCRIPTOR, { readable: true, writable: true });
  }

  #moved(tail: number): void {
    const register = this.registers.tail;
    this.#lastTail = tail;
    if (tail >= this.size) {
      this.#violate(
        register,
        register.section,
        "inside the ring",
        `${tail} in a ring of ${this.size}`,
      );
      return;
    }
    const held = (this.tail - this.head + this.size) % this.size;
    const added = (tail - this.tail + this.size) % this.size;
    if (held + added >= this.size) {
      this.#violate(
        register,
        register.section,
        "not moved past the head",
        `tail ${this.tail} to ${tail} with head ${this.head} and ${this.size} descriptors`,
      );
    }
    this.tail = tail;
  }

  // Finds the ring in this process, which is needed after each change of the DMA mappings.
  #locate(): boolean {
    const { file, dma } = this.core;
    const { baseLow, baseHigh } = this.registers;
    const low = file.get(baseLow, this.index);
    const high = file.get(baseHigh, this.index);
    this.generation = dma.generation;
    if (!dma.resolve(low, high, this.size * DESCRIPTOR) || !dma.writable || !dma.readable) {
      this.#violate(
        baseLow,
        baseLow.section,
        "a ring in memory the device may read and write",
        `${this.size} descriptors at ${hex(high)}:${hex(low)}`,
      );
      return false;
    }
    this.words = dma.words;
    this.first = dma.base >>> 2; // an integer; `/ 4` would turn every index into a double
    return true;
  }

  #violateHead(value: number): void {
    const { head } = this.registers;
    this.#violate(head, head.section, "inside the ring", `${value} in a ring of ${this.size}`);
  }

  #violate(register: Register, section: string, rule: string, detail: string): void {
    this.core.rules.violate(nameOf(register, this.index), section, rule, detail);
  }
}
