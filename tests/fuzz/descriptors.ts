/**
 * Descriptors of the NIC model: a hostile client fills both rings with anything, in memory of which
 * the device may read and write only parts. No frame has bytes that the device may not read or that
 * an earlier client sent, no memory changes that it may not write, and the work of a round is bounded.
 *
 * @module
 */

import { RDT, TDH, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import {
  IOVA,
  MEMORY,
  RING,
  RX_BUFFERS,
  RX_RING,
  TX_BUFFERS,
  TX_RING,
} from "../../sim/minimal_driver.ts";
import { MinimalDriver } from "../../sim/minimal_driver.ts";
import type { Random } from "./random.ts";
import { CheckedWire, frameOf } from "./registers.ts";
import { holds, operations, type Sequence, type Target } from "./target.ts";

/** A new model takes as long as thousands of descriptors. */
const OPERATIONS = 4000;
/** Kinds of operations: descriptors of both directions, tails, frames, rounds. */
const TRANSMIT = 0, RECEIVE = 1, TRANSMIT_TAIL = 2, RECEIVE_TAIL = 3, ARRIVE = 4, POLL = 5;
/** Begins a transmit queue anew: the model stops one whose buffers it cannot read. */
const RESTART = 6;
/** Parts of the memory that are mapped: bytes that the device may read, write, or both. */
const RINGS: readonly [start: number, bytes: number] = [0, 0x40000];
const WRITABLE: readonly [start: number, bytes: number] = [RX_BUFFERS, 0x40000];
const READABLE: readonly [start: number, bytes: number] = [TX_BUFFERS, 0x40000];
const BOTH: readonly [start: number, bytes: number] = [0x300000, 0x10000];
/** Memory that the device must not touch, on both sides of the mapped parts. */
const GUARD = 0x1000;
/** Bytes that no frame has: those of an earlier client, and of what the device may not read. */
const SECRET = 0xee;
/** Bytes in a row that are no accident. */
const RUN = 8;
/** Most frames of a round: 64 descriptors, and as many segments of their transmissions. */
const MAX_FRAMES = 192;

/** Where a client's buffers are: at the beginning, at the end and on the edges of what is mapped. */
function place(random: Random): number {
  switch (random.below(64)) {
    case 0: {
      const [start, bytes] = random.pick([RINGS, WRITABLE, READABLE, BOTH]);
      return start + random.pick([0, bytes]) - random.below(64);
    }
    case 1:
      return random.below(MEMORY);
    default: {
      const [start, bytes] = random.pick([READABLE, BOTH, BOTH]);
      return start + random.below(bytes - 4096);
    }
  }
}

function length(random: Random): number {
  return random.oneIn(6) ? random.below(0x10000) : 1 + random.below(random.oneIn(3) ? 4000 : 300);
}

/** Returns words 2 and 3 of a descriptor to transmit. */
function command(random: Random): [number, number] {
  const bits = random.oneIn(4)
    ? random.word() & 0xff000000
    : random.pick([0x2b, 0x2f, 0xab, 0x21]) << 24;
  const size = length(random), payload = random.oneIn(3) ? random.below(1 << 18) : size;
  switch (random.below(6)) {
    case 0: // legacy
      return [(bits & ~(1 << 29) | size | (random.word() & 0xff0000)) >>> 0, random.word()];
    case 1: // context: word 3 has MSS, L4LEN, index
      return [(0x20200000 | random.word() & 0xffff) >>> 0, random.edge()];
    case 2:
      return [random.word(), random.edge()];
    case 3: // segmentation
      return [(0xab300000 | size) >>> 0, (payload << 14 | random.below(16) << 8) >>> 0];
    default:
      return [
        (bits | 0x20300000 | size) >>> 0,
        (payload << 14 | (random.oneIn(2) ? random.below(64) << 8 : 0)) >>> 0,
      ];
  }
}

type Setup = { readonly deviceId: number };

function generate(random: Random): Sequence<Setup> {
  const list: number[][] = [];
  const slot = () => random.below(RING);
  let tail = 0;
  while (list.length < OPERATIONS) {
    switch (random.below(6)) {
      case 0: { // frames of several descriptors, then the tail
        if (random.oneIn(3)) {
          list.push([RESTART]);
          tail = 0;
        }
        const n = 1 + random.below(random.oneIn(5) ? 100 : 8);
        for (let i = 0; i < n; i++) {
          const [word2, word3] = command(random), at = place(random);
          const context = (word2 & 0x20f00000) === 0x20200000;
          const end = i === n - 1 && !random.oneIn(8) ? 1 << 24 : 0; // EOP
          const word0 = context ? random.pick([14 << 9 | 20, random.word()]) : at;
          list.push([TRANSMIT, (tail + i) % RING, word0, (word2 | end) >>> 0, word3]);
        }
        tail = (tail + n) % RING;
        list.push([TRANSMIT_TAIL, random.oneIn(20) ? random.below(2 * RING) : tail]);
        break;
      }
      case 1:
        list.push([
          RECEIVE,
          slot(),
          random.oneIn(4) ? RX_BUFFERS + random.below(0x3f000) : place(random),
          random.oneIn(4) ? random.word() : 0,
        ]);
        break;
      case 2:
        list.push([RECEIVE_TAIL, random.below(random.oneIn(8) ? 2 * RING : RING)]);
        break;
      case 3:
        list.push([ARRIVE, length(random), random.word()]);
        break;
      default:
        list.push([POLL, random.below(4)]);
    }
  }
  const devices = [DEVICE.SFP, DEVICE.X540, DEVICE.X550];
  return { setup: { deviceId: random.pick(devices) }, operations: list };
}

/** Throws if a frame has a run of secret bytes. */
function checkFrame(frame: Uint8Array, length: number): void {
  let run = 0;
  for (let i = 0; i < length; i++) {
    if (frame[i] !== SECRET) run = 0;
    else if (++run === RUN) throw new Error(`a frame of ${length} bytes has foreign bytes at ${i}`);
  }
}

/** Sends frames of secret bytes, which then are in the model's buffers; small and segmented ones. */
function sendSecrets(driver: MinimalDriver): void {
  driver.bytes.fill(SECRET, TX_BUFFERS, TX_BUFFERS + 0x40000);
  driver.fillTransmit(0, 2000);
  const at = TX_RING / 4 + 4;
  driver.words.set([14 << 9 | 20, 0, 0x20200000, 1400 << 16 | 20 << 8], at); // context
  for (let i = 2; i < 10; i++) {
    driver.fillTransmit(i, 8000, 0xaa300000 | (i === 9 ? 1 << 24 : 0), 64000 - 54);
  }
  driver.write(TDT, 10);
  for (let i = 0; i < 8; i++) driver.nic.poll();
}

function run({ setup: { deviceId }, operations }: Sequence<Setup>): void {
  const wire = new CheckedWire();
  const driver = MinimalDriver.ready({ deviceId });
  const { nic, words, bytes } = driver;
  nic.wire = wire;
  sendSecrets(driver);
  nic.disconnect(); // the next client
  nic.setBusMaster(true);
  bytes.fill(0);
  nic.dma.map(IOVA, driver.memory, 0, MEMORY);
  driver.reset();
  driver.configure();
  driver.enableTransmit();
  driver.enableReceive();
  nic.dma.clear();
  const guarded: number[] = [];
  for (
    const [part, writable, readable] of [
      [RINGS, true, true],
      [WRITABLE, true, false],
      [READABLE, false, true],
      [BOTH, true, true],
    ] as const
  ) {
    const [start, size] = part;
    nic.dma.map(IOVA + start, driver.memory, start, size, writable, readable);
    if (start > 0) guarded.push(start - GUARD);
    guarded.push(start + size);
  }
  for (const start of guarded) bytes.fill(SECRET, start, start + GUARD);
  bytes.fill(SECRET, WRITABLE[0], WRITABLE[0] + WRITABLE[1]); // not to be read
  bytes.fill(0x11, READABLE[0], READABLE[0] + READABLE[1]);
  wire.look = checkFrame;
  const high = Math.floor(IOVA / 2 ** 32), low = IOVA % 2 ** 32;
  for (const [kind, a, b = 0, c = 0, d = 0] of operations) {
    switch (kind) {
      case TRANSMIT:
        words.set([(low + b) >>> 0, high, c, d], TX_RING / 4 + (a % RING) * 4);
        if ((c & 0x20f00000) === 0x20200000) words[TX_RING / 4 + (a % RING) * 4] = b;
        break;
      case RECEIVE:
        words.set([(low + b) >>> 0, high, c, 0], RX_RING / 4 + (a % RING) * 4);
        break;
      case TRANSMIT_TAIL:
        driver.write(TDT, a);
        break;
      case RECEIVE_TAIL:
        driver.write(RDT, a);
        break;
      case RESTART:
        driver.write(TXDCTL, 0);
        nic.poll();
        driver.write(TDH, 0);
        driver.write(TDT, 0);
        driver.enableTransmit();
        break;
      case ARRIVE:
        wire.deliver(nic, frameOf(a, b));
        break;
      case POLL:
        for (let i = 0; i <= a; i++) {
          wire.frames = 0;
          nic.poll();
          holds(wire.frames <= MAX_FRAMES, `${wire.frames} frames in one round`);
        }
    }
  }
  for (const start of guarded) {
    for (let i = start; i < start + GUARD; i++) {
      if (bytes[i] !== SECRET) throw new Error(`byte ${i} has changed, which is not mapped`);
    }
  }
  for (let i = READABLE[0]; i < READABLE[0] + READABLE[1]; i++) {
    if (bytes[i] !== 0x11) throw new Error(`byte ${i} has changed, which the device may only read`);
  }
  nic.disconnect();
}

/** The target. */
export const DESCRIPTORS: Target = {
  name: "descriptors",
  about: "descriptors of a hostile client of the NIC model, in both directions",
  attempts: 5,
  open: () => operations({ generate, run }),
};
