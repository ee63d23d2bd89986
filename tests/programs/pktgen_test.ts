/**
 * `pktgen.ts` as a process: what it refuses, what it sends, and what it finds in the packets that
 * come back from a forwarder and from a faulty peer.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  Program,
  requirePackages,
  type Result,
  run,
  Sim,
  TemporaryDirectory,
  tool,
} from "../support/processes.ts";
import {
  Cable,
  randomFrame,
  startForwarder,
  startProgram,
  stopProgram,
  type Totals,
  totals,
} from "../support/programs.ts";

function pktgen(...args: string[]): Promise<Result> {
  return run(ffiOnly("pktgen.ts", args));
}

/** Returns what `--check` found. */
function findings({ ports: [port] }: Totals) {
  const { lost, reordered, duplicate, corrupt, foreign } = port;
  return { lost, reordered, duplicate, corrupt, foreign };
}

const CLEAN = { lost: 0, reordered: 0, duplicate: 0, corrupt: 0, foreign: 0 };

Deno.test("pktgen.ts --help prints its usage", async () => {
  const { code, stdout, stderr } = await pktgen("--help");
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^usage: deno run --allow-ffi pktgen\.ts .*\n/);
});

Deno.test("pktgen.ts refuses invalid command lines with one sentence", async (t) => {
  const a = "vfio-user:none.sock";
  const cases: [args: string[], sentence: RegExp][] = [
    [[], /takes one device, not 0/],
    [[a, a], /takes one device, not 2/],
    [["eth0"], /"eth0" is not a device address/],
    [[a], /none\.sock: no such file/],
    [["--size=59", a], /--size .* from 60 to 16384/],
    [["--size=2049", a], /--size .* from 60 to 2048/],
    [["--rate=0", a], /--rate .* from 1 to/],
    [["--rate=fast", a], /"fast"/],
    [["--count=0", a], /--count .* from 1 to/],
    [["--count=1.5", a], /--count .* whole/],
    [["--batch=257", a], /--batch .* from 1 to 256/],
    [["--virtio=new", a], /--virtio takes legacy or modern, not "new"/],
    [["--frobnicate", a], /--frobnicate/],
  ];
  for (const [args, sentence] of cases) {
    await t.step(`pktgen.ts refuses ${args.join(" ") || "no arguments"}`, async () => {
      assertRefused(await pktgen(...args), sentence);
    });
  }
});

/** Captures what the program sends; returns fields of every packet as tshark reads them. */
async function capture(args: readonly string[], fields: readonly string[]): Promise<string[][]> {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("out.pcap");
  await using sim = await Sim.start(directory, [`pcap:out=${file}`]);
  const { code, stderr } = await pktgen("--quiet", ...args, ...sim.addresses);
  assertEquals([code, stderr], [0, ""]);
  await sim.quit();
  const sums = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
  const wanted = fields.flatMap((field) => ["-e", field]);
  const text = await tool("tshark", "-n", "-r", file, ...sums, "-T", "fields", ...wanted);
  return text.trimEnd().split("\n").map((line) => line.split("\t"));
}

Deno.test("pktgen.ts --count sends that many packets, which tshark finds valid", async (t) => {
  const fields = [
    "frame.len",
    "ip.checksum.status",
    "udp.checksum.status",
    "udp.length",
    "eth.src",
  ];
  for (const size of [60, 61, 1514, 2000]) {
    await t.step(`${size} bytes`, async () => {
      const args = ["--count=100", `--size=${size}`];
      const packets = await capture(args, [...fields, "_ws.expert", "udp.payload"]);
      assertEquals(packets.length, 100);
      packets.forEach(([length, ip, udp, bytes, source, expert, payload], i) => {
        assertEquals(
          [length, ip, udp, bytes, source, expert],
          [`${size}`, "1", "1", `${size - 34}`, "02:69:78:79:00:00", ""],
        );
        const low = new Uint8Array(new Uint32Array([i]).buffer).toHex();
        assertEquals(payload.slice(4, 20), `${low}00000000`, "numbers count up from 0");
      });
    });
  }
});

Deno.test("pktgen.ts --rate limits the rate", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const args = ["--json", "--quiet", "--rate=1000", "--seconds=1"];
  const { code, stdout, stderr } = await pktgen(...args, ...sim.addresses);
  assertEquals([code, stderr], [0, ""]);
  const { seconds, ports: [{ txPackets }] } = totals(stdout);
  assert(txPackets > 0 && txPackets <= 1000 * seconds + 100, `${txPackets} in ${seconds} s`);
  assertEquals((await sim.quit())[0].wireStatistics.received, txPackets);
});

