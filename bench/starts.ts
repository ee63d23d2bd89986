/**
 * How reliably a card starts, on the NIC model with delays: `deno task bench:starts`.
 *
 * Opens card after card, waits for its link, sends and receives packets, and closes it. Every card has
 * delays of its own, and one in two has been left running by a driver that was killed. Links fail at
 * first. The machine stops the program now and then, for longer than most deadlines. Time is virtual.
 *
 * @module
 */

import { build, type Histogram } from "hdr-histogram-js";
import { ixgbe, type IxgbeDevice } from "../ixgbe/device.ts";
import { type Device, Mempool, PacketBatch } from "../mod.ts";
import { command } from "../programs/command_line.ts";
import { decimal, flag, type Values, whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";
import { FrameBuffer } from "../sim/frames/frame.ts";
import { DEVICE } from "../sim/nic/boards.ts";
import { CARD } from "../sim/nic/timing.ts";
import { VirtualTime } from "../sim/virtual_time.ts";
import type { Wire, WirePort } from "../sim/wires/wire.ts";
import { align } from "./table.ts";
import { TimedCard } from "./timed_card.ts";

const OPTIONS = {
  starts: whole("cards to start, of each kind in turn", { least: 1, most: 1e6, default: 1000 }),
  jitter: decimal("how far each delay may differ from its value, as a share of it", {
    ...{ least: 0, most: 1, default: 0.8 },
  }),
  failures: whole("most attempts at a link that fail before one succeeds", {
    ...{ least: 0, most: 100, default: 3 },
  }),
  pauses: decimal("share of register accesses after which the machine stops the program", {
    ...{ least: 0, most: 1, default: 0.0001 },
  }),
  pause: decimal("longest pause in milliseconds", { least: 0, most: 60_000, default: 1500 }),
  seed: whole("seed of delays and pauses", { least: 0, most: 1e9, default: 1 }),
  json: flag("print one JSON object"),
};

/** The command line. */
export const STARTS = command({
  start: "deno task bench:starts",
  about:
    `Starts cards on the NIC model, with delays like those of a card, jitter, links that fail at
first, and pauses of the program. Prints how many opened, linked, passed packets and closed, and the
time from opening to the link. Exits with 1 if a card did not, or a rule of the datasheet was broken.`,
  options: OPTIONS,
  plan: ({ values }) => values,
});

/** Options of {@linkcode startCard}. */
export type StartOptions = Omit<Values<typeof OPTIONS>, "json" | "starts">;

/** Packets each way. */
const PACKETS = 40;
const SIZE = 64;
/** Rounds of a microsecond or more in which they must pass. */
const PASS_ROUNDS = 20_000;
/** The longest time for a link, in milliseconds. */
const LINK_MS = 30_000;
const BOARDS = Object.entries(DEVICE);
const MAC = [0x02, 0, 0, 0, 0x12, 0x34];

/** How far a start came. */
export interface Start {
  readonly board: string;
  /** What went wrong; undefined if nothing did. */
  readonly error: string | undefined;
  /** Time for `open`, and until the link was up, in milliseconds; undefined without. */
  readonly opened: number | undefined;
  readonly linked: number | undefined;
  /** Packets that passed: sent ones on the wire, received ones in the program. */
  readonly passed: number;
  /** Rules of the datasheet that were broken. */
  readonly broken: readonly string[];
}

/** A wire whose frames are numbered, both ways. */
class NumberedWire implements Wire {
  readonly kind = "numbered";
  readonly fd = -1;
  /** Numbers of the frames that the card sent. */
  readonly sent: number[] = [];
  /** Frames that are still to arrive at the card. */
  toSend = 0;
  readonly #frame = new FrameBuffer();

  transmit(frame: FrameBuffer, _length: number): void {
    this.sent.push(frame.bytes[SIZE - 1]);
  }

  poll(port: WirePort, _budget: number): number {
    if (this.toSend === 0) return 0;
    const { bytes } = this.#frame;
    bytes.set(MAC);
    bytes[SIZE - 1] = PACKETS - this.toSend--;
    port.receive(this.#frame, SIZE);
    return 1;
  }

  statistics(): Record<string, number> {
    return { sent: this.sent.length };
  }

  close(): void {}
}

/** Passes numbered packets both ways; returns how many came in order. */
function pass(device: Device, card: TimedCard, wire: NumberedWire, time: VirtualTime): number {
  const [tx] = device.txQueues, [rx] = device.rxQueues;
  const out = new PacketBatch(device.pool, PACKETS),
    arrived = new PacketBatch(device.pool, PACKETS);
  for (let number = 0; number < PACKETS; number++) {
    const packet = new Uint8Array(SIZE);
    packet[SIZE - 1] = number;
    out.add(packet);
  }
  tx.transmit(out);
  wire.toSend = PACKETS;
  const numbers: number[] = [];
  const complete = () =>
    wire.sent.length >= PACKETS && numbers.length >= PACKETS && tx.pending === 0;
  for (let round = 0; round < PASS_ROUNDS && !complete(); round++) {
    time.pass(0.001);
    card.nic.poll();
    rx.receive(arrived);
    for (let i = 0; i < arrived.length; i++) numbers.push(arrived.packet(i)[SIZE - 1]);
    arrived.free();
    tx.reclaim();
  }
  const inOrder = (list: number[]) => list.filter((number, i) => number === i).length;
  return inOrder(wire.sent) + inOrder(numbers);
}

/** Starts the card of a number, uses and closes it. */
export async function startCard(number: number, options: StartOptions): Promise<Start> {
  const { jitter, failures, pauses, pause } = options;
  const seed = options.seed + number;
  const [board, deviceId] = BOARDS[number % BOARDS.length];
  const round = Math.floor(number / BOARDS.length);
  using time = new VirtualTime({ share: pauses, longest: pause, seed });
  const card = new TimedCard(time, {
    ...{ deviceId, delays: CARD, jitter, seed, mac: Uint8Array.from(MAC) },
    restarts: (round >> 1) % (failures + 1),
  });
  const wire = card.nic.wire = new NumberedWire();
  using memory = new DisposableStack();
  const pool = memory.use(new Mempool({ buffers: 1024, memory: "pages" }));
  let opened: number | undefined, linked: number | undefined, passed = 0, error: string | undefined;
  try {
    if (round % 2 === 1) await leave(card, memory);
    const since = performance.now();
    using device = await ixgbe.attach(card, { pool });
    opened = performance.now() - since;
    await device.waitForLink(LINK_MS);
    linked = performance.now() - since;
    passed = pass(device, card, wire, time);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  const broken = card.nic.rules.violations.map(({ register, rule, detail }) =>
    `${register}: ${rule} (${detail})`
  );
  return { board, error, opened, linked, passed, broken };
}

/** Leaves a card running, as a driver that is killed does. Its memory is freed at the end. */
async function leave(card: TimedCard, memory: DisposableStack): Promise<void> {
  const pool = memory.use(new Mempool({ buffers: 1024, memory: "pages" }));
  const killed = await ixgbe.attach(card, { pool, rxQueues: 2 }) as IxgbeDevice;
  memory.defer(() => killed.release());
}

/** The results of one kind of card. */
class Row {
  starts = 0;
  opened = 0;
  linked = 0;
  passed = 0;
  closed = 0;
  readonly times: Histogram = build({
    ...{ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000 },
    numberOfSignificantValueDigits: 3,
  });

  add({ opened, linked, passed, error }: Start): void {
    this.starts++;
    if (opened !== undefined) this.opened++;
    if (linked !== undefined) {
      this.linked++;
      this.times.recordValue(Math.round(linked));
    }
    if (passed === 2 * PACKETS) this.passed++;
    if (error === undefined) this.closed++;
  }

  /** Returns percentiles of the time from opening to the link, in milliseconds. */
  percentiles(): number[] {
    return [50, 90, 99, 99.9, 100].map((percent) => this.times.getValueAtPercentile(percent));
  }
}

async function main(options: Values<typeof OPTIONS>): Promise<number> {
  const rows = new Map<string, Row>([...BOARDS.map(([board]) => board), "all"].map((name) => {
    return [name, new Row()];
  }));
  const problems = new Map<string, number>();
  for (let number = 0; number < options.starts; number++) {
    const start = await startCard(number, options);
    for (const name of [start.board, "all"]) rows.get(name)!.add(start);
    const lost = start.error === undefined && start.passed < 2 * PACKETS ? ["packets lost"] : [];
    for (const what of [...start.broken, ...lost, ...(start.error ? [start.error] : [])]) {
      const problem = `${start.board}: ${what}`;
      problems.set(problem, (problems.get(problem) ?? 0) + 1);
    }
  }
  const entries = [...rows].filter(([, { starts }]) => starts > 0);
  const columns = ["starts", "opened", "linked", "passed", "closed"] as const;
  if (options.json) {
    console.log(JSON.stringify({
      cards: entries.map(([board, row]) => ({
        board,
        ...Object.fromEntries(columns.map((name) => [name, row[name]])),
        linkMilliseconds: row.percentiles(),
      })),
      problems: Object.fromEntries(problems),
    }));
  } else {
    const header = ["card", ...columns, "link ms: 50 %", "90 %", "99 %", "99.9 %", "most"];
    const body = entries.map(([board, row]) =>
      [board, ...columns.map((name) => row[name]), ...row.percentiles()].map(String)
    );
    console.log(align([header, ...body]));
    for (const [problem, count] of problems) console.log(`${count} × ${problem}`);
  }
  return problems.size > 0 ? 1 : 0;
}

if (import.meta.main) await run(STARTS, main);
