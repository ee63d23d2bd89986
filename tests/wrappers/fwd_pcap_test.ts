/** `fwd.ts --pcap` as a process: what it refuses, and that its file holds the received packets. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type CapturedPacket, readPcapng, writeCapture } from "../support/captures.ts";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  Program,
  PROJECT,
  requirePackages,
  run,
  Sim,
  TemporaryDirectory,
} from "../support/processes.ts";
import { droppedBy, randomFrame, totals, totalsOf } from "../support/programs.ts";

/** Returns the command line of the forwarder, which may write one file. */
function command(file: string, ...args: readonly string[]): string[] {
  const permissions = ["--no-prompt", "--allow-ffi", `--allow-write=${file}`];
  const program = [Deno.execPath(), "run", "--quiet", ...permissions, `${PROJECT}fwd.ts`];
  return [...program, `--pcap=${file}`, ...args];
}

async function start(file: string, ...args: readonly string[]): Promise<Program> {
  const program = Program.start(command(file, "--json", ...args));
  await program.line((line) => line === '{"ready":true}');
  return program;
}

/** Returns the bytes of the packets that a device received. */
function from(device: string, packets: readonly CapturedPacket[]): Uint8Array[] {
  const own = packets.filter((packet) => packet.device === device);
  assert(own.every(({ direction }) => direction === "receive"));
  return own.map(({ bytes }) => bytes);
}

Deno.test("fwd.ts --pcap refuses a file that it cannot write with one sentence", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  const { addresses } = sim, missing = directory.file("none/file");
  await t.step("without permission", async () => {
    const result = await run(ffiOnly("fwd.ts", ["--pcap", directory.file("a"), ...addresses]));
    assertRefused(result, /\/a: no permission to write it: run with .* --allow-write='/);
  });
  await t.step("in a missing directory", async () => {
    assertRefused(await run(command(missing, ...addresses)), /cannot write .*\/file: no such file/);
  });
  await t.step("with workers", async () => {
    const result = await run(command(missing, "--workers=1", ...addresses));
    assertRefused(result, /use either --pcap or --workers, not both/);
  });
  await t.step("with a missing device, and leaves the file unchanged", async () => {
    const file = directory.file("kept");
    await Deno.writeTextFile(file, "kept");
    const result = await run(command(file, addresses[0], "vfio-user:none.sock"));
    assertRefused(result, /none\.sock: no such file/);
    assertEquals(await Deno.readTextFile(file), "kept");
  });
  await sim.quit();
});

Deno.test("fwd.ts --pcap writes what each device receives, unchanged, and forwards it", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const files = ["a", "b"].map((name) => directory.file(name)), sizes = [60, 61, 1514, 1000];
  const frames = [200, 300].map((count) => {
    return Array.from({ length: count }, (_, i) => randomFrame(sizes[i % sizes.length]));
  });
  files.forEach((file, i) => writeCapture(file, frames[i]));
  const output = directory.file("out.pcapng");
  await using sim = await Sim.start(directory, files.map((file) => `pcap:in=${file}`));
  await using program = await start(output, ...sim.addresses);
  await sim.command("start");
  await sim.reaches("every frame", ([a, b]) => {
    return a.counters.transmitted === 300 && b.counters.transmitted === 200;
  });
  program.kill("SIGINT");
  const { ports } = await totalsOf(program);
  assertEquals(ports.map(({ rxPackets, dropped }) => [rxPackets, dropped]), [[200, 0], [300, 0]]);
  const packets = await readPcapng(output);
  assertEquals(packets.length, 500);
  sim.addresses.forEach((address, i) => assertEquals(from(address, packets), frames[i]));
  await sim.quit();
});

Deno.test("fwd.ts --pcap captures all queues, also with interrupts, in a complete file", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const output = directory.file("out.pcapng"), wire = "generator:rate=5000,flows=64";
  await using sim = await Sim.start(directory, [wire, wire]);
  await using program = await start(output, "--interrupts", "--queues=2", ...sim.addresses);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((p) => p.wireStatistics.received > 500));
  await sim.drain(() => droppedBy(program));
  program.kill("SIGTERM");
  const { ports } = await totalsOf(program);
  const packets = await readPcapng(output);
  assertEquals(
    sim.addresses.map((address) => from(address, packets).length),
    ports.map(({ rxPackets }) => rxPackets),
  );
  await sim.quit();
});

Deno.test("fwd.ts --pcap=- writes to the standard output, and counts to the standard error", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=5000", "generator:rate=5000"]);
  await sim.command("start");
  const args = ["--json", "--quiet", "--pcap=-", "--seconds=1", ...sim.addresses];
  const script = `"$@" | tshark -n -r - -T fields -e frame.interface_name 2>/dev/null`;
  const piped = await run(["sh", "-c", script, "sh", ...ffiOnly("fwd.ts", args)]);
  assertMatch(piped.stderr, /^\{"ready":true\}\n\{"total":true,.*\}\n$/);
  const names = piped.stdout.trim().split("\n"), { ports } = totals(piped.stderr);
  const [a, b] = sim.addresses.map((address) => names.filter((name) => name === address).length);
  assert(a > 0);
  assertEquals([a, b, a + b], [ports[0].rxPackets, ports[1].rxPackets, names.length]);
  const full = await run(["sh", "-c", `exec "$@" >/dev/full`, "sh", ...ffiOnly("fwd.ts", args)]);
  const stderr = full.stderr.replace('{"ready":true}\n', "");
  assertFailed({ ...full, stderr }, 1, /^error: standard output: no space left on device: .*short/);
  await sim.quit();
});
