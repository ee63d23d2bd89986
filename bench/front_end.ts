/**
 * A program that only receives, only transmits, or sends back what it receives, as fast as
 * possible. `vhost_user.ts` measures it. The other side counts the packets.
 *
 * @module
 */

import {
  type Device,
  layoutFor,
  Mempool,
  open,
  PacketBatch,
  type RxQueue,
  StopFlag,
  type TxQueue,
  UsageError,
} from "../mod.ts";
import { Direction } from "../programs/forward.ts";
import { command } from "../programs/command_line.ts";
import { whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";

const MODES = ["receive", "transmit", "loop"] as const;

/** What to do. */
interface Plan {
  readonly mode: typeof MODES[number];
  /** The device. */
  readonly address: string;
  readonly batch: number;
}

/** The command line. */
export const FRONT_END = command({
  start: "deno run --allow-ffi bench/front_end.ts",
  operands: {
    shown: "MODE DEVICE",
    are: "receive, transmit or loop, and a device",
    least: 2,
    most: 2,
  },
  about: `Uses a device as fast as possible until a signal arrives.
MODE is receive (and drop), transmit (64-byte packets with a sequence number), or loop (send eight
batches, then send back what arrives).`,
  options: {
    batch: whole("maximum batch size in packets", { alias: "b", least: 1, most: 256, default: 32 }),
  },
  plan({ values: { batch }, operands: [word, address] }): Plan {
    const mode = MODES.find((known) => known === word);
    if (mode === undefined) {
      throw new UsageError(`MODE takes receive, transmit or loop, not "${word}"`);
    }
    return { mode, address, batch };
  },
});

const ROUNDS = 4096;
/** Bytes of a packet, without CRC. */
const SIZE = 64;
/** The index of a packet's sequence number in 32-bit words. */
const SEQUENCE_WORD = 4;
/** Batches that circulate in loop mode. */
const LOOPED = 8;

function receiveRounds(rx: RxQueue, batch: PacketBatch, rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    if (rx.receive(batch) > 0) batch.free();
  }
}

function transmitRounds(tx: TxQueue, batch: PacketBatch, rounds: number): void {
  const { pool, buffers, capacity } = batch, { lengths, freeStack } = pool;
  const words = new Uint32Array(pool.memory.buffer, pool.headroom), stride = pool.stride >> 2;
  let sequence = 0;
  for (let i = 0; i < rounds; i++) {
    let available = pool.freeCount, n = batch.length;
    for (; n < capacity && available > 0; n++) {
      const buffer = buffers[n] = freeStack[--available];
      lengths[buffer] = SIZE;
      // A store only, as DPDK's generator does: a load would wait for the line from the other core.
      words[Math.imul(buffer, stride) + SEQUENCE_WORD] = sequence++;
    }
    pool.freeCount = available;
    batch.length = n;
    tx.transmit(batch);
  }
}

function loopRounds(direction: Direction, rounds: number): void {
  for (let i = 0; i < rounds; i++) direction.forward();
}

/** Fills every buffer with a broadcast Ethernet frame of an experimental type. */
function fill(pool: Mempool): void {
  for (let at = 0; at < pool.bytes.length; at += pool.stride) {
    pool.bytes.fill(0xff, at, at + 6);
    pool.bytes.set([2, 0, 0, 0, 0, 1, 0x88, 0xb5], at + 6);
  }
}

/** Returns the step to repeat. */
function work(mode: Plan["mode"], device: Device, batch: PacketBatch): () => void {
  const rx = device.rxQueues[0], tx = device.txQueues[0];
  if (mode === "receive") return () => receiveRounds(rx, batch, ROUNDS);
  if (mode === "transmit") return () => transmitRounds(tx, batch, ROUNDS);
  transmitRounds(tx, batch, LOOPED);
  batch.free();
  const direction = new Direction(rx, tx, batch.capacity, false);
  return () => loopRounds(direction, ROUNDS);
}

async function main({ mode, address, batch: batchSize }: Plan): Promise<number> {
  using pool = new Mempool({ buffers: 4096, ...layoutFor(address) });
  fill(pool);
  using stop = new StopFlag();
  using device = await open(address, { pool, promiscuous: true, rxEntries: 256, txEntries: 256 });
  const batch = new PacketBatch(pool, batchSize);
  const step = work(mode, device, batch);
  while (stop.signal === 0) {
    step();
    device.checkAlive();
  }
  return 0;
}

if (import.meta.main) await run(FRONT_END, main);
