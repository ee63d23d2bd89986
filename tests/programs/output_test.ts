/**
 * Output that its reader takes slowly, in part or not at all: lines are dropped and counted, and programs
 * go on and end as they should.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Errno } from "../../native/stubs.ts";
import { Output } from "../../programs/output.ts";
import { ffiOnly, run, Sim, TemporaryDirectory, until } from "../support/processes.ts";
import { startForwarder, stopProgram, totals } from "../support/programs.ts";

/** A stream that takes as many bytes as the test allows, or fails. */
class Stream {
  readonly name = "stream";
  text = "";
  /** Bytes that it takes; if negative, the error of each write. */
  room = Infinity;

  write(bytes: Uint8Array): number {
    if (this.room < 0) return this.room;
    const n = Math.min(this.room, bytes.length);
    this.text += new TextDecoder().decode(bytes.subarray(0, n));
    this.room -= n;
    return n || -Errno.EAGAIN;
  }

  hasRoom(): boolean {
    return this.room > 0;
  }
}

Deno.test("Output.print() keeps the newest 64 lines for a slow reader, and counts the others", () => {
  const stream = new Stream(), output = new Output(stream);
  stream.room = 4;
  for (let i = 0; i < 100; i++) output.print(`line ${i}`);
  assertEquals([stream.text, output.dropped], ["line", 36]);
  assertEquals(output.complaint(), "stream: its reader was too slow: 36 lines were not printed");
  stream.room = Infinity;
  output.print("last");
  const lines = stream.text.split("\n");
  // The line that was begun is completed; with the newest 63 that is 64.
  assertEquals([lines[0], lines[1], lines.at(-2), lines.length], ["line 0", "line 37", "last", 66]);
  assertEquals(output.dropped, 36);
});

Deno.test("Output.retry() completes a line that a slow reader took in part", async () => {
  const stream = new Stream(), output = new Output(stream);
  stream.room = 4;
  output.print("a long line");
  assertEquals(stream.text, "a lo");
  stream.room = Infinity;
  await until("the rest", () => {
    output.retry();
    return stream.text === "a long line\n";
  });
});

Deno.test("Output.finish() drops and counts what a reader does not take", () => {
  const stream = new Stream(), output = new Output(stream);
  stream.room = 0;
  output.print("a");
  output.finish();
  assertEquals([stream.text, output.dropped], ["", 1]);
});

Deno.test("Output counts lines that cannot be written, and goes on", () => {
  const stream = new Stream(), output = new Output(stream);
  stream.room = -28;
  output.print("a");
  stream.room = Infinity;
  output.print("b");
  assertEquals([stream.text, output.readerGone], ["b\n", false]);
  assertEquals(output.complaint(), "stream: no space left on device: 1 line was not printed");
});

Deno.test("Output.readerGone is set by EPIPE, without a complaint", () => {
  const stream = new Stream(), output = new Output(stream);
  stream.room = -Errno.EPIPE;
  output.print("a");
  assertEquals([output.readerGone, output.complaint()], [true, undefined]);
});

/** Programs with a device, and their options. */
const PROGRAMS: readonly [
  name: string,
  args: (addresses: readonly string[], directory: string) => string[],
][] = [
  ["fwd.ts", (addresses) => [...addresses]],
  ["fwd.ts", (addresses) => ["--interrupts", ...addresses]],
  ["pktgen.ts", ([a]) => ["--rate=1000", a]],
  ["echo.ts", ([a]) => [a, "192.0.2.1"]],
  ["pcap.ts", ([a], directory) => [a, `${directory}/file.pcap`]],
];

/**
 * Runs a shell script, in which `$@` is a program that has ports of the software NIC, and `$STOP` the name
 * of a file that the test can create.
 */
