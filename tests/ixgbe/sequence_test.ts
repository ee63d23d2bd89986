/**
 * Compares the order of the driver's register accesses, on NICs of three kinds, with the datasheet's
 * rules. A rule that cannot be broken proves nothing, so each rule is also broken in turn, and no other
 * rule may break with it.
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { VirtualTime } from "../../sim/virtual_time.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { CARD, type TimingOptions } from "../../sim/nic/timing.ts";
import type { Model } from "../../sim/pci/model.ts";
import { Trace } from "../../sim/pci/trace.ts";
import { TraceFile } from "../../sim/pci/trace_file.ts";
import { InterruptingFunction } from "../support/interrupt_events.ts";
import { LINK } from "./sequence_link.ts";
import { QUEUES } from "./sequence_queues.ts";
import { type Board, BOARDS, type Rule } from "./sequence_rules.ts";
import { SFP } from "./sequence_sfp.ts";
import { START_AND_END } from "./sequence_start.ts";
import { VECTORS } from "./sequence_vectors.ts";
import { TemporaryDirectory } from "../support/processes.ts";
import { Sequence } from "../support/register_sequence.ts";

const MAC = [0x02, 0, 0, 0, 0x12, 0x34];
/** Longest time for a packet to be received. */
const PACKET_MS = 1000;
/** Seeds of the delays. */
const SEEDS = [1, 2, 3];

/** The model in this thread, with a trace between driver and model that records tails too. */
class TracedFunction extends InterruptingFunction {
  /** The model, or a trace in front of it. */
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
        write: (value) => this.model.write32(offset, value),
      }),
    };
  }

  override setBusMaster(on: boolean): void {
    this.model.setBusMaster(on);
  }
}

/** Records a driver from opening to closing, on a NIC that a killed driver has left running. */
async function makeRecord(
  { deviceId, vectors }: Board,
  timing: TimingOptions = {},
): Promise<Sequence> {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("trace");
  const pci = new TracedFunction({ deviceId, mac: Uint8Array.from(MAC), ...timing });
  await ixgbe.attach(pci, { pool: new Mempool({ buffers: 1024, memory: "pages" }) });
  pci.model = new Trace(new TraceFile(file)).before(pci.nic, 0);
  const pool = new Mempool({ buffers: 4096, memory: "pages" });
  const device = await ixgbe.attach(pci, {
    pool,
    interrupts: vectors > 0,
    rxQueues: Math.max(vectors, 1),
  });
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  for (const queue of device.rxQueues) queue.interrupt?.arm();
  device.linkInterrupt?.arm();
  const batch = new PacketBatch(pool, 32), frame = new Uint8Array(60);
  frame.set(MAC);
  if (timing.delays) await device.waitForLink();
  pci.wire.waiting.push(frame);
  const deadline = performance.now() + PACKET_MS;
  while (rx.receive(batch) === 0 && performance.now() < deadline) pci.nic.poll();
  assertEquals(tx.transmit(batch), 1);
  device.setPromiscuous(true);
  device.statistics();
  device.counters();
  device.close();
  assertEquals(pci.wire.sent.length, 1);
  assertEquals(pci.nic.rules.violations, []);
  return Sequence.parse(await Deno.readTextFile(file));
}

const RULES = [...START_AND_END, ...QUEUES, ...LINK, ...VECTORS, ...SFP];

const made = new Map<Board, Promise<Sequence>>();

function recordOf(board: Board): Promise<Sequence> {
  const record = made.get(board) ?? makeRecord(board);
  made.set(board, record);
  return record;
}

function nameOf({ section, rule }: Rule): string {
  return `section ${section}: ${rule}`;
}

/** Returns the names of the rules that a record breaks. */
function brokenBy(record: Sequence, board: Board): string[] {
  return RULES.filter(({ kept, boards = () => true }) => boards(board) && !kept(record, board))
    .map(nameOf);
}

for (const rule of RULES) {
  Deno.test(`ixgbe keeps ${nameOf(rule)}`, async () => {
    const on = BOARDS.filter((board) => rule.boards?.(board) ?? true);
    const records = await Promise.all(on.map(recordOf));
    assertEquals(on.filter((board, i) => !rule.kept(records[i], board)), []);
    assertEquals(on.length > 0, true);
  });
}

for (const board of BOARDS) {
  Deno.test(`ixgbe keeps the rules of the sequence on a card that takes its time: ${board.name}`, async () => {
    for (const seed of SEEDS) {
      using _ = new VirtualTime({ share: 0.0005, longest: 1500, seed });
      const record = await makeRecord(board, { delays: CARD, jitter: 0.8, seed });
      assertEquals(brokenBy(record, board), [], `seed ${seed}`);
    }
  });

  Deno.test(`each rule of the sequence can be broken, alone: ${board.name}`, async (t) => {
    const whole = await recordOf(board);
    for (const rule of RULES.filter(({ boards = () => true }) => boards(board))) {
      await t.step(nameOf(rule), () => {
        assertEquals(brokenBy(rule.broken(whole), board), [nameOf(rule)]);
      });
    }
  });
}
