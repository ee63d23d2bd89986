/**
 * The faults: which there are, how one is chosen, and what it does to a packet. `fault_injector.ts`
 * wraps queues around this.
 *
 * A fault depends only on the seed and on the number of packets before, not on batches or time.
 *
 * @module
 */

import { Random } from "../packets/random.ts";
import { UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";

/** The longest time that a packet is held, in milliseconds. */
const MAX_DELAY = 3_600_000;
const TWO_32 = 2 ** 32;

/**
 * Faults of packets in one direction. A packet has at most one fault: the probabilities, 0 by
 * default, add up to at most 1. For several faults, wrap one injector in another.
 */
export interface Faults {
  /** Probability that a packet is dropped. */
  readonly drop?: number;
  /** Probability that one bit of a packet is inverted. */
  readonly corrupt?: number;
  /** Probability that a packet is followed by a copy, in another buffer. */
  readonly duplicate?: number;
  /** Probability that a packet is held for `delayMilliseconds`; later packets pass it. */
  readonly delay?: number;
  /**
   * Probability that a packet is held until 1 to `reorderDistance` later packets have passed it,
   * but at most for `delayMilliseconds`.
   */
  readonly reorder?: number;
  /** How long packets are held, 0 to 3,600,000 milliseconds; default: 10. */
  readonly delayMilliseconds?: number;
  /**
   * Maximum number of packets that pass a reordered one, 1 to 1000; default: 3. Held packets do not
   * count.
   */
  readonly reorderDistance?: number;
  /** Maximum number of packets that a queue holds at once, 0 to 65,536; default: 64. */
  readonly maxHeld?: number;
}

/** Counts of what happened to packets. */
export interface FaultCounts {
  /** Packets that reached the injector. */
  readonly packets: number;
  /** Packets dropped. */
  readonly dropped: number;
  /** Packets with a bit inverted. */
  readonly corrupted: number;
  /** Packets followed by a copy. */
  readonly duplicated: number;
  /** Packets delayed. */
  readonly delayed: number;
  /** Packets held until others have passed. */
  readonly reordered: number;
  /** Faults skipped: the pool had no buffer for a copy, or `maxHeld` packets were held. */
  readonly skipped: number;
  /** Packets freed at closing: still held, or waiting for room in the ring. */
  readonly discarded: number;
}

/** Counts before the first packet. */
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

/** Checks faults; returns them with defaults for those not given. */
function checked(faults: Faults): Required<Faults> {
  for (const [name, value] of Object.entries(faults)) {
    if (!Object.hasOwn(DEFAULTS, name)) {
      const known = Object.keys(DEFAULTS).join(", ");
      throw new UsageError(`fault injector: unknown fault ${name}: the options are ${known}`);
    }
    if (typeof value === "number") continue;
    throw new UsageError(`fault injector: ${name} must be a number, not ${JSON.stringify(value)}`);
  }
  const all = { ...DEFAULTS, ...faults };
  const refuse = (name: keyof Faults, range: string) => {
    throw new UsageError(`fault injector: ${name} must be ${range}, not ${all[name]}`);
  };
  for (const fault of FAULTS) {
    if (!(all[fault] >= 0 && all[fault] <= 1)) refuse(fault, "from 0 to 1");
  }
  const sum = FAULTS.reduce((total, fault) => total + all[fault], 0);
  if (sum > 1 + FAULTS.length * Number.EPSILON) {
    throw new UsageError(
      `fault injector: probabilities must add up to 1 at most, not ${sum}`,
    );
  }
  const { delayMilliseconds: delay, reorderDistance, maxHeld } = all;
  if (!(delay >= 0 && delay <= MAX_DELAY)) refuse("delayMilliseconds", `from 0 to ${MAX_DELAY}`);
  if (!isWhole(reorderDistance, 1, 1000)) {
    refuse("reorderDistance", "a whole number from 1 to 1000");
  }
  if (!isWhole(maxHeld, 0, 65536)) refuse("maxHeld", "a whole number from 0 to 65536");
  return all;
}

function isWhole(n: number, least: number, most: number): boolean {
  return Number.isInteger(n) && n >= least && n <= most;
}

/**
 * Checks a seed.
 *
 * @throws {UsageError} if it is not a whole number from 0 to 2^32 - 1.
 */
export function checkSeed(seed: number): void {
  if (isWhole(seed, 0, TWO_32 - 1)) return;
  throw new UsageError(
    `fault injector: seed must be a whole number from 0 to 2^32 - 1, not ${seed}`,
  );
}

interface HeldPacket {
  readonly buffer: number;
  /** When to release it at the latest, in milliseconds. */
  readonly due: number;
  /** Packets that still have to pass it. */
  left: number;
}

/** Chooses and applies the faults of a queue. It owns the packets that it has, and frees them. */
export class FaultStage {
  /** Packets ready for the queue to take, in order. */
  readonly ready: number[] = [];
  readonly #pool: Mempool;
  readonly #faults: Required<Faults>;
  readonly #now: () => number;
  readonly #random: Random;
  readonly #counts = { ...NO_FAULTS };
  /** In the order of `due`, because all are held equally long. */
  #held: HeldPacket[] = [];

  /** @throws {UsageError} if a fault or the seed is out of range. */
  constructor(pool: Mempool, faults: Faults, seed: number, now: () => number) {
    checkSeed(seed);
    this.#pool = pool;
    this.#faults = checked(faults);
    this.#random = new Random(seed);
    this.#now = now;
  }

  /** The counts so far. */
  get counts(): FaultCounts {
    return { ...this.#counts };
  }

  /** Packets held. */
  get held(): number {
    return this.#held.length;
  }

  /** Packets held, and ready packets not taken yet. */
  get packets(): number {
    return this.#held.length + this.ready.length;
  }

  /** Takes a packet that the queue owns, and applies its fault. */
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

  /** Returns a copy of a packet; undefined if no buffer is free. */
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

  /** Holds a packet until `left` others have passed it; returns whether there was room. */
  #hold(buffer: number, left: number): boolean {
    const { delayMilliseconds, maxHeld } = this.#faults;
    if (this.#held.length >= maxHeld) {
      this.#counts.skipped++;
      return false;
    }
    this.#held.push({ buffer, due: this.#now() + delayMilliseconds, left });
    return true;
  }

  /** Makes a packet and its copy ready, and then held packets that it was the last to pass. */
  #pass(buffer: number, copy?: number): void {
    this.ready.push(buffer);
    if (copy !== undefined) this.ready.push(copy);
    if (this.#held.length === 0) return;
    for (const packet of this.#held) if (--packet.left === 0) this.ready.push(packet.buffer);
    this.#held = this.#held.filter(({ left }) => left > 0);
  }

  /** Makes held packets ready whose time is over. */
  release(): void {
    if (this.#held.length === 0) return;
    const now = this.#now();
    while (this.#held.length > 0 && this.#held[0].due <= now) {
      this.ready.push(this.#held.shift()!.buffer);
    }
  }

  /** Frees all its packets, and other packets of the queue. */
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
