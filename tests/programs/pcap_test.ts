/**
 * `pcap.ts` as a process: what it refuses, and that its file holds the frames of the wire.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  Program,
  PROJECT,
  requirePackages,
  type Result,
  run,
  Sim,
  TemporaryDirectory,
  tool,
} from "../support/processes.ts";
import { Cable, randomFrame, totals, totalsOf } from "../support/programs.ts";

const RECORD_HEADER = 16;

/** Returns the command line of the program, which may write one file. */
function command(args: readonly string[], file: string): string[] {
  const permissions = ["--no-prompt", "--allow-ffi", `--allow-write=${file}`];
  return [Deno.execPath(), "run", "--quiet", ...permissions, `${PROJECT}pcap.ts`, ...args, file];
}

function start(args: readonly string[], file: string): Promise<Program> {
  return Program.start(command(["--json", "--quiet", ...args], file)).ready();
}

/** Returns length, captured length and hash of each packet in a capture, as tshark reads them. */
async function packets(file: string): Promise<string[]> {
  const fields = ["frame.len", "frame.cap_len", "frame.md5_hash"].flatMap((field) => ["-e", field]);
  const hash = ["-o", "frame.generate_md5_hash:TRUE"];
  return (await tool("tshark", "-n", "-r", file, ...hash, "-T", "fields", ...fields)).trim()
    .split("\n");
}

/** Writes frames to a capture for the software NIC to replay. */
async function write(file: string, frames: readonly Uint8Array[]): Promise<void> {
  using output = await Deno.create(file);
  await output.write(new Uint8Array(Uint32Array.of(0xa1b2c3d4, 0x40002, 0, 0, 65535, 1).buffer));
  for (const frame of frames) {
    await output.write(new Uint8Array(Uint32Array.of(0, 0, frame.length, frame.length).buffer));
    await output.write(frame);
  }
}

Deno.test("pcap.ts --help prints its usage", async () => {
  const { code, stdout, stderr } = await run(ffiOnly("pcap.ts", ["--help"]));
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^usage: deno run --allow-ffi --allow-write=FILE pcap\.ts .*\n/);
});

Deno.test("pcap.ts refuses invalid command lines with one sentence", async (t) => {
  const a = "vfio-user:none.sock";
  const cases: [args: string[], sentence: RegExp][] = [
    [[], /a device and a file, not 0/],
    [[a], /a device and a file, not 1/],
    [[a, "b", "c"], /a device and a file, not 3/],
    [["eth0", "file"], /"eth0" is not a device address/],
    [[a, "file"], /none\.sock: no such file/],
    [["--count=0", a, "file"], /--count .* from 1 to/],
    [["--snaplen=0", a, "file"], /--snaplen .* from 1 to 65535/],
    [["--snaplen=65536", a, "file"], /--snaplen .* from 1 to 65535/],
    [["--virtio=new", a, "file"], /--virtio takes legacy or modern/],
    [["--rate=5", a, "file"], /--rate/],
  ];
  for (const [args, sentence] of cases) {
    await t.step(`pcap.ts refuses ${args.join(" ") || "no arguments"}`, async () => {
      assertRefused(await run(ffiOnly("pcap.ts", args)), sentence);
    });
  }
});

Deno.test("pcap.ts refuses files that it cannot write with one sentence", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const [a] = sim.addresses;
  const missing = directory.file("none/file");
  await t.step("without permission", async () => {
    const file = directory.file("file");
    const result = await run(ffiOnly("pcap.ts", [a, file]));
    assertRefused(result, /file: no permission to write it: run with .* --allow-write='/);
  });
  await t.step("in a missing directory", async () => {
    assertRefused(await run(command([a], missing)), /cannot write .*none\/file: no such file/);
  });
  await t.step("a directory", async () => {
    assertRefused(await run(command([a], directory.path)), /cannot write .*: is a directory/);
  });
  await sim.quit();
});

