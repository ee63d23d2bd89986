/**
 * The files of the software NIC: captures in every form that tcpdump, editcap and gzip make, damaged ones,
 * FIFOs whose other end pauses, and files that a start must not destroy.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse } from "../../programs/command_line.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { SIM } from "../../sim/options.ts";
import { Ports } from "../../sim/port.ts";
import { PcapWire } from "../../sim/wires/pcap.ts";
import type { WirePort } from "../../sim/wires/wire.ts";
import { UsageError } from "../../src/errors.ts";
import { randomFrame } from "../support/programs.ts";
import { writeCapture } from "../support/captures.ts";
import {
  ffiOnly,
  Program,
  requirePackages,
  run,
  TemporaryDirectory,
  tool,
} from "../support/processes.ts";

/** Keeps the frames that it receives. */
class TestPort implements WirePort {
  readonly receiving = true;
  readonly frames: Uint8Array[] = [];

  receive(frame: FrameBuffer, length: number): boolean {
    this.frames.push(frame.bytes.slice(0, length));
    return true;
  }
}

/** A record: the bytes that it holds, and the length of the frame. */
type Record = readonly [bytes: Uint8Array, length?: number];

/** Returns a little-endian capture, with this word for the link type. */
function capture(records: readonly Record[], link = 1): Uint8Array<ArrayBuffer> {
  const words = (...n: number[]) => new Uint8Array(Uint32Array.from(n).buffer);
  const parts = records.flatMap(([bytes, length = bytes.length]) => {
    return [words(0, 0, bytes.length, length), bytes];
  });
  const all = [words(0xa1b2c3d4, 0x0004_0002, 0, 0, 262144, link), ...parts];
  const result = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Replays a file; returns the frames, the counts, and what was printed. */
function replay(input: string) {
  const printed: string[] = [];
  const port = new TestPort(), wire = new PcapWire({ input, print: (line) => printed.push(line) });
  while (!wire.finished) wire.poll(port, 64);
  wire.close();
  return { frames: port.frames, failed: wire.failed, printed, counts: wire.statistics() };
}

/** Captures that link type or records make unusual, and what is replayed of them. */
const UNUSUAL: readonly [
  what: string,
  file: (frames: readonly Uint8Array[]) => Uint8Array<ArrayBuffer>,
  frames: (frames: readonly Uint8Array[]) => readonly Uint8Array[],
  counts: { readonly skipped?: number; readonly truncated?: number },
][] = [
  [
    "an FCS of 4 bytes, whole, in part, and cut off",
    ([a, b, c]) => {
      return capture([[a], [b.slice(0, -2), b.length], [c.slice(0, -4), c.length]], 0x2400_0001);
    },
    (frames) => frames.map((frame) => frame.slice(0, -4)),
    {},
  ],
  [
    "an FCS, cut off with a part of the frame",
    ([a]) => capture([[a.slice(0, -5), a.length]], 0x2400_0001),
    ([a]) => [a.slice(0, -5)],
    { truncated: 1 },
  ],
  [
    "a length of the FCS without the bit for it",
    (frames) => capture(frames.map((frame) => [frame]), 0x2000_0001),
    (frames) => frames,
    {},
  ],
  [
    "the longest record of libpcap",
    ([a, b]) => capture([[a], [new Uint8Array(262144)], [b]]),
    ([a, b]) => [a, b],
    { skipped: 1 },
  ],
  [
    "records without bytes, and with more than the frame",
    ([a, b, c]) => capture([[new Uint8Array(), 60], [a], [b, b.length - 1], [c]]),
    ([a, _, c]) => [a, c],
    { skipped: 2, truncated: 1 },
  ],
  [
    "frames cut by the snap length",
    ([a, b]) => capture([[a.slice(0, 64), a.length], [b]]),
    ([a, b]) => [a.slice(0, 64), b],
    { truncated: 1 },
  ],
];

Deno.test("PcapWire replays a capture with", async (t) => {
  await requirePackages("tcpdump");
  await using directory = await TemporaryDirectory.make();
  const frames = [100, 77, 1514].map(randomFrame), file = directory.file("in.pcap");
  for (const [what, bytes, expected, counts] of UNUSUAL) {
    await t.step(what, async () => {
      await Deno.writeFile(file, bytes(frames));
      await tool("tcpdump", "-r", file); // a judge: it reads the file to its end
      const { frames: replayed, failed, printed, counts: { skipped, truncated } } = replay(file);
      assertEquals(replayed, expected(frames));
      assertEquals({ failed, printed }, { failed: false, printed: [] });
      assertEquals({ skipped, truncated }, { skipped: 0, truncated: 0, ...counts });
    });
  }
});

Deno.test("PcapWire replays what editcap converts to either classic format", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const frames = [60, 61, 1514].map(randomFrame);
  const [classic, next, back] = ["a.pcap", "a.pcapng", "b.pcap"].map((name) => {
    return directory.file(name);
  });
  writeCapture(classic, frames);
  await tool("editcap", "-F", "pcapng", classic, next);
  for (const format of ["pcap", "nsecpcap"]) {
    await tool("editcap", "-F", format, next, back);
    assertEquals(replay(back).frames, frames);
  }
  const { message } = assertThrows(() => new PcapWire({ input: next }), UsageError);
  assertMatch(message, /a\.pcapng is not .*: it is a pcapng file: use what `editcap -F pcap`/);
});

