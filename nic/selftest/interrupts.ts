/**
 * Self-test of interrupts: a packet in a receive queue signals this queue's vector, and no other.
 *
 * @module
 */

import { Waiter } from "../../mod.ts";
import { type Bench, type Check, counted, Failed, Skipped } from "./check.ts";
import { assertLoopback } from "./data_path.ts";
import { flows } from "./flows.ts";
import { Traffic } from "./traffic.ts";

/** Longest time from a packet to its interrupt, in milliseconds. */
const DEADLINE_MS = 1000;
/** Time in which no other interrupt may come, and without any before a packet is sent. */
const QUIET_MS = 20;
/** A busy machine may deliver an older interrupt later than that: a vector is wrong if it always comes. */
const ATTEMPTS = 3;

export const INTERRUPT_CHECK: Check = {
  name: "interrupts",
  run(bench: Bench): string {
    const { port } = bench, { device } = port, { rxQueues } = device;
    if (port.access.noInterrupts !== undefined) throw new Skipped(port.access.noInterrupts);
    assertLoopback(bench);
    const own = device.macAddress(), traffic = new Traffic(port, port, bench);
    const woken = new Woken(bench), tested = new Set<number>();
    for (const { frame } of flows(own, own)) {
      if (tested.size === rxQueues.length) break;
      for (let attempt = 1;; attempt++) {
        const { queue, others } = interruptsOf(frame, traffic, woken);
        tested.add(queue);
        if (others.length === 0) break;
        if (attempt < ATTEMPTS) continue;
        throw new Failed(`a packet in queue ${queue} interrupts queue ${others.join(", ")}`);
      }
    }
    if (tested.size < rxQueues.length) {
      throw new Failed(`packets come in ${tested.size} queues only`);
    }
    return `${counted(tested.size, "queue")}, a vector each`;
  },
};

/** Sends a packet; returns its queue, and the other queues that were interrupted. */
function interruptsOf(
  frame: Uint8Array,
  traffic: Traffic,
  woken: Woken,
): { queue: number; others: number[] } {
  woken.during(QUIET_MS); // packets that have arrived before may cause interrupts now
  // The packet is received only after it has caused its interrupt.
  traffic.send(frame);
  const queues = woken.during(DEADLINE_MS);
  const [arrival] = traffic.arrived();
  if (arrival === undefined) throw new Failed("a packet does not arrive");
  const { queue } = arrival;
  if (!queues.has(queue)) throw new Failed(`a packet in queue ${queue} causes no interrupt`);
  return { queue, others: [...queues].filter((other) => other !== queue) };
}

/** The interrupts of all queues. */
class Woken {
  readonly #bench: Bench;
  readonly #waiters: readonly Waiter[];

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#waiters = bench.port.device.rxQueues.map((queue) => new Waiter([queue]));
  }

  /**
   * Arms all interrupts, and returns the queues that are interrupted, until none is for a while.
   *
   * @param first Longest time to wait for the first one, in milliseconds.
   */
  during(first: number): Set<number> {
    const { device } = this.#bench.port, queues = new Set<number>();
    for (let since = performance.now();;) {
      device.checkAlive();
      this.#bench.checkStop();
      const late = performance.now() - since > (queues.size === 0 ? first : QUIET_MS);
      const woken = this.#waiters.map((waiter) => waiter.wait(() => false, 1));
      woken.forEach((is, i) => is && queues.add(i));
      if (woken.includes(true)) since = performance.now();
      else if (late) return queues;
    }
  }
}