Deno.test("pktgen.ts --check finds no fault in packets that fwd.ts sends back", async () => {
  await using directory = await TemporaryDirectory.make();
  const end = directory.file("end"); // a cable that sends frames back
  await using sim = await Sim.start(directory, ["cable:0", "cable:0", `dgram:${end},${end}`]);
  const [near, ...both] = sim.addresses;
  await using forwarder = await startForwarder(both);
  for (const size of ["60", "77", "1514"]) {
    const args = ["--json", "--quiet", "--check", "--count=100", `--size=${size}`, near];
    const { code, stdout, stderr } = await pktgen(...args);
    assertEquals([code, stderr], [0, ""]);
    const all = totals(stdout), [{ txPackets, rxPackets, rxBytes }] = all.ports;
    assertEquals([txPackets, rxPackets, rxBytes], [100, 100, 100 * Number(size)]);
    assertEquals(findings(all), CLEAN);
  }
  await stopProgram(forwarder);
  await sim.quit();
});

Deno.test("pktgen.ts --check accounts for every packet at full speed", async () => {
  await using directory = await TemporaryDirectory.make();
  const end = directory.file("end");
  await using sim = await Sim.start(directory, [`dgram:${end},${end}`]);
  const args = ["--json", "--quiet", "--check", "--seconds=1.5", ...sim.addresses];
  const { code, stdout, stderr } = await pktgen(...args);
  assertEquals(stderr, "");
  const all = totals(stdout), [{ txPackets, rxPackets, missed }] = all.ports;
  const [{ wireStatistics: { sent, dropped } }] = await sim.quit();
  assert(rxPackets > 0, "packets come back");
  assertEquals([txPackets, rxPackets], [sent + dropped, sent - missed]);
  assertEquals(findings(all), { ...CLEAN, lost: dropped });
  assertEquals(code, dropped > 0 ? 1 : 0);
});

type Frames = Uint8Array<ArrayBuffer>[];

/** Returns a copy of frames with one byte changed. */
function changed(frames: Frames, frame: number, at: number): Frames {
  return frames.map((bytes, i) => i === frame ? bytes.with(at, bytes[at] ^ 0x10) : bytes);
}

/** What a peer does to eight frames, what pktgen.ts finds, and its exit code. */
const PEERS: [what: string, peer: (frames: Frames) => Frames, found: object, code: number][] = [
  ["nothing", (frames) => frames, {}, 0],
  ["increments of byte 1", (frames) => changed(frames, 2, 1), {}, 0],
  ["a dropped packet", (frames) => frames.toSpliced(3, 1), { lost: 1 }, 1],
  ["all packets dropped", () => [], { lost: 8 }, 1],
  [
    "two packets in the wrong order",
    ([a, b, ...others]) => [b, a, ...others],
    { reordered: 1 },
    1,
  ],
  ["a packet sent twice", ([a, ...others]) => [a, a, ...others], { duplicate: 1 }, 1],
  ["another destination", (frames) => changed(frames, 7, 0), { corrupt: 1 }, 1],
  ["another number", (frames) => changed(frames, 0, 45), { corrupt: 1 }, 1],
  ["a changed payload", (frames) => changed(frames, 4, 99), { corrupt: 1 }, 1],
  [
    "a packet cut short",
    ([a, ...others]) => [a.slice(0, 60), ...others],
    { corrupt: 1 },
    1,
  ],
  [
    "foreign packets in between",
    (frames) => [randomFrame(100), ...frames, randomFrame(60)],
    { foreign: 2 },
    0,
  ],
];

Deno.test("pktgen.ts --check finds what a peer does to packets", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const [near, far] = [directory.file("near"), directory.file("far")];
  using cable = new Cable(far, near);
  await using sim = await Sim.start(directory, [`dgram:${near},${far}`]);
  for (const [what, peer, found, code] of PEERS) {
    await t.step(what, async () => {
      const options = ["--check", "--count=8", "--size=100"];
      await using program = await startProgram("pktgen.ts", [...options, ...sim.addresses]);
      for (const frame of peer(await cable.take(8))) cable.send(frame);
      const result = await program.finish();
      assertEquals(result.stderr, "");
      assertEquals(findings(totals(result.stdout)), { ...CLEAN, ...found });
      assertEquals(result.code, code);
    });
  }
  await sim.quit();
});

