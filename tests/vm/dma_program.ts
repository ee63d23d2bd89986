/**
 * Run natively and in a guest: has the driver give a NIC descriptors that lead to memory which was
 * never mapped for it, and prints as JSON whether that memory was touched. It corrupts the driver's
 * own table of bus addresses, so that everything else is done as always.
 *
 *     deno run --allow-ffi tests/vm/dma_program.ts DEVICE transmit|receive physical|chosen
 *
 * @module
 */

import { delay } from "../../native/clock.ts";
import { Mempool, open, PacketBatch, type TxQueue, UsageError } from "../../mod.ts";
import { type Addressing, DmaMemory } from "../../src/dma.ts";
import { endWith } from "../../programs/run.ts";

/** What the software NIC says of such descriptors. */
export const NOT_READABLE = "TDT: buffers in memory the device may read";
/** The same, of receive descriptors. */
export const NOT_WRITABLE = "RDBAL: buffers of BSIZEPACKET bytes in memory the device may write";

const PATTERN = 0xa5;
/** Descriptors of a receive ring, all of which lead to the pool at first. */
export const ENTRIES = 64;
/** Packets that are received if nothing prevents it. */
export const ENOUGH = 4 * ENTRIES;
/** How long nothing may happen before nothing more is expected to, in milliseconds. */
const SILENCE_MS = 1000;
const BYTES = 60;

/** What the program saw. */
export interface DmaReport {
  /** Whether all of the memory that was not mapped is as it was. */
  readonly untouched: boolean;
  /** Packets that were received, or that the NIC reported as sent. */
  readonly packets: number;
  /** Packets that the NIC was given and did not report. */
  readonly pending: number;
}

/** Has all buffers' bus addresses lead elsewhere, whichever scheme the device uses. */
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

/** Sends a packet; returns 1 if the NIC has reported it within a while, else 0. */
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
  if (!victim.has(scheme)) throw new UsageError("no hugepages, or they hide their addresses");
  using pool = new Mempool({ buffers: 4 * ENTRIES });
  using device = await open(name, { pool, rxEntries: ENTRIES, promiscuous: true });
  await device.waitForLink();
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  const batch = new PacketBatch(pool, 32);
  const packet = new Uint8Array(BYTES).fill(0xff);
  // A packet that is as it should be shows first that the NIC runs.
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
