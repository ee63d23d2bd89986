/**
 * The speed of the NIC model alone, in one process, without a driver to wait for: `deno task
 * bench:sim`.
 *
 * Measures frames a second from the wire through `Nic.receive` to descriptors written back, into
 * one queue and, spread by RSS, into several; and from descriptors to the wire.
 *
 * @module
 */

import {
  MRQC,
  RDBAH,
  RDBAL,
  RDLEN,
  RDT,
  RETA,
  RSSRK,
  RXCSUM,
  RXDCTL,
  SRRCTL,
  TDT,
} from "../ixgbe/registers.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { command } from "../programs/command_line.ts";
import { whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";
import { offsetOf } from "../src/registers.ts";
import { FrameBuffer } from "../sim/frames/frame.ts";
import { IOVA, MinimalDriver, RING, RX_BUFFERS, TX_RING } from "../sim/minimal_driver.ts";
import type { Wire, WirePort } from "../sim/wires/wire.ts";

/** The command line. */
export const SIM_QUEUES = command({
  start: "deno task bench:sim",
  about:
    `Measures the software NIC alone with 60-byte frames: received into 1 to 16 queues, and sent.
Prints the best of some rounds of 0.3 s each.`,
  options: { rounds: whole("rounds of each measurement", { least: 1, most: 1000, default: 5 }) },
  plan: ({ values }) => values,
});

const QUEUES = [1, 2, 4, 8, 16];
const MILLISECONDS = 300;
const SIZE = 60;
/** Flows, in turns: a power of two. */
const FLOWS = 1024;
/** The index of the UDP source port in halfwords. */
const SOURCE_PORT = 17;
const RING_BYTES = RING * 16;
/** Frames in a round: the most that the model sends. */
const BURST = 64;
/** The RSS key of Microsoft's verification suite, as RSSRK holds it. */
const KEY = [
  0xda565a6d,
  0xc20e5b25,
  0x3d256741,
  0xb08fa343,
  0xcb2bcad0,
  0xb4307bae,
  0xa32dcb77,
  0x0cf23080,
  0x3bb7426a,
  0xfa01acbe,
];

/** A wire that brings a frame of each flow in turn, and counts frames sent. */
class FlowWire implements Wire {
  readonly kind = "flows";
  readonly fd = -1;
  /** Whether frames arrive. */
  arriving = true;
  received = 0;
  missed = 0;
  readonly #frame = new FrameBuffer();
  /** The frame as halfwords, to set its source port. */
  readonly #halves = new Uint16Array(this.#frame.bytes.buffer);
  #flow = 0;

  constructor() {
    const { bytes } = this.#frame;
    const view = new DataView(bytes.buffer);
    bytes.set([2, 0, 0, 0, 5, 0x99, 2, 0, 0, 0, 0, 1, 8, 0, 0x45]);
    view.setUint16(16, SIZE - 14);
    view.setUint16(22, 64 << 8 | 17);
    view.setUint32(26, 0xc6120001);
    view.setUint32(30, 0xc6130001);
    view.setUint16(36, 9);
    view.setUint16(38, SIZE - 34);
  }

  poll(port: WirePort, budget: number): number {
    if (!this.arriving) return 0;
    const frame = this.#frame, halves = this.#halves;
    let flow = this.#flow, missed = 0;
    for (let i = 0; i < budget; i++) {
      halves[SOURCE_PORT] = flow;
      if (!port.receive(frame, SIZE)) missed++;
      flow = (flow + 1) & (FLOWS - 1);
    }
    this.#flow = flow;
    this.missed += missed;
    return budget;
  }

  transmit(_frame: FrameBuffer, _length: number): void {
    this.received++;
  }

  statistics(): Record<string, number> {
    return { received: this.received, missed: this.missed };
  }

  close(): void {}
}

/** A minimal driver of several receive queues: it only returns descriptors. */
class Rings {
  readonly driver = MinimalDriver.ready();
  readonly wire = new FlowWire();
  readonly #queues: number;
  readonly #next: Uint32Array;
  #tail = 0;

  constructor(queues: number) {
    const { driver } = this;
    this.#queues = queues;
    this.#next = new Uint32Array(queues);
    driver.nic.wire = this.wire;
    for (let queue = 0; queue < queues; queue++) this.#start(queue);
    if (queues === 1) return;
    KEY.forEach((word, i) => driver.write(RSSRK, word, i));
    for (let i = 0; i < RETA.count; i++) {
      const entries = [0, 1, 2, 3].map((byte) => (i * 4 + byte) % queues << byte * 8);
      driver.write(RETA, entries.reduce((all, entry) => all | entry) >>> 0, i);
    }
    driver.set(RXCSUM, RXCSUM.PCSD);
    driver.write(MRQC, 1 | MRQC.RSS_IPV4 | MRQC.RSS_UDP_IPV4);
  }

  #start(queue: number): void {
    const { driver } = this;
    for (let i = 0; i < RING; i++) this.#arm(queue, i);
    if (queue === 0) return;
    driver.write(RDBAL, (IOVA + queue * RING_BYTES) >>> 0, queue);
    driver.write(RDBAH, Math.floor(IOVA / 2 ** 32), queue);
    driver.write(RDLEN, RING_BYTES, queue);
    driver.write(SRRCTL, SRRCTL.DROP_EN | SRRCTL.DESCTYPE_ADVANCED | 2, queue);
    driver.set(RXDCTL, RXDCTL.ENABLE, queue);
    driver.write(RDT, RING - 1, queue);
  }

  #arm(queue: number, i: number): void {
    const { words } = this.driver;
    const at = (queue * RING_BYTES >>> 2) + i * 4;
    const address = IOVA + RX_BUFFERS + i * 2048;
    words[at] = address >>> 0;
    words[at + 1] = Math.floor(address / 2 ** 32);
    words[at + 2] = 0;
  }

  /** Runs a round of the model, and returns its descriptors. */
  receive(): void {
    const { driver } = this;
    driver.nic.poll();
    for (let queue = 0; queue < this.#queues; queue++) {
      let next = this.#next[queue];
      while (driver.words[(queue * RING_BYTES >>> 2) + next * 4 + 2] & 1) {
        this.#arm(queue, next);
        next = next + 1 === RING ? 0 : next + 1;
      }
      if (next === this.#next[queue]) continue;
      this.#next[queue] = next;
      driver.nic.write32(offsetOf(RDT, queue), next === 0 ? RING - 1 : next - 1);
    }
  }

  /** Runs a round that sends a burst. */
  send(): void {
    const { driver } = this;
    for (let i = 0; i < BURST; i++) {
      driver.fillTransmit(this.#tail, SIZE, i === BURST - 1 ? 0x2b300000 : 0x23300000);
      this.#tail = this.#tail + 1 === RING ? 0 : this.#tail + 1;
    }
    driver.write(TDT, this.#tail);
    driver.nic.poll();
    if ((driver.words[TX_RING / 4 + (this.#tail + RING - 1) % RING * 4 + 3] & 1) === 0) {
      throw new Error("the model did not send the whole burst");
    }
  }
}

/** Returns frames a second. */
function measure(step: () => void, done: () => number): number {
  const before = done();
  const start = performance.now();
  let now = start;
  while (now - start < MILLISECONDS) {
    for (let i = 0; i < 100; i++) step();
    now = performance.now();
  }
  return (done() - before) / (now - start) * 1000;
}

function best(step: () => void, done: () => number, rounds: number): string {
  let most = 0;
  for (let i = 0; i < rounds; i++) most = Math.max(most, measure(step, done));
  return packetRate(most).padStart(PACKET_RATE_WIDTH);
}

function main({ rounds }: { readonly rounds: number }): number {
  for (const queues of QUEUES) {
    const rings = new Rings(queues);
    const { nic } = rings.driver;
    const found = best(() => rings.receive(), () => nic.counters.received, rounds);
    console.log(`receive, ${String(queues).padStart(2)} queues: ${found}`);
    if (rings.wire.missed > 0 || nic.rules.violations.length > 0) {
      throw new Error(`missed ${rings.wire.missed}: ${rings.driver.broken().join("; ")}`);
    }
  }
  const rings = new Rings(1);
  rings.wire.arriving = false;
  const found = best(() => rings.send(), () => rings.wire.received, rounds);
  console.log(`send,     1 queue:  ${found}`);
  return 0;
}

if (import.meta.main) await run(SIM_QUEUES, main);