Deno.test("pktgen.ts ends at SIGINT and SIGTERM with exit code 0, and prints totals", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const before = (await sim.report()).ports[0].wireStatistics.received;
    await using program = await startProgram("pktgen.ts", ["--rate=2000", ...sim.addresses]);
    await sim.reaches("packets", ([port]) => port.wireStatistics.received > before + 10);
    const { ports: [port] } = await stopProgram(program, signal);
    await sim.reaches("its end", ([port]) => !port.connected);
    const { received } = (await sim.report()).ports[0].wireStatistics;
    assertEquals([port.address, port.txPackets], [sim.addresses[0], received - before]);
  }
  await sim.quit();
});

Deno.test("pktgen.ts ends at SIGINT while it waits for the link", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  await sim.command("link 0 down");
  await using program = Program.start(ffiOnly("pktgen.ts", ["--json", ...sim.addresses]));
  await sim.reaches("its start", ([port]) => port.connected);
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish(5000); // it waits for 10 s
  await sim.quit();
  if (code === 128 + 2) { // on a busy machine, the port is connected long before it is open
    assertEquals([stderr, stdout], ["SIGINT ended the wait for the device\n", ""]);
    return;
  }
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(totals(stdout).ports[0].txPackets, 0);
});

Deno.test("pktgen.ts --count ends with 1 if the link goes down, and counts what was sent", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const args = ["--count=1000000", "--rate=1000", "--timeout=0.5", "--quiet", ...sim.addresses];
  await using program = await startProgram("pktgen.ts", args);
  await sim.reaches("packets", ([port]) => port.wireStatistics.received > 10);
  await sim.command("link 0 down");
  const { code, stdout, stderr } = await program.finish();
  const { txPackets, txBytes, pending } = totals(stdout).ports[0];
  assertEquals(code, 1);
  const left = 1000000 - txPackets;
  assertMatch(
    stderr,
    new RegExp(
      `error: vfio-user:.*: no packet was sent for 1\\.. s, ${left} of 1000000 .*: link down: `,
    ),
  );
  assertEquals([txBytes, Number(pending) > 0], [60 * txPackets, true]);
  assertEquals((await sim.quit())[0].wireStatistics.received, txPackets);
});

/** Starts a vhost-user back-end that takes no packets; returns its address. */
async function startMuteBackend(directory: TemporaryDirectory): Promise<[Program, string]> {
  const socket = directory.file("backend.sock"), features = (1n << 32n).toString(16); // VERSION_1
  const script = JSON.stringify([{ features, protocol: "0" }]);
  const args = [socket, script];
  const program = Program.start(ffiOnly("tests/support/vhost_user_backend.ts", args));
  await program.line((line) => line === "ready");
  return [program, `vhost-user:${socket}`];
}

Deno.test("pktgen.ts --count ends with 1 if the other side takes no packets", async () => {
  await using directory = await TemporaryDirectory.make();
  const [backend, address] = await startMuteBackend(directory);
  await using _backend = backend;
  const { code, stdout, stderr } = await pktgen("--json", "--count=9", "--timeout=0.5", address);
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^error: .*: no packet was sent for 0\.[5-9] s, 9 of 9 packets are not sent: link up: the other side takes no packets\n$/,
  );
  const { txPackets, txBytes, pending } = totals(stdout).ports[0];
  assertEquals([txPackets, txBytes, pending], [0, 0, 9]);
});

Deno.test("pktgen.ts prints a line a second as text, and totals", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const args = ["--check", "--rate=1000", "--seconds=1.2", ...sim.addresses];
  await using program = Program.start(ffiOnly("pktgen.ts", args));
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stderr], [1, ""], "nothing comes back");
  const lines = stdout.trimEnd().split("\n"), [header, total] = lines.splice(-2);
  assert(lines.length >= 1, stdout);
  const rates =
    /: rx +0 pps +0 bit\/s, tx +[0-9.]+ k?pps +[0-9.]+ [kM]?bit\/s, missed 0, errors 0, pending +\d+, lost +\d+, .*foreign 0$/;
  for (const line of lines) assertMatch(line, rates);
  assertMatch(header, /^totals after 1\.[0-9] s:$/);
  const [, sent, lost] = /: received 0 \(0 pps, 0 bit\/s\), sent (\d+) \(.*, lost (\d+), /.exec(
    total,
  )!;
  assertEquals([Number(sent) > 0, lost], [true, sent]);
  await sim.quit();
});

Deno.test("pktgen.ts fails with one sentence when the device's server is killed", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  await using program = await startProgram("pktgen.ts", sim.addresses);
  sim.program.kill("SIGKILL");
  assertFailed(await program.finish(), 1, /vfio-user:.*: the server of this device has closed/);
});
