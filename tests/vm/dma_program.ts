/**
 * Run natively and in a guest: makes the driver give a NIC descriptors with addresses of memory
 * that was never mapped for it, and prints as JSON whether that memory was accessed. It corrupts
 * only the driver's table of bus addresses, so that the driver otherwise works as usual.
 *
 *     deno run --allow-ffi tests/vm/dma_program.ts DEVICE transmit|receive physical|iova
 *
 * @module
 */

import { delay } from "../../native/clock.ts";
import { Mempool, open, PacketBatch, type TxQueue, UsageError } from "../../mod.ts";
import { type Addressing, DmaMemory } from "../../src/dma.ts";
import { endWith } from "../../programs/run.ts";

/** The rule that such transmit descriptors violate, in the software NIC's words. */
export const NOT_READABLE = "TDT: buffers in memory the device may read";
/** The same for receive descriptors. */
export const NOT_WRITABLE = "RDBAL: buffers of BSIZEPACKET bytes in memory the device may write";

const PATTERN = 0xa5;
/** Descriptors of a receive ring; at first, all have addresses of the pool. */
export const ENTRIES = 64;
/** Number of received packets after which the program ends. */
export const ENOUGH = 4 * ENTRIES;
/** Time without a packet after which the program ends, in milliseconds. */
const SILENCE_MS = 1000;
const BYTES = 60;

/** The program's output. */
export interface DmaReport {
  /** Whether the memory that was not mapped is unchanged. */
  readonly untouched: boolean;
  /** Packets that were received, or that the NIC reported as sent. */
  readonly packets: number;
  /** Packets that were given to the NIC and not reported as sent. */
  readonly pending: number;
}

/** Replaces the bus addresses of all buffers, of both schemes, by another address. */
function corrupt(pool: Mempool, address: number): void {
  for (const scheme of ["iova", "physical"] as const) {
    if (!pool.memory.has(scheme)) continue;
    const column = pool.addresses(scheme);
    for (let b = 0; b < pool.buffers; b++) {
      column[2 * b] = address % 2 ** 32;
      column[2 * b + 1] = Math.floor(address / 2 ** 32);
    }
  }
}

/** Sends a packet; returns 1 if the NIC reports it as sent in time, else 0. */
async function send(tx: TxQueue, batch: PacketBatch, packet: Uint8Array): Promise<number> {
  batch.add(packet);
  tx.transmit(batch);
  for (const since = performance.now(); performance.now() - since < SILENCE_MS;) {
    const n = tx.reclaim();
    if (n > 0) return n;
    await delay(1);
  }
  return 0;
}

async function use(name: string, mode: string, scheme: Addressing): Promise<DmaReport> {
  const victim = DmaMemory.allocate(1);
  const bytes = new Uint8Array(victim.buffer).fill(PATTERN);
  if (!victim.has(scheme)) {
    throw new UsageError("no hugepages with physical addresses: run as root");
  }
  using pool = new Mempool({ buffers: 4 * ENTRIES });
  using device = await open(name, { pool, rxEntries: ENTRIES, promiscuous: true });
  await device.waitForLink();
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  const batch = new PacketBatch(pool, 32);
  const packet = new Uint8Array(BYTES).fill(0xff);
  // A correct packet first shows that the NIC works.
  if (mode === "transmit") await send(tx, batch, packet);
  corrupt(pool, victim.busAddress(0, scheme));
  let packets = mode === "transmit" ? await send(tx, batch, packet) : 0;
  let last = performance.now();
  while (mode === "receive" && packets < ENOUGH && performance.now() - last < SILENCE_MS) {
    const n = rx.receive(batch);
    if (n > 0) last = performance.now();
    packets += n;
    batch.free();
  }
  const { pending } = tx;
  device.close();
  const untouched = bytes.every((byte) => byte === PATTERN);
  victim.free();
  return { untouched, packets, pending };
}

if (import.meta.main) {
  await endWith(async () => {
    const [name, mode, scheme] = Deno.args;
    console.log(JSON.stringify(await use(name, mode, scheme as Addressing)));
    return 0;
  });
}
