/**
 * What is measured in a window, and how it is read from what the software NIC and this project's
 * forwarder print about themselves.
 *
 * @module
 */

import type { LatencyBins } from "../sim/wires/latency.ts";

/** What the generators send. */
export interface Traffic {
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  /** Packets a second, both directions together; as many as fit 10 Gbit/s each way unless given. */
  readonly rate?: number;
  /** Flows, so that several queues have something to do; one unless given. */
  readonly flows?: number;
  /** Whether to take the time of each packet. */
  readonly latency?: boolean;
}

/** What a window brought. */
export interface Window {
  /** Millions of packets a second that came back, both directions together. */
  readonly mpps: number;
  /** Nanoseconds between the cores before and after. */
  readonly distance: readonly [number, number];
  /** How often the kernel took a core away from one of the two for another program's sake. */
  readonly preempted: number;
  /** Cycles of the forwarder a packet, where the processor counts them. */
  readonly cycles?: number;
  /** How many packets were away for how long, where times are taken. */
  readonly latency?: LatencyBins;
}

/** What became of all packets of a run. */
export interface Balance {
  readonly received: number;
  /** The software NIC had no free descriptor: more was offered than the forwarder can take. */
  readonly missed: number;
  /** The forwarder's transmit ring was full; as it says itself. */
  readonly dropped: number;
  /** Neither: a defect, unless the forwarder does not say what it drops. */
  readonly lost: number;
  readonly reordered: number;
  readonly corrupt: number;
}

/** A line of the software NIC's counts; the last one is its total. */
export interface SimLine {
  readonly total?: boolean;
  readonly seconds: number;
  readonly ports: readonly {
    readonly wireStatistics: Readonly<Record<string, number>>;
    readonly latency?: LatencyBins;
  }[];
}

/** A line of this project's forwarder; the last one is its total. */
export interface FwdLine {
  readonly total?: boolean;
  readonly ports: readonly { readonly dropped: number }[];
}

/** The sum of a count of both ports' wires. */
export function sum(line: SimLine, name: string): number {
  return line.ports.reduce((total, port) => total + port.wireStatistics[name], 0);
}

/** The wire of a port, as the software NIC takes it. */
export function wireOf({ size, rate, flows, latency }: Traffic): string {
  const options = [
    `size=${size}`,
    ...(rate === undefined ? [] : [`rate=${Math.round(rate / 2)}`]),
    ...(flows === undefined ? [] : [`flows=${flows}`]),
    ...(latency ? ["latency=1"] : []),
  ];
  return `generator:${options.join()}`;
}

/** How many packets of both ways were away for how long, by nanoseconds. */
function bins(line: SimLine): Map<number, number> {
  const all = new Map<number, number>();
  for (const { latency = [] } of line.ports) {
    for (const [time, packets] of latency) all.set(time, (all.get(time) ?? 0) + packets);
  }
  return all;
}

/** The packets that have come back from one line to the other, by how long they were away. */
export function latencyBetween(first: SimLine, last: SimLine): LatencyBins {
  const before = bins(first);
  return [...bins(last)].map(([time, packets]) =>
    [time, packets - (before.get(time) ?? 0)] as const
  )
    .filter(([, packets]) => packets > 0).toSorted(([a], [b]) => a - b);
}