async function withPorts(
  script: string,
  [name, args]: (typeof PROGRAMS)[number],
  test: (sim: Sim, stop: () => Promise<void>) => unknown = () => {},
) {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator:rate=5000", "generator:rate=5000"]);
  await sim.command("start");
  const flags = name === "pcap.ts" ? [`--allow-write=${directory.path}`] : [];
  const command = ffiOnly(name, args(sim.addresses, directory.path), flags);
  const env = { STOP: directory.file("stop") };
  const ended = run(["bash", "-c", script, "bash", ...command], { env });
  const stop = () => Deno.writeTextFile(env.STOP, "");
  try {
    await test(sim, stop);
  } finally {
    await stop(); // a script that waits for the file must not outlive a test that fails
  }
  const result = await ended;
  await sim.reaches("its end", (ports) => ports.every(({ connected }) => !connected));
  await sim.quit();
  return result;
}

Deno.test("A program whose reader has gone ends quietly with 141, and closes its devices", async (t) => {
  for (const program of PROGRAMS) {
    await t.step(`${program[0]} ${program[1](["A", "B"], "").join(" ")}`, async () => {
      const { stdout, stderr } = await withPorts(
        '"$@" | head -1; echo "${PIPESTATUS[0]}"',
        program,
      );
      assertEquals(stderr, "");
      assertMatch(stdout, /^vfio-user:.*\n141\n$/);
    });
  }
});

Deno.test("fwd.ts --workers ends once its reader has gone", async () => {
  const args = (addresses: readonly string[]) => ["--workers=1", ...addresses];
  const script = 'set -- "$1" "$2" --allow-read "${@:3}"; "$@" | head -1; echo "${PIPESTATUS[0]}"';
  const { stdout, stderr } = await withPorts(script, ["fwd.ts", args]);
  assertEquals(stderr, "");
  assertMatch(stdout, /^vfio-user:.*\n141\n$/);
});

/** Runs the program until the file `$STOP` exists, then ends it by SIGTERM and prints its exit code. */
const UNTIL_STOP =
  '"$@" & p=$!; until [ -e "$STOP" ]; do sleep 0.1; done; kill $p; wait $p; echo $? >&2';

/** Starts a script with its standard output blocked. */
const BLOCKED: readonly [kind: string, script: string][] = [
  [
    "a full pipe",
    `{ head -c 65536 /dev/zero; ${UNTIL_STOP}; } | { until [ -e "$STOP" ]; do sleep 0.1; done; sleep 2; }`,
  ],
  [
    "a full nonblocking pipe",
    `perl -MFcntl -e 'pipe(R, W); fcntl(W, F_SETFL, O_NONBLOCK); 1 while syswrite(W, "x" x 4096);
      if (!fork) { open(STDOUT, ">&", W); exec(@ARGV); } wait' bash -c '${UNTIL_STOP}' bash "$@"`,
  ],
  [
    "a terminal that nobody reads",
    `perl -MFcntl -MPOSIX -e '
      sysopen(my $m, "/dev/ptmx", O_RDWR) or die; my $n = my $unlock = pack("i", 0);
      ioctl($m, 0x40045431, $unlock) or die; ioctl($m, 0x80045430, $n) or die;
      sysopen(my $s, "/dev/pts/" . unpack("i", $n), O_WRONLY | O_NONBLOCK | O_NOCTTY) or die;
      my $written; # the kernel makes room when it passes bytes on, some time later
      do { $written = 0; $written++ while syswrite($s, "x" x 512); select(undef, undef, undef, 0.1); } while $written;
      sysopen(my $t, "/dev/pts/" . unpack("i", $n), O_WRONLY | O_NOCTTY) or die;
      if (!fork) { open(STDOUT, ">&", $t); exec(@ARGV); } wait' bash -c '${UNTIL_STOP}' bash "$@"`,
  ],
];

Deno.test("fwd.ts forwards on and ends at SIGTERM while its output is blocked by", async (t) => {
  for (const [kind, script] of BLOCKED) {
    await t.step(kind, async () => {
      const { stderr } = await withPorts(script, PROGRAMS[0], async (sim, stop) => {
        // At 5000 a second, and with rings of 512, only if it goes on after its first line.
        await sim.reaches("frames", ([{ wireStatistics }]) => wireStatistics.received > 6500);
        await stop();
      });
      assertMatch(stderr, /^warning: standard output: its reader was too slow: \d+ lines .*\n0\n$/);
    });
  }
});