Deno.test("pcap.ts writes the frames sent, byte for byte and in order", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const [input, output] = [directory.file("in.pcap"), directory.file("out.pcap")];
  const sizes = [60, 61, 64, 590, 1514, 2048];
  await write(input, Array.from({ length: 3000 }, (_, i) => randomFrame(sizes[i % sizes.length])));
  await using sim = await Sim.start(directory, [`pcap:in=${input}`]);
  const before = Date.now() / 1000;
  await using program = await start(["--count=3000", ...sim.addresses], output);
  await sim.command("start");
  const { ports: [{ rxPackets, written, errors }] } = await totalsOf(program);
  const after = Date.now() / 1000;
  assertEquals([rxPackets, written, errors], [3000, 3000, 0]);
  assertEquals(await packets(output), await packets(input));
  const head = new DataView((await Deno.readFile(output)).buffer);
  assertEquals([head.getUint32(0, true), head.getUint32(20, true)], [0xa1b23c4d, 1]);
  const fields = ["-T", "fields", "-e", "frame.time_epoch"];
  const times = (await tool("tshark", "-n", "-r", output, ...fields)).trim().split("\n").map(
    Number,
  );
  // The clock may have been set since, but not by hours.
  assert(times.every((time) => time > before - 3600 && time < after + 3600), `${times[0]}`);
  assertEquals(times, times.toSorted((x, y) => x - y));
  await sim.quit();
});

Deno.test("pcap.ts --count ends after that number, and --snaplen keeps the start of packets", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const [near, far] = [directory.file("near"), directory.file("far")];
  const output = directory.file("out.pcap");
  using cable = new Cable(far, near);
  await using sim = await Sim.start(directory, [`dgram:${near},${far}`]);
  await using program = await start(["--count=5", "--snaplen=64", ...sim.addresses], output);
  const frames = [60, 63, 64, 65, 1000, 70, 70].map(randomFrame);
  for (const frame of frames) cable.send(frame);
  assertEquals((await totalsOf(program)).ports[0].written, 5);
  const lengths = (await packets(output)).map((line) => line.split("\t").slice(0, 2).map(Number));
  assertEquals(lengths, [[60, 60], [63, 63], [64, 64], [65, 64], [1000, 64]]);
  const bytes = await Deno.readFile(output);
  assertEquals(bytes.slice(-64), frames[4].slice(0, 64));
  assertEquals(bytes.length, 24 + 5 * RECORD_HEADER + 60 + 63 + 3 * 64);
  await sim.quit();
});

Deno.test("pcap.ts ends at SIGINT and SIGTERM with exit code 0 and a complete file", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=5000"]);
  await sim.command("start");
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const file = directory.file(signal);
    const { received } = (await sim.report()).ports[0].counters;
    await using program = await start(sim.addresses, file);
    await sim.reaches("packets", ([port]) => port.counters.received > received + 100);
    program.kill(signal);
    const { ports: [{ rxPackets, written }] } = await totalsOf(program);
    assert(written as number > 0);
    assertEquals([rxPackets, (await packets(file)).length], [written, written]);
  }
  await sim.quit();
});

Deno.test("pcap.ts --timeout ends with 1 if no packet arrives, after the totals", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=1000"]);
  const file = directory.file("out.pcap");
  await using program = await start(["--count=5", "--timeout=0.5", ...sim.addresses], file);
  const { code, stdout, stderr } = await program.finish();
  assertFailed(
    { code, stdout, stderr },
    1,
    /: no packet for 0\.5 s, 0 of 5 packets have arrived: link up at 10 Gbit\/s: the other side sends no/,
  );
  assertEquals(totals(stdout).ports[0].written, 0);
  assertEquals((await Deno.readFile(file)).length, 24);
  await sim.quit();
});

