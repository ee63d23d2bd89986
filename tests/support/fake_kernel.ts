/**
 * The kernel's side of the rings of an AF_XDP socket, which the test plays: as the kernel does, or as it must
 * not. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Mempool, PacketBatch } from "../../mod.ts";
import { type RingPlaces, type Rings, viewRings } from "../../xdp/rings.ts";
import { XdpRxQueue } from "../../xdp/rx_queue.ts";
import { XdpTxQueue } from "../../xdp/tx_queue.ts";

const HEADROOM = 256, CONTINUES = 1;
/** Offsets in a ring's memory, in bytes, and those of the longer kind of descriptor. */
const PLACE = { address: 0n, producer: 0, consumer: 4, flags: 8, descriptors: 64 };
const DESCRIPTOR = 16;

/** Both queues of a socket, and the kernel's side of its rings. */
export class FakeKernel implements Disposable {
  /** The producer and consumer indices at which rings start: they wrap within a test. */
  static readonly FIRST: number = 2 ** 32 - 100;
  readonly pool: Mempool;
  readonly rx: XdpRxQueue;
  readonly tx: XdpTxQueue;
  readonly rings: Rings;
  wakeups = 0;

  /** The memory that addresses count in. */
  readonly memory: Uint8Array;

  /** @param entries Entries of each ring. */
  constructor(bufferSize = 2048, buffers = 256, entries = 64, headroom = 0) {
    this.pool = new Mempool({ buffers, bufferSize, headroom, memory: "pages" });
    this.memory = new Uint8Array(this.pool.memory.buffer);
    const at = { ...PLACE, entries, bytes: PLACE.descriptors + entries * DESCRIPTOR };
    const places: RingPlaces = { rx: at, tx: at, fill: at, completion: at };
    const memory = () => new ArrayBuffer(at.bytes);
    this.rings = viewRings(places, {
      ...{ rx: memory(), tx: memory(), fill: memory(), completion: memory() },
    });
    for (const { producer, consumer } of Object.values(this.rings)) {
      producer[0] = consumer[0] = FakeKernel.FIRST;
    }
    const look = () => void this.wakeups++, wakeup = { look, lookAtTransmit: look };
    this.rx = new XdpRxQueue("xdp:k", 0, this.pool, this.rings, wakeup);
    this.tx = new XdpTxQueue("xdp:k", 0, this.pool, this.rings, wakeup);
  }

  /** Takes the next buffer's address from the fill ring. */
  fill(): number {
    const { entries, mask, producer, consumer } = this.rings.fill;
    assert(consumer[0] !== producer[0], "the fill ring has a buffer");
    return entries[2 * (consumer[0]++ & mask)];
  }

  /** Puts a descriptor into the receive ring. */
  put(at: number, length: number, options = 0, high = 0): void {
    const { entries, mask, producer } = this.rings.rx;
    entries.set([at, high, length, options], 4 * (producer[0] & mask));
    producer[0]++;
  }

  /** Delivers a frame in pieces of at most this many bytes. */
  deliver(frame: Uint8Array, most = frame.length): void {
    for (let from = 0; from < frame.length; from += most) {
      const piece = frame.subarray(from, from + most), at = this.fill() + HEADROOM;
      this.memory.set(piece, at);
      this.put(at, piece.length, from + most < frame.length ? CONTINUES : 0);
    }
  }

  /** Takes the descriptors in the transmit ring, as address, length and options. */
  sent(): number[][] {
    const { entries, mask, producer, consumer } = this.rings.tx, all: number[][] = [];
    for (; consumer[0] !== producer[0]; consumer[0]++) {
      const [at, high, length, options] = entries.subarray(4 * (consumer[0] & mask));
      assertEquals(high, 0);
      all.push([at, length, options]);
    }
    return all;
  }

  /** Puts an address into the completion ring. */
  complete(at: number, high = 0): void {
    const { entries, mask, producer } = this.rings.completion;
    entries.set([at, high], 2 * (producer[0] & mask));
    producer[0]++;
  }

  /** Receives into an empty batch; returns copies of the packets. */
  receive(capacity = 32): Uint8Array[] {
    const batch = new PacketBatch(this.pool, capacity);
    this.rx.receive(batch);
    const packets = [...batch].map((packet) => packet.slice());
    batch.free();
    return packets;
  }

  /** Closes both queues, not the pool. */
  [Symbol.dispose](): void {
    this.rx.close();
    this.tx.close();
  }
}