Deno.test("A program with a full disk goes on, counts its lines, and ends with 1", async (t) => {
  for (const [name, args] of PROGRAMS) {
    await t.step(`${name} ${args(["A", "B"], "").join(" ")}`, async () => {
      const { stdout, stderr } = await withPorts('"$@" >/dev/full; echo $?', [
        name,
        (...given) => ["--seconds=1.5", ...args(...given)],
      ]);
      assertMatch(
        stderr,
        /^error: standard output: no space left on device: \d+ lines were not .*\n$/,
      );
      assertEquals(stdout, "1\n");
    });
  }
});

Deno.test("fwd.ts says on the standard output what the standard error did not take", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  await sim.command("link 0 down");
  const command = ffiOnly("fwd.ts", ["--seconds=1.5", ...sim.addresses]);
  const { stdout } = await run(["sh", "-c", '"$@" 2>/dev/full; echo $?', "sh", ...command]);
  assertMatch(
    stdout,
    /\nwarning: standard error: no space left on device: 1 line was not .*\n0\n$/,
  );
  await sim.quit();
});

Deno.test("pcap.ts waits for a slow reader of a nonblocking pipe, and loses nothing", async () => {
  const script = `perl -MFcntl -e 'pipe(R, W); fcntl(W, F_SETFL, O_NONBLOCK);
    if (!fork) { open(STDOUT, ">&", W); exec(@ARGV); } close(W); sleep 4;
    my ($n, $got) = (0); $n += $got while $got = sysread(R, my $b, 65536); wait; print "$n $?\\n"' "$@"`;
  // Four times what a pipe holds.
  const args = ([a]: readonly string[]) => ["--json", "--quiet", "--count=4000", a, "-"];
  const { stdout, stderr } = await withPorts(script, ["pcap.ts", args]);
  assertEquals(stdout, `${24 + 4000 * (16 + 60)} 0\n`);
  assertEquals(totals(stderr).ports[0].written, 4000);
});

Deno.test("pcap.ts counts what its ring misses while it waits for a reader", async () => {
  const script = '"$@" | { until [ -e "$STOP" ]; do sleep 0.1; done; wc -c; }';
  const args = ([a]: readonly string[]) => ["--json", "--quiet", "--count=4000", a, "-"];
  const { stdout, stderr } = await withPorts(script, ["pcap.ts", args], async (sim, stop) => {
    await sim.reaches("misses", ([{ counters: { missed } }]) => missed > 500);
    await stop();
  });
  assertEquals(stdout.trim(), String(24 + 4000 * (16 + 60)));
  const [{ written, missed }] = totals(stderr).ports;
  assertEquals([written, missed > 0], [4000, true]);
});

Deno.test("pcap.ts ends at SIGTERM while its reader takes nothing", async () => {
  const args = ([a]: readonly string[]) => ["--quiet", a, "-"];
  const script = '{ timeout 3 "$@"; echo $? >&2; } | sleep 8';
  const { stderr } = await withPorts(script, ["pcap.ts", args]);
  assertEquals(
    stderr,
    "error: standard output: its reader takes no more: the capture is cut short here\n124\n",
  );
});

Deno.test("fwd.ts totals are one cut: each packet received was sent or dropped", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["generator", "generator"]);
  await sim.command("start");
  for (let i = 0; i < 8; i++) {
    const { ports: before } = await sim.report();
    // So few descriptors that packets are dropped, too.
    await using program = await startForwarder(sim.addresses, ["--tx-entries=64"]);
    await sim.reaches("frames", (ports) => {
      return ports.every((p, n) => {
        return p.wireStatistics.received > before[n].wireStatistics.received + 20000;
      });
    });
    const { ports } = await stopProgram(program);
    for (const [from, to] of [[0, 1], [1, 0]]) {
      assert(ports[from].rxPackets > 0);
      assertEquals(ports[from].rxPackets, ports[to].txPackets + Number(ports[to].dropped));
    }
  }
  await until("its end", async () => (await sim.report()).ports.every((p) => !p.connected));
  await sim.quit();
});
