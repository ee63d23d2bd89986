/**
 * What faults there are, how they are decided, and what becomes of a packet that meets one. Queues are
 * around this in `fault_injector.ts`.
 *
 * A fault depends on the seed and on how many packets came before, and on nothing else: neither on
 * batches nor on time.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";

/** The longest time that a packet is held, in milliseconds. */
const MAX_DELAY = 3_600_000;
const TWO_32 = 2 ** 32;

/**
 * What may happen to packets that pass in one direction. A packet meets one fault at most: the
 * probabilities, 0 by default, are 1 at most together. Put one injector around another for more.
 */
export interface Faults {
  /** Probability that a packet is lost. */
  readonly drop?: number;
  /** Probability that one bit of a packet is inverted. */
  readonly corrupt?: number;
  /** Probability that a packet comes twice in a row: the second is a copy in another buffer. */
  readonly duplicate?: number;
  /** Probability that a packet is held for `delayMilliseconds`; those after it do not wait for it. */
  readonly delay?: number;
  /**
   * Probability that a packet is held until 1 to `reorderDistance` later ones have passed it, or for
   * `delayMilliseconds` if so many do not come.
   */
  readonly reorder?: number;
  /** How long packets are held, in milliseconds: 0 to 3,600,000; 10 by default. */
  readonly delayMilliseconds?: number;
  /** Most packets that a reordered one lets pass: 1 to 1000; 3 by default. Those held do not count. */
  readonly reorderDistance?: number;
  /** Most packets that a queue holds at once, 0 to 65,536; 64 by default. */
  readonly maxHeld?: number;
}

/** What an injector has done to packets so far. */
export interface FaultCounts {
  /** Packets that came to it. */
  readonly packets: number;
  /** Packets dropped. */
  readonly dropped: number;
  /** Packets with a bit inverted. */
  readonly corrupted: number;
  /** Packets followed by a copy. */
  readonly duplicated: number;
  /** Packets held for a time. */
  readonly delayed: number;
  /** Packets held for others to pass. */
  readonly reordered: number;
  /** Faults left out: the pool had no buffer for a copy, or `maxHeld` packets were held. */
  readonly skipped: number;
  /** Packets freed when the injector was closed: it held them, or the ring had no room for them. */
  readonly discarded: number;
}

/** Counts of nothing. */
export const NO_FAULTS: FaultCounts = {
  packets: 0,
  dropped: 0,
  corrupted: 0,
  duplicated: 0,
  delayed: 0,
  reordered: 0,
  skipped: 0,
  discarded: 0,
};

type Fault = "drop" | "corrupt" | "duplicate" | "delay" | "reorder";
const FAULTS: readonly Fault[] = ["drop", "corrupt", "duplicate", "delay", "reorder"];

const DEFAULTS: Required<Faults> = {
  drop: 0,
  corrupt: 0,
  duplicate: 0,
  delay: 0,
  reorder: 0,
  delayMilliseconds: 10,
  reorderDistance: 3,
  maxHeld: 64,
};

/** Checks faults; returns them with all that is missing. */
function checked(faults: Faults): Required<Faults> {
  for (const [name, value] of Object.entries(faults)) {
    if (!Object.hasOwn(DEFAULTS, name)) {
      const known = Object.keys(DEFAULTS).join(", ");
      throw new UsageError(`fault injector: there is no fault ${name}: the options are ${known}`);
    }
    if (typeof value === "number") continue;
    throw new UsageError(`fault injector: ${name} is a number, not ${JSON.stringify(value)}`);
  }
  const all = { ...DEFAULTS, ...faults };
  const refuse = (name: keyof Faults, range: string) => {
    throw new UsageError(`fault injector: ${name} is ${range}, not ${all[name]}`);
  };
  for (const fault of FAULTS) if (!(all[fault] >= 0 && all[fault] <= 1)) refuse(fault, "0 to 1");
  const sum = FAULTS.reduce((total, fault) => total + all[fault], 0);
  if (sum > 1 + FAULTS.length * Number.EPSILON) {
    throw new UsageError(
      `fault injector: the probabilities of faults are 1 at most together, not ${sum}`,
    );
  }
  const { delayMilliseconds: delay, reorderDistance, maxHeld } = all;
  if (!(delay >= 0 && delay <= MAX_DELAY)) refuse("delayMilliseconds", `0 to ${MAX_DELAY}`);
  if (!isWhole(reorderDistance, 1, 1000)) refuse("reorderDistance", "1 to 1000");
  if (!isWhole(maxHeld, 0, 65536)) refuse("maxHeld", "0 to 65536");
  return all;
}

function isWhole(n: number, least: number, most: number): boolean {
  return Number.isInteger(n) && n >= least && n <= most;
}

/**
 * Checks a seed.
 *
 * @throws {UsageError} if it is no whole number from 0 to 2^32 - 1.
 */
export function checkSeed(seed: number): void {
  if (isWhole(seed, 0, TWO_32 - 1)) return;
  throw new UsageError(`fault injector: the seed is a whole number, 0 to 2^32 - 1, not ${seed}`);
}

