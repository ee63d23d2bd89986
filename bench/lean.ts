/**
 * The leanest forwarder that TypeScript allows on the instrument, for measuring only: `instrument/limit.c` in
 * TypeScript. It knows no errors, statistics or ends of packets, shares no pool, and leaves its devices as they
 * are when it is killed.
 *
 * @module
 */

import {
  BYTES,
  RX_DD,
  TX_DD,
  TX_DEXT,
  TX_DTYP_DATA,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
} from "../ixgbe/descriptors.ts";
import * as R from "../ixgbe/registers.ts";
import { command } from "../programs/command_line.ts";
import { whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";
import { spinUntil } from "../native/clock.ts";
import { DmaMemory } from "../src/dma.ts";
import { DeviceError } from "../src/errors.ts";
import type { Bar, Doorbell } from "../src/pci/function.ts";
import { SysfsFunction } from "../src/pci/sysfs.ts";
import { offsetOf, type Register } from "../src/registers.ts";
import { specialise } from "../src/specialise.ts";

/** What to do. */
interface Plan {
  readonly addresses: readonly string[];
  readonly batch: number;
  readonly queues: number;
}

/** The command line. */
export const LEAN_FORWARDER = command({
  start: "deno run --allow-ffi bench/lean.ts",
  operands: { shown: "A B", are: "two PCI addresses", least: 2, most: 2 },
  about: "Forwards between the two ports of the bench's instrument until it is killed.",
  options: {
    batch: whole("maximum batch size in packets", { least: 1, most: 256, default: 32 }),
    queues: whole("receive and transmit queues of each port", { least: 1, most: 16, default: 1 }),
  },
  plan: ({ values, operands: addresses }): Plan => ({ ...values, addresses }),
});

/** Descriptors of a ring, and its spare buffers. */
const ENTRIES = 512, SPARE = 1024, BUFFERS = ENTRIES + SPARE;
/** Distance of two buffers in bytes, as in a spread pool. No packet of the bench lies in two hugepages. */
const STRIDE = 2048 + 128;
/** Packets of which the NIC reports the last. */
const RUN = 32;
/** Packets after which it is the turn of the next lane. */
const TURN = 32;
const COMMAND = TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP;
const SCOPE = {
  ...{ ENTRIES, BUFFERS, STRIDE, RUN, COMMAND },
  ...{ RX_DD, TX_DD, TX_RS, TX_PAYLEN_SHIFT },
};
/** The table that spreads flows over queues: a byte for each of 128 hash values. */
const RETA_BYTES = 128;
/** MRQC: RSS without virtualisation. */
const RSS = 1;
const ROUNDS = 4096;
/** Deadline for a reset, in milliseconds. */
const RESET_MS = 1000;

/** The memory of one way through one pair of queues. */
export interface Lane {
  readonly rx: Uint32Array;
  readonly tx: Uint32Array;
  readonly rdt: Doorbell;
  readonly tdt: Doorbell;
  /** Low and high half of each buffer's physical address. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly bytes: Uint8Array;
}

/** Creates the function that passes on at most a batch, and no more than the transmit ring has room for. */
export const makeLane: (lane: Lane, batch: number) => () => number = specialise(
  import.meta.url,
  SCOPE,
  function leanForwarder({ rx, tx, rdt, tdt, low, high, bytes }: Lane, batch: number) {
    const MASK = ENTRIES - 1;
    const inRx = new Uint32Array(ENTRIES), inTx = new Uint32Array(ENTRIES);
    const stack = new Uint32Array(BUFFERS), rdtWords = rdt.words, tdtWords = tdt.words;
    const rdtIndex = rdt.index, tdtIndex = tdt.index;
    let next = 0, sent = 0, cleaned = 0, free = 0;
    for (let i = 0; i < ENTRIES; i++) inRx[i] = i;
    for (let i = ENTRIES; i < BUFFERS; i++) stack[free++] = i;
    return function forward(): number {
      while (((sent - cleaned) & MASK) >= RUN) {
        if ((tx[((cleaned + RUN - 1) & MASK) << 2 | 3] & TX_DD) === 0) break;
        for (let i = 0; i < RUN; i++) stack[free++] = inTx[(cleaned + i) & MASK];
        cleaned = (cleaned + RUN) & MASK;
      }
      const room = (cleaned - sent - 1) & MASK, most = batch < room ? batch : room;
      let n = 0, i = next, o = sent, top = free;
      for (; n < most; n++) {
        const r = i << 2, t = o << 2;
        if ((rx[r | 2] & RX_DD) === 0) break;
        const size = rx[r | 3] & 0xffff, buffer = inRx[i], fresh = stack[--top];
        bytes[Math.imul(buffer, STRIDE) | 1]++;
        inRx[i] = fresh;
        rx[r] = low[fresh];
        rx[r | 1] = high[fresh];
        rx[r | 2] = rx[r | 3] = 0;
        inTx[o] = buffer;
        tx[t] = low[buffer];
        tx[t | 1] = high[buffer];
        tx[t | 2] = COMMAND | size | ((o & (RUN - 1)) === RUN - 1 ? TX_RS : 0);
        tx[t | 3] = size << TX_PAYLEN_SHIFT;
        i = (i + 1) & MASK;
        o = (o + 1) & MASK;
      }
      if (n === 0) return 0;
      next = i;
      sent = o;
      free = top;
      rdtWords[rdtIndex] = (i - 1) & MASK;
      tdtWords[tdtIndex] = o;
      return n;
    };
  },
);

/** Sets a queue's ring up, and enables the queue; returns its tail register. */
function enable(bar: Bar, way: "rx" | "tx", queue: number, ring: number): Doorbell {
  const [low, high, length, control, tail] = way === "rx"
    ? [R.RDBAL, R.RDBAH, R.RDLEN, R.RXDCTL, R.RDT]
    : [R.TDBAL, R.TDBAH, R.TDLEN, R.TXDCTL, R.TDT];
  const write = (register: Register, value: number) =>
    bar.write(offsetOf(register, queue), 4, value);
  write(low, ring % 2 ** 32);
  write(high, Math.floor(ring / 2 ** 32));
  write(length, ENTRIES * BYTES);
  write(control, R.RXDCTL.ENABLE);
  return bar.doorbell(offsetOf(tail, queue));
}

/** Opens a lane from one port to the other; returns the function that forwards through it. */
function openLane(from: Bar, to: Bar, queue: number, batch: number): () => number {
  const ring = ENTRIES * BYTES,
    memory = DmaMemory.allocate(BUFFERS * STRIDE + 2 * ring, "hugepages");
  const at = BUFFERS * STRIDE, address = (offset: number) => memory.busAddress(offset, "physical");
  const addresses = Array.from({ length: BUFFERS }, (_, i) => address(i * STRIDE));
  const low = Uint32Array.from(addresses, (value) => value % 2 ** 32);
  const high = Uint32Array.from(addresses, (value) => Math.floor(value / 2 ** 32));
  const rx = new Uint32Array(memory.buffer, at, ring / 4);
  const tx = new Uint32Array(memory.buffer, at + ring, ring / 4);
  for (let i = 0; i < ENTRIES; i++) rx.set([low[i], high[i], 0, 0], i * 4);
  const tdt = enable(to, "tx", queue, address(at + ring));
  const rdt = enable(from, "rx", queue, address(at));
  const lane = { rx, tx, rdt, tdt, low, high, bytes: new Uint8Array(memory.buffer) };
  rdt.words[rdt.index] = ENTRIES - 1;
  return makeLane(lane, batch);
}

/**
 * Opens a port, and resets it.
 *
 * @throws {DeviceError} if it does not come out of the reset.
 */
function openPort(address: string): Bar {
  const pci = new SysfsFunction(address, undefined, { guard: false });
  pci.claim(false);
  const bar = pci.bar(0);
  bar.write(offsetOf(R.CTRL), 4, R.CTRL.RST);
  if (!spinUntil(RESET_MS, () => (bar.read(offsetOf(R.CTRL), 4) & R.CTRL.RST) === 0)) {
    const problem = `CTRL.RST is still set after ${RESET_MS} ms: is it a port of the instrument?`;
    throw new DeviceError(address, problem);
  }
  return bar;
}

/** Forwards packets of a lane until a turn is over or none is left. */
function takeTurn(forward: () => number): void {
  for (let total = 0, n = 1; n > 0 && total < TURN; total += n) n = forward();
}

/** A short function that only loops, so that V8 optimises it as a whole. */
function forwardRounds(lanes: readonly (() => number)[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < lanes.length; i++) takeTurn(lanes[i]);
  }
}

function main({ addresses, batch, queues }: Plan): Promise<number> {
  const [a, b] = addresses.map(openPort), lanes: (() => number)[] = [];
  for (let queue = 0; queue < queues; queue++) {
    lanes.push(openLane(a, b, queue, batch), openLane(b, a, queue, batch));
  }
  for (const bar of [a, b]) {
    for (let entry = 0; entry < RETA_BYTES; entry++) {
      bar.write(offsetOf(R.RETA) + entry, 1, entry % queues);
    }
    bar.write(offsetOf(R.MRQC), 4, queues > 1 ? RSS : 0);
    bar.write(offsetOf(R.DMATXCTL), 4, R.DMATXCTL.TE);
    bar.write(offsetOf(R.RXCTRL), 4, R.RXCTRL.RXEN);
  }
  for (;;) forwardRounds(lanes);
}

if (import.meta.main) await run(LEAN_FORWARDER, main);
