/**
 * The measurements of a window, and how to read them from the JSON lines of the software NIC and of
 * this project's forwarder.
 *
 * @module
 */

import type { LatencyBins } from "../sim/wires/latency.ts";

/** What the generators send. */
export interface Traffic {
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  /** Packets a second, both directions together; default: 10 Gbit/s each way. */
  readonly rate?: number;
  /** Flows, which spread over several queues; default: 1. */
  readonly flows?: number;
  /** Whether to measure the latency of each packet. */
  readonly latency?: boolean;
}

/** The measurements of a window. */
export interface Window {
  /** Millions of packets a second that came back, both directions together. */
  readonly mpps: number;
  /** Distance between the cores before and after, in nanoseconds. */
  readonly distance: readonly [number, number];
  /** How often the kernel gave a core of one of the two processes to another program. */
  readonly preempted: number;
  /** Cycles of the forwarder a packet, if the processor counts them. */
  readonly cycles?: number;
  /** Histogram of latencies, if they are measured. */
  readonly latency?: LatencyBins;
}

/** Counts of all packets of a run. */
export interface Balance {
  readonly received: number;
  /** The software NIC had no free descriptor: the load exceeds what the forwarder can take. */
  readonly missed: number;
  /** The forwarder's transmit ring was full, as it reports. */
  readonly dropped: number;
  /** Neither: a defect, unless the forwarder does not report drops. */
  readonly lost: number;
  readonly reordered: number;
  readonly corrupt: number;
}

/** A line of the software NIC's counts; the last one has the totals. */
export interface SimLine {
  readonly total?: boolean;
  readonly seconds: number;
  readonly ports: readonly {
    readonly wireStatistics: Readonly<Record<string, number>>;
    readonly latency?: LatencyBins;
  }[];
}

/** A line of this project's forwarder; the last one has the totals. */
export interface FwdLine {
  readonly total?: boolean;
  readonly ports: readonly { readonly dropped: number }[];
}

/** Returns the sum of a count over both ports' wires. */
export function sum(line: SimLine, name: string): number {
  return line.ports.reduce((total, port) => total + port.wireStatistics[name], 0);
}

/** Returns the software NIC's `--wire` for a port. */
export function wireOf({ size, rate, flows, latency }: Traffic): string {
  const options = [
    `size=${size}`,
    ...(rate === undefined ? [] : [`rate=${Math.round(rate / 2)}`]),
    ...(flows === undefined ? [] : [`flows=${flows}`]),
    ...(latency ? ["latency=1"] : []),
  ];
  return `generator:${options.join()}`;
}

/** Returns the latency histogram of both ways, by nanoseconds. */
function bins(line: SimLine): Map<number, number> {
  const all = new Map<number, number>();
  for (const { latency = [] } of line.ports) {
    for (const [time, packets] of latency) all.set(time, (all.get(time) ?? 0) + packets);
  }
  return all;
}

/** Returns the latency histogram of the packets that came back between two lines. */
export function latencyBetween(first: SimLine, last: SimLine): LatencyBins {
  const before = bins(first);
  return [...bins(last)].map(([time, packets]) =>
    [time, packets - (before.get(time) ?? 0)] as const
  )
    .filter(([, packets]) => packets > 0).toSorted(([a], [b]) => a - b);
}