Deno.test("pcap.ts takes files of any name, and follows links", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=5000"]);
  await sim.command("start");
  const target = directory.file("target");
  await Deno.writeTextFile(target, "x".repeat(100_000));
  await Deno.symlink(target, directory.file("link"));
  for (const name of ["-n", "--count", "a b\nc'd\"$x", "link"]) {
    await t.step(JSON.stringify(name), async () => {
      const options = ["--json", "--quiet", "--count=1"];
      const program = ffiOnly("pcap.ts", [...options, "--", ...sim.addresses, name], ["-W"]);
      const result = await run(program, { cwd: directory.path });
      assertEquals(result.stderr, "");
      assertEquals((await Deno.readFile(directory.file(name))).length, 24 + 16 + 60);
    });
  }
  assertEquals((await Deno.readFile(target)).length, 24 + 16 + 60);
  await sim.quit();
});

Deno.test("pcap.ts that is refused changes no file", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const [a] = sim.addresses, keep = directory.file("keep"), fifo = directory.file("fifo");
  await Deno.writeTextFile(keep, "kept");
  await tool("mkfifo", fifo);
  // In these scripts, $@ is the program without its file, and $F the directory.
  const cases: [what: string, address: string, script: string, sentence: RegExp][] = [
    ["by its device", "vfio-user:none", '"$@" $F/keep', /none: no such file/],
    [
      "for its standard output",
      a,
      '"$@" $F/keep >>$F/keep',
      /keep and the standard output are the/,
    ],
    ["for its standard error", a, '"$@" $F/keep 2>>$F/keep', /^$/],
    [
      "for the standard output by a name",
      a,
      '"$@" /dev/stdout | cat',
      /and the standard output are/,
    ],
    ["for a FIFO that no process reads", a, '"$@" $F/fifo', /fifo: it is a socket, or a FIFO/],
    ["for a socket", a, '"$@" $F/0.sock', /0\.sock: it is a socket, or/],
    ["for a name that is not UTF-8", a, `"$@" "$F/$(printf '\\377')"`, /not UTF-8/],
  ];
  for (const [what, address, script, sentence] of cases) {
    await t.step(what, async () => {
      const program = ffiOnly("pcap.ts", ["--seconds=1", address], ["-W"]);
      const shell = ["bash", "-c", `set -o pipefail; ${script}`, "bash", ...program];
      const { code, stdout, stderr } = await run(shell, { env: { F: directory.path } });
      assertMatch(stderr, sentence);
      const text = await Deno.readTextFile(keep);
      assertMatch(text, /^kept(error: .* and the standard error are the same file.*\n)?$/);
      assertEquals([code, stdout], [2, ""]);
    });
  }
  const names = [...Deno.readDirSync(directory.path)].map(({ name }) => name).toSorted();
  assertEquals(names, ["0.sock", "fifo", "keep"]);
  await sim.quit();
});

/** Runs a shell pipeline, in which `$@` is the program with its standard output as FILE. */
async function pipe(script: string, options: readonly string[]): Promise<Result> {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=5000"]);
  await sim.command("start");
  const args = ["--json", "--quiet", ...options, ...sim.addresses, "-"];
  const result = await run(["sh", "-c", script, "sh", ...ffiOnly("pcap.ts", args)]);
  await sim.quit();
  return result;
}

Deno.test("pcap.ts writes to the standard output for -, and counts to the standard error", async () => {
  await requirePackages("tshark");
  const script = `"$@" | tshark -n -r - -T fields -e frame.len 2>/dev/null`;
  const { stdout, stderr } = await pipe(script, ["--count=20"]);
  assertEquals(stdout, "60\n".repeat(20));
  const [ready, ...others] = stderr.trim().split("\n");
  assertEquals([ready, others.length], ['{"ready":true}', 1]);
  assertEquals(totals(stderr).ports[0].written, 20);
});

Deno.test("pcap.ts prints one sentence when a file takes no more", async () => {
  const full = await pipe(`exec "$@" >/dev/full`, []);
  assertEquals(full.stderr.split("\n")[0], '{"ready":true}');
  const sentence = full.stderr.slice(full.stderr.indexOf("\n") + 1);
  assertFailed(
    { ...full, stderr: sentence },
    1,
    /^error: standard output: no space left on device/,
  );
});