Deno.test("PcapWire refuses what it cannot replay, in a sentence", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("x"), whole = capture([[randomFrame(60)]]);
  const zipped = await new Response(
    new Blob([whole]).stream().pipeThrough(new CompressionStream("gzip")),
  ).bytes();
  const cases: [what: string, bytes: Uint8Array<ArrayBuffer>, sentence: RegExp][] = [
    ["an empty file", new Uint8Array(), /shorter than a file header/],
    ["a compressed file", zipped, /compressed by gzip: .*`gunzip`/],
    ["another version", whole.with(4, 3), /its version is 3, not 2/],
    ["another link type", whole.with(20, 101), /its link type is 101, not 1/],
    ["text", new TextEncoder().encode("pcap ".repeat(10)), /its magic number is unknown/],
  ];
  for (const [what, bytes, sentence] of cases) {
    await t.step(what, async () => {
      await Deno.writeFile(file, bytes);
      const { message } = assertThrows(() => new PcapWire({ input: file }), UsageError);
      assertMatch(message, sentence);
    });
  }
  for (const input of [directory.path, "/dev/null", "/dev/zero"]) {
    assertThrows(() => new PcapWire({ input }), UsageError, input);
  }
});

Deno.test("PcapWire says where an input is damaged, and replays what comes before", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const frames = [60, 70, 80].map(randomFrame), file = directory.file("x");
  const whole = capture(frames.map((frame) => [frame]));
  const cases: [what: string, bytes: Uint8Array<ArrayBuffer>, replayed: number, why: RegExp][] = [
    [
      "in a record",
      whole.slice(0, -1),
      2,
      /x: the file ends inside record 3: replayed 2 frames/,
    ],
    [
      "in a record's header",
      whole.slice(0, 24 + 16 + 60 + 15),
      1,
      /ends inside record 2: replayed 1 frame /,
    ],
    [
      "by a record that is too long",
      capture([[frames[0]], [new Uint8Array(262145)]]),
      1,
      /record 2 has 262145 bytes, more than the maximum of 262144: replayed 1 frame /,
    ],
  ];
  for (const [what, bytes, count, why] of cases) {
    await t.step(what, async () => {
      await Deno.writeFile(file, bytes);
      const { frames: replayed, failed, printed, counts: { damaged } } = replay(file);
      assertEquals(replayed, frames.slice(0, count));
      assertEquals([failed, damaged, printed.length], [true, 1, 1]);
      assertMatch(printed[0], why);
    });
  }
});

/** Creates a FIFO. */
async function makeFifo(directory: TemporaryDirectory): Promise<string> {
  const fifo = directory.file("fifo");
  await tool("mkfifo", fifo);
  return fifo;
}

