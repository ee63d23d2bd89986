/**
 * Registers of the NIC model: any reads and writes on every board, with frames and descriptors in
 * between. The model neither throws nor stalls, and writes to no memory that is not mapped for it.
 *
 * @module
 */

import * as TABLE from "../../ixgbe/registers.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { Nic } from "../../sim/nic/nic.ts";
import type { Wire, WirePort } from "../../sim/wires/wire.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import type { Random } from "./random.ts";
import { holds, operations, type Sequence, type Target } from "./target.ts";

/** A new model takes as long as thousands of accesses. */
const OPERATIONS = 8000;
const BAR_BYTES = 0x80000;
/** Kinds of operations. */
const READ = 0, WRITE = 1, POLL = 2, ARRIVE = 3, LINK = 4, MASTER = 5, DOORBELL = 6, RESET = 7;
const MEMORY = 8, QUEUE = 9;
const KINDS = 10;

/** Memory that the device reaches, between bytes that it must not touch. */
const BYTES = 0x10000, GUARD = 0x1000, IOVA = 0x1_2340_0000;
/** The end of the memory, which it may only read. */
const READ_ONLY = 0x4000;
const UNTOUCHED = 0xa5;
/** Descriptors of a ring that are made valid. */
const DESCRIBED = 7;
/** Longest frame that a wire may get, and most frames of a round: 64 descriptors and segments a queue. */
const MAX_FRAME = 15_868, MAX_FRAMES = 128 * 128;

/** Offsets of all registers in the table. */
const OFFSETS: readonly number[] = Object.values(TABLE as unknown as Record<string, unknown>)
  .filter((value): value is Register => {
    return typeof value === "object" && value !== null && "offset" in value && "count" in value;
  })
  .flatMap((register) => Array.from({ length: register.count }, (_, i) => offsetOf(register, i)));

/** Address, length, control and tail registers of both rings of each queue. */
const QUEUES: readonly number[][][] = Array.from({ length: 128 }, (_, index) => {
  const receive = [TABLE.RDBAL, TABLE.RDBAH, TABLE.RDLEN, TABLE.RXDCTL, TABLE.RDT];
  const transmit = [TABLE.TDBAL, TABLE.TDBAH, TABLE.TDLEN, TABLE.TXDCTL, TABLE.TDT];
  return [receive, transmit].map((registers) => registers.map((one) => offsetOf(one, index)));
});

/** A wire that checks what the model sends. */
export class CheckedWire implements Wire {
  readonly kind = "checked";
  readonly fd = -1;
  /** Frames sent since it was set to 0. */
  frames = 0;
  /** Called with each frame. */
  look: (frame: Uint8Array, length: number) => void = () => {};
  readonly #frame = new FrameBuffer();

  transmit(frame: FrameBuffer, length: number): void {
    holds(length >= 60 && length <= MAX_FRAME, `a frame of ${length} bytes is sent`);
    this.frames++;
    this.look(frame.bytes, length);
  }

  /** Delivers a frame. */
  deliver(port: WirePort, bytes: Uint8Array): void {
    this.#frame.bytes.set(bytes);
    port.receive(this.#frame, bytes.length);
  }

  poll(): number {
    return 0;
  }

  statistics(): Record<string, number> {
    return {};
  }

  close(): void {}
}

/** Returns a frame of IPv4 and TCP, UDP or anything, by a seed. */
export function frameOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(Math.max(length, 14), MAX_FRAME));
  let state = seed | 1;
  for (let i = 0; i < Math.min(bytes.length, 128); i++) {
    state = Math.imul(state, 1664525) + 1013904223;
    bytes[i] = state >>> 24;
  }
  if (seed & 1) bytes.fill(0xff, 0, 6);
  const type = [0x0800, 0x86dd, 0x8100, 0x88f7, 0x8808, 0x0806][seed >>> 1 & 7] ?? seed & 0xffff;
  bytes[12] = type >>> 8;
  bytes[13] = type;
  if (seed & 0x100 && bytes.length > 60) bytes.set([0x45, 0, bytes.length >>> 8, bytes.length], 14);
  if (seed & 0x200 && bytes.length > 60) bytes[23] = seed & 0x400 ? 6 : 17;
  return bytes;
}

type Setup = { readonly deviceId: number; readonly polls: boolean };

function generate(random: Random): Sequence<Setup> {
  const some = Array.from({ length: 1 + random.below(12) }, () => random.pick(OFFSETS));
  const offset = () => {
    if (random.oneIn(3)) return random.pick(some);
    return random.oneIn(8) ? random.below(BAR_BYTES / 4) * 4 : random.pick(OFFSETS);
  };
  const list = Array.from({ length: OPERATIONS }, () => {
    // A reset takes as long as thousands of accesses.
    let kind = random.oneIn(3) ? random.below(KINDS) : random.below(2);
    if (kind === RESET && !random.oneIn(10)) kind = POLL;
    switch (kind) {
      case READ:
        return [READ, offset()];
      case WRITE:
      case DOORBELL:
        return [kind, offset(), random.below(3), random.edge()];
      case POLL:
        return [POLL, random.below(4)];
      case ARRIVE:
        return [
          ARRIVE,
          random.oneIn(8) ? random.below(MAX_FRAME) : random.below(200),
          random.word(),
        ];
      case MEMORY:
        return [MEMORY, random.below(BYTES / 4), random.edge()];
      case QUEUE:
        return [QUEUE, random.below(128), random.below(BYTES / 128), random.below(2)];
      default:
        return [kind, random.below(4)];
    }
  });
  const setup = { deviceId: random.pick(Object.values(DEVICE)), polls: random.oneIn(8) };
  return { setup, operations: list };
}