/** Mixes 32 bits, each of which then depends on all (the last steps of MurmurHash3). */
export function mix(word: number): number {
  word = Math.imul(word ^ word >>> 16, 0x85ebca6b);
  word = Math.imul(word ^ word >>> 13, 0xc2b2ae35);
  return (word ^ word >>> 16) >>> 0;
}

/** Pseudo-random numbers: a counter, mixed. Two for each packet, whatever becomes of it. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = mix(seed);
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0; // 2^32 by the golden ratio: no short period
    return mix(this.#state) / TWO_32;
  }
}

interface HeldPacket {
  readonly buffer: number;
  /** When to let it go at the latest, in milliseconds. */
  readonly due: number;
  /** Packets that may still pass it. */
  left: number;
}

/** Decides and does the faults of a queue. The packets that it has are in hand: it frees them. */
export class FaultStage {
  /** Packets that are through, in order. The queue takes them from here. */
  readonly ready: number[] = [];
  readonly #pool: Mempool;
  readonly #faults: Required<Faults>;
  readonly #now: () => number;
  readonly #random: Random;
  readonly #counts = { ...NO_FAULTS };
  /** In the order of their time, since all are held equally long. */
  #held: HeldPacket[] = [];

  /** @throws {UsageError} if a fault or the seed is out of range. */
  constructor(pool: Mempool, faults: Faults, seed: number, now: () => number) {
    checkSeed(seed);
    this.#pool = pool;
    this.#faults = checked(faults);
    this.#random = new Random(seed);
    this.#now = now;
  }

  /** What was done so far. */
  get counts(): FaultCounts {
    return { ...this.#counts };
  }

  /** Packets held. */
  get held(): number {
    return this.#held.length;
  }

  /** Packets held, and those that are through and not taken. */
  get packets(): number {
    return this.#held.length + this.ready.length;
  }

  /** Takes a packet that is in hand, and has it meet its fault. */
  take(buffer: number): void {
    const counts = this.#counts, pool = this.#pool;
    const decision = this.#random.next(), detail = this.#random.next();
    counts.packets++;
    switch (this.#decide(decision)) {
      case "drop":
        counts.dropped++;
        pool.free(buffer);
        return;
      case "corrupt":
        counts.corrupted++;
        this.#invert(buffer, detail);
        return this.#pass(buffer);
      case "duplicate":
        return this.#pass(buffer, this.#copy(buffer));
      case "delay":
        if (!this.#hold(buffer, Infinity)) return this.#pass(buffer);
        counts.delayed++;
        return;
      case "reorder":
        if (!this.#hold(buffer, 1 + Math.floor(detail * this.#faults.reorderDistance))) {
          return this.#pass(buffer);
        }
        counts.reordered++;
        return;
      case undefined:
        return this.#pass(buffer);
    }
  }

  #decide(decision: number): Fault | undefined {
    let end = 0;
    return FAULTS.find((fault) => decision < (end += this.#faults[fault]));
  }

  #invert(buffer: number, detail: number): void {
    const packet = this.#pool.packet(buffer), bit = Math.floor(detail * 8 * packet.length);
    packet[bit >> 3] ^= 1 << (bit & 7);
  }

  /** A copy of a packet in hand; undefined if no buffer is free. */
  #copy(buffer: number): number | undefined {
    const pool = this.#pool, copy = pool.allocate(pool.lengths[buffer]);
    if (copy < 0) {
      this.#counts.skipped++;
      return undefined;
    }
    pool.packet(copy).set(pool.packet(buffer));
    pool.rssHash[copy] = pool.rssHash[buffer];
    this.#counts.duplicated++;
    return copy;
  }

  /** Holds a packet until so many have passed it; returns whether there is room for it. */
  #hold(buffer: number, left: number): boolean {
    const { delayMilliseconds, maxHeld } = this.#faults;
    if (this.#held.length >= maxHeld) {
      this.#counts.skipped++;
      return false;
    }
    this.#held.push({ buffer, due: this.#now() + delayMilliseconds, left });
    return true;
  }

  /** Lets a packet and its copy through, and after it those that it was the last to pass. */
  #pass(buffer: number, copy?: number): void {
    this.ready.push(buffer);
    if (copy !== undefined) this.ready.push(copy);
    if (this.#held.length === 0) return;
    for (const packet of this.#held) if (--packet.left === 0) this.ready.push(packet.buffer);
    this.#held = this.#held.filter(({ left }) => left > 0);
  }

  /** Lets the packets through whose time is over. */
  release(): void {
    if (this.#held.length === 0) return;
    const now = this.#now();
    while (this.#held.length > 0 && this.#held[0].due <= now) {
      this.ready.push(this.#held.shift()!.buffer);
    }
  }

  /** Frees all packets that it has, and some that the queue has in hand beside. */
  discard(others: readonly number[] = []): void {
    const held = this.#held.map(({ buffer }) => buffer);
    for (const buffer of [...others, ...this.ready, ...held]) {
      this.#pool.free(buffer);
      this.#counts.discarded++;
    }
    this.#held = [];
    this.ready.length = 0;
  }
}
