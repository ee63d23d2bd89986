/**
 * Programs with `--interrupts`, as processes: that they sleep while nothing arrives, and that packets,
 * signals and the end of a device wake them.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Stream } from "../../sim/wires/stream.ts";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  Program,
  run,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import {
  Cable,
  droppedBy,
  randomFrame,
  startForwarder,
  startProgram,
  stopProgram,
  totals,
} from "../support/programs.ts";

const INTERRUPTS = "--interrupts";
/** Frames sent one by one, each after the previous one has arrived. */
const FRAMES = 200;
/** The deadline for these frames in milliseconds: a tenth of the time without wake-ups. */
const FRAMES_MS = 4000;
/** Flows that RSS spreads over all queues. */
const FLOWS = 16;
/** Rings for 80 ms at the highest rate, in which another program may hold up the forwarder. */
const LARGE_RINGS = ["--rx-entries=4096", "--tx-entries=4096"];

/** Returns how often the main thread of a program has gone to sleep. */
async function sleeps(program: Program): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${program.pid}/task/${program.pid}/status`);
  return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)![1]);
}

/** Waits until a program has slept ten more times; returns its share of a core in that time. */
async function idle(program: Program): Promise<number> {
  const [before, start] = [await sleeps(program), performance.now()];
  const used = await processorTime(program);
  await until("sleep", async () => await sleeps(program) >= before + 10);
  return (await processorTime(program) - used) / (performance.now() - start);
}

/** Returns how long a program's main thread has run, in milliseconds. */
async function processorTime(program: Program): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${program.pid}/task/${program.pid}/schedstat`);
  return Number(stat.split(" ")[0]) / 1e6;
}

/** Returns frames of several flows, in turns. */
function flowFrames(count: number): Uint8Array<ArrayBuffer>[] {
  const stream = new Stream(0, 60, Uint8Array.of(2, 0, 0, 0, 0, 1), FLOWS);
  return Array.from({ length: count }, (_, i) => {
    stream.number(i);
    return stream.frame.bytes.slice(0, stream.size);
  });
}

/** Returns the ports and vectors of all interrupts in the software NIC's trace, each once. */
async function vectorsOf(trace: string): Promise<string[]> {
  const text = await Deno.readTextFile(trace);
  const all = Array.from(text.matchAll(/^\S+ (\d) interrupt (\d+)$/gm));
  return [...new Set(all.map(([, port, vector]) => `${port} ${vector}`))].sort();
}

/** Two cables, the software NIC between them, and a forwarder with interrupts. */
class Bench implements AsyncDisposable {
  private constructor(
    readonly stack: AsyncDisposableStack,
    readonly sim: Sim,
    readonly a: Cable,
    readonly b: Cable,
    readonly forwarder: Program,
    readonly trace: string,
  ) {}

  /**
   * Starts all three.
   *
   * @param queues Queues of each port.
   * @param trace Whether the software NIC writes a trace.
   */
  static async start(queues = 1, trace = false): Promise<Bench> {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await TemporaryDirectory.make());
    const [nearA, farA, nearB, farB] = ["na", "fa", "nb", "fb"].map((name) => directory.file(name));
    const a = stack.use(new Cable(farA, nearA));
    const b = stack.use(new Cable(farB, nearB));
    const wires = [`dgram:${nearA},${farA}`, `dgram:${nearB},${farB}`];
    const record = directory.file("trace");
    const sim = stack.use(await Sim.start(directory, wires, trace ? ["--trace", record] : []));
    const options = [INTERRUPTS, `--queues=${queues}`];
    const forwarder = stack.use(await startForwarder(sim.addresses, options));
    return new Bench(stack.move(), sim, a, b, forwarder, record);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack[Symbol.asyncDispose]();
  }
}

Deno.test("fwd.ts --interrupts sleeps while nothing arrives", async () => {
  await using bench = await Bench.start();
  assert(await idle(bench.forwarder) < 0.5);
  bench.a.send(randomFrame(60));
  await bench.b.take(1);
  assert(await idle(bench.forwarder) < 0.5);
  await stopProgram(bench.forwarder, "SIGINT");
  await bench.sim.quit();
});

/** Sends frames through a forwarder one by one, first one way, then the other. */
async function assertWoken(
  bench: Bench,
  frames: readonly Uint8Array<ArrayBuffer>[],
): Promise<void> {
  for (const [from, to] of [[bench.a, bench.b], [bench.b, bench.a]]) {
    const start = performance.now();
    for (const frame of frames) {
      from.send(frame);
      const [taken] = await to.take(1);
      frame[1]++;
      assertEquals(taken, frame);
    }
    assert(performance.now() - start < FRAMES_MS);
  }
  const { ports } = await stopProgram(bench.forwarder);
  assertEquals(ports.map(({ rxPackets }) => rxPackets), [FRAMES, FRAMES]);
  await bench.sim.quit();
}

Deno.test("fwd.ts --interrupts wakes at each frame, although the other port is silent", async () => {
  await using bench = await Bench.start();
  await assertWoken(bench, Array.from({ length: FRAMES }, (_, i) => randomFrame(60 + i)));
});

Deno.test("fwd.ts --interrupts wakes at each queue's own vector", async () => {
  await using bench = await Bench.start(2, true);
  await assertWoken(bench, flowFrames(FRAMES));
  assertEquals(await vectorsOf(bench.trace), ["0 0", "0 1", "1 0", "1 1"]);
});