Deno.test("PcapWire replays a FIFO as its writer goes on, and never waits for it", async () => {
  await using directory = await TemporaryDirectory.make();
  const frames = [60, 1514, 999].map(randomFrame), bytes = capture(frames.map((frame) => [frame]));
  const printed: string[] = [], print = (line: string) => printed.push(line);
  const input = await makeFifo(directory), port = new TestPort();
  const wire = new PcapWire({ input, print });
  const round = () => [wire.poll(port, 64), wire.finished];
  assertEquals(round(), [0, false], "without a writer");
  {
    using writer = await Deno.open(input, { write: true });
    let written = 0;
    for (const [end, count] of [[7, 0], [24, 0], [40, 0], [99, 0], [100, 1], [1630, 2]]) {
      await writer.write(bytes.slice(written, end));
      written = end;
      wire.poll(port, 64);
      assertEquals([port.frames.length, wire.finished], [count, false], `${end} bytes`);
    }
    await writer.write(bytes.slice(1630));
  }
  assertEquals([round(), printed], [[1, true], []]);
  assertEquals(port.frames, frames);
  wire.close();
});

Deno.test("PcapWire reports a FIFO whose writer sends no capture, or ends inside a record", async () => {
  for (
    const [bytes, why] of [
      [new TextEncoder().encode("not a capture, not at all"), /fifo is not a classic pcap file/],
      [capture([]).slice(0, 20), /fifo: the file ends inside its header/],
      [capture([[randomFrame(60)]]).slice(0, -1), /fifo: the file ends inside record 1/],
    ] as const
  ) {
    await using directory = await TemporaryDirectory.make();
    const lines: string[] = [], print = (line: string) => lines.push(line);
    const input = await makeFifo(directory), wire = new PcapWire({ input, print });
    {
      using writer = await Deno.open(input, { write: true });
      await writer.write(bytes);
    }
    while (!wire.finished) wire.poll(new TestPort(), 64);
    assertMatch(lines[0], why);
    assertEquals([lines.length, wire.failed], [1, true]);
    wire.close();
  }
});

Deno.test("PcapWire captures to a FIFO, and leaves frames out while its reader is slow", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const output = await makeFifo(directory), copy = directory.file("copy.pcap");
  assertThrows(() => new PcapWire({ output }), UsageError, "a FIFO that no process reads");
  const script = 'exec 3<"$0"; echo open; read -r _; cat <&3 >"$1"; echo done';
  const command = ["bash", "-c", script, output, copy];
  await using reader = Program.start(command);
  // The reader's open waits for a writer: this one, which is not the wire's.
  const writer = await Deno.open(output, { write: true });
  const printed: string[] = [];
  const wire = new PcapWire({ output, print: (line) => printed.push(line) });
  writer.close();
  await reader.line((line) => line === "open");
  const frame = new FrameBuffer(), frames = 1500; // more than the FIFO and the buffer hold
  frame.bytes.set(randomFrame(1514));
  for (let i = 0; i < frames; i++) wire.transmit(frame, 1514);
  const { received, unwritten } = wire.statistics();
  assertEquals(received, frames);
  assert(unwritten > 100 && unwritten < 1000, `${unwritten} unwritten`);
  await reader.write("");
  wire.close();
  assertEquals([printed, wire.failed], [[], false]);
  await reader.line((line) => line === "done");
  const lengths = (await tool("tshark", "-r", copy, "-T", "fields", "-e", "frame.len")).trim();
  assertEquals(lengths.split("\n"), Array.from({ length: frames - unwritten }, () => "1514"));
});

/** Files that a start would destroy; `$` is the directory. Its files are keep, a link to it, and in.pcap. */
const DESTRUCTIVE: readonly [wires: string[], options: string[], sentence: RegExp][] = [
  [["pcap:in=$/in.pcap,out=$/in.pcap"], [], /in\.pcap is named twice/],
  [["pcap:in=$/in.pcap,out=$/./in.pcap"], [], /are the same file/],
  [["pcap:in=$/in.pcap", "pcap:out=$/in.pcap"], [], /in\.pcap is named twice/],
  [["pcap:in=$/in.pcap", "pcap:out=$/hard.pcap"], [], /hard\.pcap and .* are the same file/],
  [["pcap:out=$/keep", "pcap:out=$/link"], [], /keep and .*link are the same file/],
  [["pcap:out=$/new", "pcap:out=$/new"], [], /new is named twice/],
  [["pcap:out=$/keep"], ["--trace=$/link"], /link are the same file/],
  [["pcap:in=$/in.pcap"], ["--trace=$/in.pcap"], /in\.pcap is named twice/],
  // Refused for another reason, after the outputs were opened.
  [["pcap:out=$/keep", "pcap:in=$/none"], [], /none: no such file/],
  [["pcap:out=$/new", "pcap:in=$/keep"], [], /keep is not a classic pcap file/],
  [["pcap:out=$/keep", "cable:1"], ["--trace=$/new"], /cable:1 joins two ports/],
  [["pcap:out=$/keep", "pcap:out=$/none/x"], ["--trace=$/new"], /cannot write .*none\/x/],
  [["pcap:out=$/keep", "pcap:out=$"], [], /is a directory/],
  [["pcap:out=$/keep", "pcap:out=$/0.sock"], [], /0\.sock: it is a socket, or a FIFO/],
  [["pcap:out=$/keep", "dgram:$/keep,$/b"], [], /keep: exists and is not a socket/],
];