/** The device's memory, between guards. */
class Memory {
  readonly bytes = new Uint8Array(BYTES + 2 * GUARD).fill(UNTOUCHED);
  readonly words = new Uint32Array(this.bytes.buffer);

  map(nic: Nic): void {
    const { buffer } = this.bytes;
    nic.dma.map(IOVA, buffer, GUARD, BYTES - READ_ONLY);
    nic.dma.map(IOVA + BYTES - READ_ONLY, buffer, GUARD + BYTES - READ_ONLY, READ_ONLY, false);
  }

  /** Writes the 32-bit word of a program, which has access to all memory that it has mapped. */
  write(index: number, value: number): void {
    if (index * 4 < BYTES - READ_ONLY) this.words[GUARD / 4 + index] = value;
  }

  /** Writes descriptors whose buffers are anywhere in the memory. */
  describe(ring: number): void {
    for (let i = 0; i < DESCRIBED; i++) {
      const at = (ring + 16 * i) / 4, buffer = IOVA + (ring * 7 + i * 9000) % BYTES;
      [buffer >>> 0, Math.floor(buffer / 2 ** 32), 0x2b300040, 0x40 << 14].forEach((word, k) => {
        this.write(at + k, word);
      });
    }
  }

  check(): void {
    const { bytes } = this;
    for (let i = 0; i < GUARD; i++) {
      if (bytes[i] !== UNTOUCHED) throw new Error(`byte -${GUARD - i} of the memory has changed`);
    }
    for (let i = GUARD + BYTES - READ_ONLY; i < bytes.length; i++) {
      if (bytes[i] !== UNTOUCHED) throw new Error(`byte ${i - GUARD} of the memory has changed`);
    }
  }
}

function run({ setup: { deviceId, polls }, operations }: Sequence<Setup>): void {
  const doorbells = new Uint32Array(BAR_BYTES / 4);
  const nic = new Nic({ deviceId, pollDoorbells: polls, ...(polls && { doorbells }) });
  const wire = new CheckedWire(), memory = new Memory();
  nic.wire = wire;
  memory.map(nic);
  nic.setBusMaster(true);
  /** Lets a write to a queue's registers point at the memory. */
  const queue = (index: number, place: number, on: number) => {
    memory.describe(place * 128);
    nic.write32(TABLE.FCTRL.offset, TABLE.FCTRL.UPE | TABLE.FCTRL.MPE | TABLE.FCTRL.BAM);
    for (const [low, high, length, control, tail] of QUEUES[index]) {
      nic.write32(low, (IOVA + place * 128) >>> 0);
      nic.write32(high, Math.floor(IOVA / 2 ** 32));
      nic.write32(length, 128 << (place & 7));
      nic.write32(control, on << 25);
      nic.write32(tail, DESCRIBED);
    }
    nic.write32(TABLE.DMATXCTL.offset, nic.peek32(TABLE.DMATXCTL.offset) | TABLE.DMATXCTL.TE);
    nic.write32(TABLE.RXCTRL.offset, TABLE.RXCTRL.RXEN);
    nic.write32(TABLE.SECRXCTRL.offset, 0);
  };
  for (const [kind, a = 0, b = 0, c = 0] of operations) {
    switch (kind) {
      case READ: {
        const value = nic.read32(a);
        holds(value === value >>> 0 || value === (value | 0), `register ${a} reads as ${value}`);
        break;
      }
      case WRITE:
        nic.write32(a, [c, nic.peek32(a) ^ c, nic.peek32(a) | c][b] >>> 0);
        break;
      case DOORBELL:
        doorbells[a >>> 2] = c;
        break;
      case POLL:
        for (let i = 0; i <= a; i++) {
          wire.frames = 0;
          nic.poll();
          holds(wire.frames <= MAX_FRAMES, `${wire.frames} frames in one round`);
        }
        break;
      case ARRIVE:
        wire.deliver(nic, frameOf(a, b));
        break;
      case LINK:
        nic.setLink((a & 1) !== 0);
        break;
      case MASTER:
        nic.setBusMaster(a !== 0);
        break;
      case RESET:
        if (a === 0) nic.reset(b & 1 ? "power-on" : "function");
        break;
      case MEMORY:
        memory.write(a, b);
        break;
      case QUEUE:
        queue(a, b, c);
    }
  }
  nic.poll();
  memory.check();
  nic.disconnect();
}

/** The target. */
export const REGISTERS: Target = {
  name: "registers",
  about: "reads and writes of the NIC model's registers, on every board",
  attempts: 5,
  open: () => operations({ generate, run }),
};
