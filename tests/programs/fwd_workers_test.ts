/**
 * `fwd.ts` with several queues, divided among workers or polled by the main thread: each flow keeps
 * its order and nothing is lost; and how it ends. It has `--allow-ffi` and, for workers, may read
 * the checkout.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  Program,
  PROJECT,
  run,
  Sim,
  TemporaryDirectory,
  tool,
} from "../support/processes.ts";
import { droppedBy, startForwarder, stopProgram } from "../support/programs.ts";

const WIRE = "generator:rate=20000,flows=64";
const WIRES = [WIRE, WIRE];
const FRAMES = 4000;
const READ = [`--allow-read=${PROJECT}`];

const PLANS: readonly (readonly string[])[] = [
  ["--queues=2", "--workers=2"],
  ["--queues=3", "--workers=2"],
  ["--queues=1", "--workers=1"],
  ["--queues=16", "--workers=3", "--rx-entries=256", "--batch=8"],
  ["--queues=4"],
  ["--queues=16", "--workers=0"],
];

for (const plan of PLANS) {
  Deno.test(`fwd.ts ${plan.join(" ")} forwards every flow in order`, async () => {
    await using directory = await TemporaryDirectory.make();
    await using sim = await Sim.start(directory, WIRES);
    await using program = await startForwarder(sim.addresses, plan, READ);
    await sim.command("start");
    await sim.reaches("frames", (ports) => ports.every((p) => p.wireStatistics.sent > FRAMES));
    await sim.drain(() => droppedBy(program));
    const { ports: totals } = await stopProgram(program, "SIGINT");
    const ports = await sim.quit();
    for (const [i, { wireStatistics: wire }] of ports.entries()) {
      const peer = ports[1 - i].wireStatistics;
      const { rxPackets, txPackets, rxBytes, missed, dropped } = totals[i];
      assertEquals(rxPackets, wire.sent - wire.missed, "statistics() counts all queues");
      assertEquals(rxBytes, 60 * rxPackets);
      assertEquals(missed, wire.missed);
      assertEquals(txPackets, wire.received);
      assertEquals(
        { received: wire.received, reordered: wire.reordered, corrupt: wire.corrupt },
        { received: peer.sent - peer.missed - Number(dropped), reordered: 0, corrupt: 0 },
      );
      assert(wire.received > FRAMES / 2, "most frames were neither missed nor dropped");
    }
  });
}

Deno.test("fwd.ts with workers is ready when all queues have descriptors: no frame after that is missed", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = "generator:rate=2000,flows=64"; // a ring holds what arrives in half a second
  await using sim = await Sim.start(directory, [wire, wire]);
  await using program = await startForwarder(sim.addresses, ["--queues=4", "--workers=2"], READ);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((p) => p.wireStatistics.sent > 100));
  await sim.drain(() => droppedBy(program));
  await stopProgram(program);
  const ports = await sim.quit();
  assertEquals(ports.map(({ wireStatistics }) => wireStatistics.missed), [0, 0]);
});

Deno.test("fwd.ts with workers ends at signals under load with exit code 0, and leaves ports ready", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:flows=64", "generator:flows=64"]);
  await sim.command("start");
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const before = (await sim.report()).ports.map((port) => port.wireStatistics.received);
    await using program = await startForwarder(sim.addresses, ["--queues=2", "--workers=2"], READ);
    await sim.reaches("more frames", (ports) => {
      return ports.every(({ wireStatistics }, i) => wireStatistics.received > before[i]);
    });
    await stopProgram(program, signal);
    await sim.reaches("its end", (ports) => ports.every((port) => !port.connected));
  }
  const ports = await sim.quit();
  assertEquals(ports.map(({ wireStatistics }) => wireStatistics.corrupt), [0, 0]);
  assertEquals(ports.map(({ wireStatistics }) => wireStatistics.reordered), [0, 0]);
});

Deno.test("fwd.ts with workers fails with one sentence when the device's server is killed", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, WIRES);
  await using program = await startForwarder(sim.addresses, ["--queues=2", "--workers=2"], READ);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((p) => p.wireStatistics.received > 0));
  sim.program.kill("SIGKILL");
  const result = await program.finish();
  assertFailed(result, 1, /vfio-user:.*: the server of this device has closed the connection/);
});

Deno.test("fwd.ts closes its devices, says why and exits with 1 if a worker fails", async () => {
  await using directory = await TemporaryDirectory.make();
  const copy = directory.file("copy");
  await Deno.mkdir(copy);
  const parts = [
    ...["deno.json", "deno.lock", "fwd.ts", "mod.ts", "programs", "packets", "wrappers"],
    ...["src", "ixgbe", "virtio", "xdp", "native"],
  ];
  await tool("cp", "-r", ...parts.map((part) => PROJECT + part), copy);
  const worker = await Deno.readTextFile(`${copy}/programs/forward_worker.ts`);
  const work = "    forwardAll(ways, rounds);\n";
  const failing =
    `${work}    if (pairs[0].a.rx.packets > 1000) throw new Error("1000 are enough");\n`;
  assert(worker.includes(work));
  await Deno.writeTextFile(`${copy}/programs/forward_worker.ts`, worker.replace(work, failing));

  await using sim = await Sim.start(directory, WIRES);
  const args = ["--json", "--queues=2", "--workers=2", ...sim.addresses];
  const command = ffiOnly("fwd.ts", args, [`--allow-read=${copy}`]).map((word) => {
    return word === `${PROJECT}fwd.ts` ? `${copy}/fwd.ts` : word;
  });
  await using program = await Program.start(command).ready();
  await sim.command("start");
  assertFailed(await program.finish(), 1, /^error: worker [01] failed: 1000 are enough$/m);
  await sim.reaches("its end", (ports) => ports.every((port) => !port.connected));
  await sim.quit();
});

Deno.test("fwd.ts --seconds with workers prints every second and ends after that time", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, WIRES);
  const args = ["--queues=2", "--workers=2", "--seconds=2.5", "--json", ...sim.addresses];
  const { code, stdout, stderr } = await run(ffiOnly("fwd.ts", args, READ));
  assertEquals(stderr, "");
  assertEquals(code, 0);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map((line) => line.ready ?? line.total), [true, false, false, true]);
  await sim.quit();
});

Deno.test("fwd.ts refuses invalid numbers of queues and workers with one sentence", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  const cases: [rule: string, args: string[], sentence: RegExp][] = [
    ["no queue", ["--queues=0"], /--queues takes a whole number from 1 to 16, not "0"/],
    ["17 queues", ["--queues=17"], /--queues takes a whole number from 1 to 16, not "17"/],
    ["half a worker", ["--queues=2", "--workers=0.5"], /--workers takes a whole number/],
    ["17 workers", ["--queues=16", "--workers=17"], /--workers takes a whole number/],
    ["more workers than queues", ["--queues=2", "--workers=3"], /3 needs .* --queues is 2/],
    ["workers without --queues", ["--workers=2"], /2 needs .* --queues is 1: use --queues 2/],
    [
      "rings that need more buffers than a pool has",
      ["--queues=16", "--rx-entries=4096"],
      /16 queues in a thread, with 4096 .*: use fewer --rx-entries or more --workers/,
    ],
    [
      "workers with interrupts",
      ["--queues=2", "--workers=2", "--interrupts"],
      /either --interrupts or --workers/,
    ],
  ];
  for (const [rule, args, sentence] of cases) {
    await t.step(`fwd.ts refuses ${rule}`, async () => {
      assertRefused(await run(ffiOnly("fwd.ts", [...args, ...sim.addresses])), sentence);
    });
  }
});

Deno.test("fwd.ts refuses workers for devices that they cannot drive", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const socket = directory.file("backend.sock");
  const script = { features: "100000000", protocol: "0" }; // VERSION_1
  const backend = ["tests/support/vhost_user_backend.ts", [
    socket,
    JSON.stringify([script]),
  ]] as const;
  await using program = Program.start(ffiOnly(...backend));
  await program.line((line) => line === "ready");
  const args = ["--workers=1", ...sim.addresses, `vhost-user:${socket}`];
  assertRefused(
    await run(ffiOnly("fwd.ts", args, READ)),
    /backend\.sock: workers cannot drive a virtio device: leave out --workers/,
  );
  await sim.quit();
});

Deno.test("fwd.ts refuses workers with doorbells as messages", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"], ["--doorbells=trap"]);
  const args = ["--queues=2", "--workers=2", ...sim.addresses];
  assertRefused(
    await run(ffiOnly("fwd.ts", args, READ)),
    /doorbells are messages, which workers cannot/,
  );
  await sim.quit();
});

Deno.test("fwd.ts --workers names the permission that it needs, and opens no device", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace");
  await using sim = await Sim.start(directory, ["none", "none"], [`--trace=${trace}`]);
  const args = ["--queues=2", "--workers=2", ...sim.addresses];
  for (const flags of [[], [`--allow-read=${PROJECT}programs`]]) {
    const result = await run(ffiOnly("fwd.ts", args, flags));
    assertRefused(result, /^error: --workers .*`deno run --allow-ffi --allow-read='\/.*\/'`$/m);
    assert(result.stderr.includes(`'${PROJECT}'`));
  }
  await sim.quit();
  assertEquals(await Deno.readTextFile(trace), "", "no register was touched");
});