Deno.test("A start of the software NIC that is refused changes no file", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const keep = new TextEncoder().encode("keep this"), frames = capture([[randomFrame(60)]]);
  await Deno.writeFile(directory.file("keep"), keep);
  await Deno.symlink("keep", directory.file("link"));
  await Deno.writeFile(directory.file("in.pcap"), frames);
  await Deno.link(directory.file("in.pcap"), directory.file("hard.pcap"));
  for (const [wires, options, sentence] of DESTRUCTIVE) {
    await t.step([...wires, ...options].join(" "), async () => {
      const args = [
        ...wires.flatMap((wire, i) => ["--socket", `$/${i}.sock`, "--wire", wire]),
        ...options,
      ].map((word) => word.replaceAll("$", directory.path));
      const plan = parse(SIM, args)!;
      const { message } = assertThrows(() => new Ports(plan, () => {}), UsageError);
      assertMatch(message, sentence);
      const names = (await Array.fromAsync(Deno.readDir(directory.path))).map(({ name }) => name);
      assertEquals(names.toSorted(), ["hard.pcap", "in.pcap", "keep", "link"]);
      assertEquals(await Deno.readFile(directory.file("keep")), keep);
      assertEquals(await Deno.readFile(directory.file("in.pcap")), frames);
    });
  }
});

Deno.test("A start of the software NIC empties files, follows links, and takes one input twice", async () => {
  await using directory = await TemporaryDirectory.make();
  const keep = directory.file("keep"), link = directory.file("link"), input = directory.file("in");
  await Deno.writeTextFile(keep, "x".repeat(1000));
  await Deno.symlink(keep, link);
  await Deno.writeFile(input, capture([]));
  const wires = [
    `pcap:in=${input},out=${link}`,
    `pcap:in=${input},out=/dev/null`,
    "pcap:out=/dev/null",
  ];
  const args = wires.flatMap((wire, i) => {
    return ["--socket", directory.file(`${i}.sock`), "--wire", wire];
  });
  {
    using ports = new Ports(parse(SIM, args)!, () => {});
    assertEquals((await Deno.stat(keep)).size, 0);
    assertEquals(ports.failed, false);
  }
  assertEquals((await Deno.readFile(keep)).length, 24, "a file header");
  assertEquals((await Deno.lstat(link)).isSymlink, true);
});

Deno.test("sim/main.ts exits with 1 and one sentence if an input is damaged or an output is full", async () => {
  await using directory = await TemporaryDirectory.make();
  const input = directory.file("a\nb,c.pcap"), socket = directory.file("nic.sock");
  await Deno.writeFile(input, capture([[randomFrame(60)], [randomFrame(60)]]).slice(0, -1));
  const args = ["--quiet", "--socket", socket, "--wire", `pcap:in=${input},out=/dev/full`];
  await using sim = Program.start(ffiOnly("sim/main.ts", args));
  await sim.line((line) => line === "ready");
  const echo = ["--quiet", "--seconds=1", `vfio-user:${socket}`, "192.0.2.1"];
  assertEquals((await run(ffiOnly("echo.ts", echo))).code, 0);
  sim.kill("SIGTERM");
  const { code, stderr } = await sim.finish();
  assertMatch(stderr, /a\\u000ab,c\.pcap: the file ends inside record 2: replayed 1 frame /);
  assertMatch(stderr, /\/dev\/full: write: no space left on device: the capture is cut short here/);
  assertEquals([code, stderr.trimEnd().split("\n").length], [1, 2]);
});