Deno.test("fwd.ts --interrupts wakes when a link changes, and says so", async () => {
  await using bench = await Bench.start(2, true);
  const { sim, forwarder } = bench, [, b] = sim.addresses;
  await idle(forwarder);
  const lines = [
    "link down: no light arrives: check the fibre and the other end",
    "link up at 10 Gbit/s",
  ];
  for (const [i, line] of lines.entries()) {
    await sim.command(`link 1 ${i === 0 ? "down" : "up"}`);
    await until(line, () => forwarder.stderr.endsWith(`${b}: ${line}\n`));
  }
  assert(await idle(forwarder) < 0.5);
  forwarder.kill("SIGINT");
  const { code, stderr } = await forwarder.finish();
  assertEquals([code, stderr.split("\n").length], [0, 3]);
  assertEquals((await vectorsOf(bench.trace)).includes("1 2"), true);
  await sim.quit();
});

Deno.test("fwd.ts --interrupts loses nothing, at rates with and without sleep", async (t) => {
  for (const [rate, queues] of [[1000, 1], [20000, 1], [50000, 1], [1000, 2], [50000, 2]]) {
    await t.step(`${rate} packets a second, queues: ${queues}`, async () => {
      await using directory = await TemporaryDirectory.make();
      const wire = `generator:rate=${rate},flows=${FLOWS}`;
      await using sim = await Sim.start(directory, [wire, wire]);
      const options = [INTERRUPTS, `--queues=${queues}`, ...LARGE_RINGS];
      await using forwarder = await startForwarder(sim.addresses, options);
      await sim.command("start");
      await sim.reaches("frames", (ports) => {
        return ports.every(({ wireStatistics }) => wireStatistics.received >= rate / 2);
      });
      await sim.drain(() => droppedBy(forwarder));
      assert(await idle(forwarder) < 0.5);
      const totals = await stopProgram(forwarder);
      const ports = await sim.quit();
      for (const [from, to] of [[0, 1], [1, 0]]) {
        const { sent, missed } = ports[from].wireStatistics;
        const { received, reordered, corrupt } = ports[to].wireStatistics;
        const { dropped, txPackets } = totals.ports[to];
        assertEquals([missed, dropped, reordered, corrupt], [0, 0, 0, 0]);
        assertEquals([totals.ports[from].rxPackets, txPackets, received], [sent, sent, sent]);
      }
    });
  }
});

Deno.test("fwd.ts --interrupts ends when its time is over and when its device is gone", async () => {
  await using bench = await Bench.start();
  await idle(bench.forwarder);
  bench.sim.program.kill("SIGKILL");
  const result = await bench.forwarder.finish();
  assertFailed({ ...result, stdout: "" }, 1, /has closed the connection: start it again/);

  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  const args = [INTERRUPTS, "--seconds=0.3", ...sim.addresses];
  const { code, stderr } = await run(ffiOnly("fwd.ts", args));
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  await sim.quit();
});

Deno.test("Programs refuse --interrupts where the device or program has none", async (t) => {
  const cases: [rule: string, program: string, args: string[], sentence: RegExp][] = [
    [
      "a VirtIO device",
      "fwd.ts",
      ["vhost-user:a", "vhost-user:b"],
      /vhost-user:a: VirtIO devices .* `interrupts`: leave it out \(--interrupts\)/,
    ],
    [
      "workers",
      "fwd.ts",
      ["--queues=2", "--workers=2", "vfio-user:a", "vfio-user:b"],
      /either --interrupts or --workers/,
    ],
    ["a program that sends", "pktgen.ts", ["vfio-user:a"], /--interrupts/],
  ];
  for (const [rule, program, args, sentence] of cases) {
    await t.step(`${program} refuses ${rule}`, async () => {
      assertRefused(await run(ffiOnly(program, [INTERRUPTS, ...args])), sentence);
    });
  }
});

Deno.test("pcap.ts and echo.ts --interrupts sleep until a frame arrives", async () => {
  await using directory = await TemporaryDirectory.make();
  const [near, far] = ["near", "far"].map((name) => directory.file(name));
  using cable = new Cable(far, near);
  await using sim = await Sim.start(directory, [`dgram:${near},${far}`]);
  const [address] = sim.addresses;
  {
    const args = ["--json", "--quiet", INTERRUPTS, "--count=3", address, "-"];
    await using pcap = Program.start(ffiOnly("pcap.ts", args));
    await until("pcap.ts", () => pcap.stderr.includes('"ready"'));
    assert(await idle(pcap) < 0.5);
    for (let i = 0; i < 3; i++) cable.send(randomFrame(60));
    const { code, stderr } = await pcap.finish();
    assertEquals(code, 0);
    assertEquals(totals(stderr).ports[0].written, 3);
  }
  await using echo = await startProgram("echo.ts", [INTERRUPTS, address, "192.0.2.9"]);
  assert(await idle(echo) < 0.5);
  const broadcast = randomFrame(60).fill(0xff, 0, 12);
  cable.send(broadcast);
  await until("echo.ts to ignore it", async () => {
    return (await sim.report()).ports[0].counters.received === 4;
  });
  const { ports: [counts] } = await stopProgram(echo);
  assertEquals([counts.rxPackets, counts.ignored], [1, 1]);
  await sim.quit();
});
