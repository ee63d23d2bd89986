/**
 * Calls on a device in any order that a program may make: open, receive, transmit, free, close, open
 * again, with the ixgbe driver on the NIC model and the VirtIO driver on a device in this thread. A
 * simple reference tells which packets arrive and are sent, and where every buffer is.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PacketBatch } from "../../mod.ts";
import { type Rig, RIGS } from "../support/rigs.ts";
import { holds, type Target, values } from "./target.ts";

const BUFFERS = 256;

/** A call, and a number that says how many packets or of which size. */
type Call = readonly [what: typeof CALLS[number], n: number];
type Case = readonly [driver: string, batch: number, calls: readonly Call[]];

const CALLS = [
  ...["arrive", "receive", "transmit", "send", "free", "work", "drop", "close", "open", "count"],
] as const;

const call: fc.Arbitrary<Call> = fc.tuple(
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom("arrive", "receive", "transmit", "work", "free") },
    { weight: 4, arbitrary: fc.constantFrom("send", "drop", "count") },
    fc.constantFrom("close", "open"),
  ),
  fc.nat(80),
);

const cases: fc.Arbitrary<Case> = fc.tuple(
  fc.constantFrom(...Object.keys(RIGS)),
  fc.constantFrom(1, 7, 32, 100),
  fc.array(call, { maxLength: 60, size: "max" }),
);

/** Returns a packet with a number, of a size that depends on it. */
function packetOf(number: number): Uint8Array {
  const packet = new Uint8Array(60 + number * 37 % 1440).fill(number);
  new DataView(packet.buffer).setUint32(20, number);
  return packet;
}

function numberOf(packet: Uint8Array): number {
  const number = new DataView(packet.buffer, packet.byteOffset).getUint32(20);
  assertEquals(packet, packetOf(number), `packet ${number} has its bytes`);
  return number;
}

/** A device, and what it must do. */
class Reference {
  readonly rig: Rig;
  readonly batch: PacketBatch;
  /** Numbers of packets in the receive ring, in the batch, and on their way out. */
  #arrived: number[] = [];
  #held: number[] = [];
  #out: number[] = [];
  #received = 0;
  #sent = 0;
  #closed = false;

  private constructor(rig: Rig, capacity: number) {
    this.rig = rig;
    this.batch = new PacketBatch(rig.pool, capacity);
  }

  static async open(driver: string, capacity: number): Promise<Reference> {
    return new Reference(await RIGS[driver](BUFFERS), capacity);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Makes a call; returns the number of packets so far. */
  call(what: Call[0], n: number, next: number): number {
    const { rig, batch } = this, { device, pool } = rig;
    const [rx] = device.rxQueues, [tx] = device.txQueues;
    if (this.#closed) {
      batch.length = 0;
      if (what === "receive") assertThrows(() => rx.receive(batch), Error, "closed");
      if (what === "transmit") assertThrows(() => tx.transmit(batch), Error, "closed");
      return next;
    }
    if (what === "arrive") {
      for (let i = 0; i < n; i++) if (rig.arrive(packetOf(++next))) this.#arrived.push(next);
    } else if (what === "receive") {
      if (batch.length > 0) {
        assertThrows(() => rx.receive(batch), Error, "send or free");
        return next;
      }
      const got = rx.receive(batch);
      const expected = this.#arrived.splice(0, got);
      assertEquals([...batch].map(numberOf), expected, "packets arrive in order");
      // Without a free buffer, the driver drops what it cannot replace.
      if (got === 0 && pool.freeCount === 0) this.#arrived = [];
      else holds(got > 0 || this.#arrived.length === 0, "a packet that has arrived is received");
      this.#held = expected;
      this.#received += got;
    } else if (what === "transmit" || what === "send") {
      if (what === "send") {
        for (let i = 0; i < n; i++) {
          if (!batch.add(packetOf(next + 1))) break;
          this.#held.push(++next);
        }
      }
      const sent = tx.transmit(batch);
      this.#out.push(...this.#held.splice(0, sent));
      this.#sent += sent;
      assertEquals([...batch].map(numberOf), this.#held, "what is not sent stays");
    } else if (what === "free") {
      assertEquals(batch.free(), this.#held.length);
      this.#held = [];
    } else if (what === "drop") {
      if (batch.length === 0) return next;
      batch.drop(n % batch.length);
      this.#held.splice(n % this.#held.length, 1);
    } else if (what === "work") {
      this.#work();
    } else if (what === "count") {
      const { rxPackets, txPackets } = device.statistics();
      assertEquals([rxPackets, txPackets], [this.#received, this.#sent]);
    } else if (what === "close") this.close();
    this.#check();
    return next;
  }

  /** Sends what waits; returns buffers to the pool. */
  #work(): void {
    assertEquals(this.rig.sent().map(numberOf), this.#out.splice(0), "packets are sent in order");
    this.rig.pool.reclaim();
    assertEquals(this.rig.device.txQueues[0].pending, 0);
  }

  /** Checks where the buffers are. */
  #check(): void {
    if (this.#closed) return;
    const { pool, ring, device } = this.rig, [tx] = device.txQueues;
    const sum = pool.freeCount + this.batch.length + ring + tx.pending;
    assertEquals(sum, BUFFERS, "every buffer is free, in a ring or in the batch");
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.batch.free();
    this.rig.device.close();
    this.rig.device.close();
    this.rig.end();
  }
}

async function run([driver, capacity, calls]: Case): Promise<number> {
  let reference = await Reference.open(driver, capacity), next = 0;
  try {
    for (const [what, n] of calls) {
      if (what === "open" && reference.closed) reference = await Reference.open(driver, capacity);
      else next = reference.call(what, n, next);
    }
    reference.close();
  } finally {
    if (!reference.closed) reference.rig.device.close();
  }
  return calls.length;
}

/** The target. */
export const DEVICE: Target = {
  name: "device",
  about: "calls on a device in any order, against a reference that counts buffers",
  attempts: 1,
  open: () => values({ arbitrary: cases, run, runs: 40 }),
};
