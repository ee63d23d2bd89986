/**
 * What the driver does to a NIC, in which order, held against the 82599's datasheet: each rule with its
 * section. A rule that cannot be broken shows nothing, so each is broken too, and no other with it.
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../ixgbe/mod.ts";
import { Mempool, PacketBatch } from "../mod.ts";
import type { Bar } from "../src/bus/bus.ts";
import type { Model } from "../sim/server.ts";
import { Trace } from "../sim/trace.ts";
import { DirectBus } from "./direct_bus.ts";
import { QUEUES } from "./ixgbe_sequence_queues.ts";
import { START_AND_END } from "./ixgbe_sequence_start.ts";
import { TemporaryDirectory } from "./processes.ts";
import { Sequence } from "./register_sequence.ts";

const MAC = [0x02, 0, 0, 0, 0x12, 0x34];

/** The model in this thread, with the record of a trace between driver and model, tails included. */
class TracedBus extends DirectBus {
  /** What a trace has been put before. */
  model: Model = this.nic;

  override bar(index: number): Bar {
    const { size, read } = super.bar(index);
    return {
      size,
      read: (offset, bytes) => {
        if (this.model === this.nic) return read(offset, bytes);
        this.nic.poll();
        return this.model.read32(offset);
      },
      write: (offset, _bytes, value) => this.model.write32(offset, value),
      doorbell: (offset) => ({
        words: new Uint32Array(1),
        index: 0,
        ring: (value) => this.model.write32(offset, value),
      }),
    };
  }

  override setBusMaster(on: boolean): void {
    this.model.setBusMaster(on);
  }
}

/** Records a driver from opening to closing, on a NIC that a killed one has left running. */
async function makeRecord(): Promise<Sequence> {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("trace");
  const bus = new TracedBus({ mac: Uint8Array.from(MAC) });
  await ixgbe.attach(bus, { pool: new Mempool({ buffers: 1024, memory: "pages" }) });
  bus.model = new Trace(file).before(bus.nic, 0);
  const pool = new Mempool({ buffers: 1024, memory: "pages" });
  const device = await ixgbe.attach(bus, { pool });
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  const batch = new PacketBatch(pool, 32), frame = new Uint8Array(60);
  frame.set(MAC);
  bus.wire.waiting.push(frame);
  bus.nic.poll();
  assertEquals([rx.receive(batch), tx.transmit(batch)], [1, 1]);
  device.setPromiscuous(true);
  device.statistics();
  device.counters();
  device.close();
  assertEquals(bus.wire.sent.length, 1);
  assertEquals(bus.nic.rules.violations, []);
  return Sequence.parse(await Deno.readTextFile(file));
}

const RULES = [...START_AND_END, ...QUEUES];

let made: Promise<Sequence> | undefined;
const record = () => made ??= makeRecord();

const names = RULES.map(({ section, rule }) => `section ${section}: ${rule}`);

for (const [i, { kept }] of RULES.entries()) {
  Deno.test(`ixgbe keeps ${names[i]}`, async () => {
    assertEquals(kept(await record()), true);
  });
}

Deno.test("each rule of the sequence can be broken, and no other with it", async (t) => {
  const whole = await record();
  for (const [i, { broken }] of RULES.entries()) {
    await t.step(names[i], () => {
      const altered = broken(whole);
      assertEquals(names.filter((_, j) => !RULES[j].kept(altered)), [names[i]]);
    });
  }
});
