/**
 * What the queues and the sockets of a device have counted, as one.
 *
 * @module
 */

import type { Statistics } from "../src/device.ts";
import { STATISTICS } from "./abi.ts";
import type { QueuePair } from "./queue_pair.ts";
import type { SocketStatistics } from "./socket.ts";

/** Returns the counts of all sockets, by their names in linux/if_xdp.h. */
export function countersOf(pairs: readonly QueuePair[]): SocketStatistics {
  const all = pairs.map(({ socket }) => socket.statistics());
  const entries = STATISTICS.map((name) => [name, total(all, (counts) => counts[name])]);
  return Object.fromEntries(entries);
}

/** Returns the packets that the kernel dropped: they did not fit a buffer, or found none, or a full ring. */
export function missedBy({ rx_dropped, rx_ring_full }: SocketStatistics): number {
  return rx_dropped + rx_ring_full;
}

/**
 * Returns the statistics of a device.
 *
 * @param missed Packets that the kernel dropped.
 */
export function statisticsOf(pairs: readonly QueuePair[], missed: number): Statistics {
  const rx = pairs.map(({ received }) => received), tx = pairs.map(({ sent }) => sent);
  return {
    rxPackets: total(rx, (queue) => queue.packets),
    rxBytes: total(rx, (queue) => queue.bytes),
    txPackets: total(tx, (queue) => queue.packets),
    txBytes: total(tx, (queue) => queue.bytes),
    rxMissed: missed,
    rxErrors: 0,
    rxTooLong: total(rx, (queue) => queue.tooLong),
    rxNoBuffer: total(rx, (queue) => queue.noBuffer),
  };
}

/** Returns the sum of a count. */
function total<Item>(items: readonly Item[], count: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + count(item), 0);
}
