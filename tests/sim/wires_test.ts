/**
 * The NIC model's wires: generator and checker, cable, capture files, TAP device, datagram sockets.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { path, stubs } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import type { WirePort } from "../../sim/wires/wire.ts";
import { cable } from "../../sim/wires/cable.ts";
import { DatagramWire } from "../../sim/wires/dgram.ts";
import { Generator, lineRate } from "../../sim/wires/generator.ts";
import { makeWires, parseWire } from "../../sim/wires/parse.ts";
import { PcapWire } from "../../sim/wires/pcap.ts";
import { Checker, Stream } from "../../sim/wires/stream.ts";
import { TapWire } from "../../sim/wires/tap.ts";

const DESTINATION = new Uint8Array([0x02, 0, 0, 0, 0, 0xff]);

/** A port that keeps frames, and refuses those that `accept` refuses. */
class TestPort implements WirePort {
  receiving = true;
  sendsSignal = true;
  /** What the wire has said about the partner, in order. */
  readonly links: boolean[] = [];
  readonly frames: Uint8Array[] = [];
  accept: (count: number) => boolean = () => true;
  #count = 0;
  receive(frame: FrameBuffer, length: number): boolean {
    if (!this.accept(this.#count++)) return false;
    this.frames.push(frame.bytes.slice(0, length));
    return true;
  }
  setLink(up: boolean): void {
    this.links.push(up);
  }
}

function frameOf(bytes: ArrayLike<number>): FrameBuffer {
  const frame = new FrameBuffer();
  frame.bytes.set(bytes);
  return frame;
}

/** Returns frames of recognisable bytes, with these lengths. */
function samples(lengths: readonly number[]): Uint8Array[] {
  return lengths.map((length, n) => Uint8Array.from({ length }, (_, i) => (i * 7 + n * 13) & 255));
}

function withDirectory(test: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync();
  try {
    test(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Returns a checker that has checked these frames of a stream, by number. */
function checked(numbers: readonly number[], sent: number): Record<string, number> {
  const stream = new Stream(0, 60, DESTINATION);
  const checker = new Checker(stream);
  stream.count[0] = sent;
  for (const n of numbers) {
    stream.number(n);
    checker.check(stream.frame, 60);
  }
  return checker.statistics();
}

Deno.test("Stream's frames are UDP with correct lengths and IP checksum", () => {
  for (const size of [60, 61, 1514, 15868]) {
    const { frame } = new Stream(3, size, DESTINATION);
    const view = new DataView(frame.bytes.buffer, 0, size);
    let sum = 0;
    for (let i = 14; i < 34; i += 2) sum += view.getUint16(i);
    assertEquals((sum & 0xffff) + (sum >>> 16), 0xffff);
    assertEquals(view.getUint16(12), 0x0800);
    assertEquals(view.getUint8(23), 17);
    assertEquals(view.getUint16(16), size - 14);
    assertEquals(view.getUint16(38), size - 34);
    assertEquals([...frame.bytes.subarray(0, 6)], [...DESTINATION]);
  }
  for (const size of [59, 15869, 60.5]) {
    assertThrows(() => new Stream(0, size, DESTINATION), UsageError);
  }
});

Deno.test("Checker notices every changed byte, and allows byte 1 to be one more", () => {
  for (const size of [60, 67]) {
    const stream = new Stream(1, size, DESTINATION);
    stream.count[0] = 0x1_0000_0005 + 1;
    for (let at = 0; at < size; at++) {
      const checker = new Checker(stream);
      stream.number(0x1_0000_0005);
      const frame = frameOf(stream.frame.bytes);
      frame.bytes[at] ^= 0x80;
      checker.check(frame, size);
      assertEquals(checker.statistics().corrupt, 1, `byte ${at} of ${size}`);
      assertEquals(checker.statistics().received, 0);
    }
    for (const [plus, corrupt] of [[0, 0], [1, 0], [2, 1], [255, 1]]) {
      const checker = new Checker(stream);
      const frame = frameOf(stream.frame.bytes);
      frame.bytes[1] += plus;
      checker.check(frame, size);
      assertEquals(checker.statistics().corrupt, corrupt, `byte 1 plus ${plus}`);
    }
    const checker = new Checker(stream);
    checker.check(stream.frame, size + 1);
    assertEquals(checker.statistics().corrupt, 1, "another length");
  }
});

Deno.test("Checker allows byte 1 to go from 255 to 0", () => {
  const stream = new Stream(0, 60, new Uint8Array([2, 255, 0, 0, 0, 1]));
  const checker = new Checker(stream);
  stream.count[0] = 1;
  const frame = frameOf(stream.frame.bytes);
  frame.bytes[1] = 0;
  checker.check(frame, 60);
  assertEquals(checker.statistics().received, 1);
});

Deno.test("Checker counts lost, late and repeated frames", () => {
  const clean = { received: 0, reordered: 0, corrupt: 0, foreign: 0, gap: 0, outstanding: 0 };
  assertEquals(checked([0, 1, 2, 3], 4), { ...clean, received: 4 });
  assertEquals(checked([0, 3], 4), { ...clean, received: 2, gap: 2 });
  assertEquals(checked([0, 1], 4), { ...clean, received: 2, outstanding: 2 });
  assertEquals(checked([0, 2, 1, 3], 4), { ...clean, received: 4, reordered: 1 });
  assertEquals(checked([1, 0], 2), { ...clean, received: 2, reordered: 1 });
  assertEquals(checked([0, 1, 1, 2], 3), { ...clean, received: 4, reordered: 1 });
  assertEquals(checked([0, 2, 1, 1], 3), { ...clean, received: 4, reordered: 2 });
  assertEquals(checked([0, 20000, 1], 20001), {
    ...clean,
    received: 3,
    reordered: 1,
    gap: 19999,
  }, "too late to be remembered");
  assertEquals(checked([0, 5], 5), { ...clean, received: 1, corrupt: 1, outstanding: 4 });
  const around = 2 ** 32;
  assertEquals(checked([around - 1, around, around + 1], around + 2), {
    ...clean,
    received: 3,
    gap: around - 1,
  });
});

Deno.test("Checker tells foreign frames from damaged ones", () => {
  const stream = new Stream(0, 60, DESTINATION);
  const checker = new Checker(stream);
  checker.check(frameOf(samples([60])[0]), 60);
  assertEquals(checker.statistics().foreign, 1);
  assertEquals(checker.statistics().corrupt, 0);
});

/** Replaces the clock of wires: a test advances it, in milliseconds. */
class Clock implements Disposable {
  now = 0;
  readonly #real = performance.now;

  constructor() {
    performance.now = () => this.now;
  }

  [Symbol.dispose](): void {
    performance.now = this.#real;
  }
}

Deno.test("Generator sends at its rate, while the port receives", () => {
  let now = 0;
  const generator = new Generator({ id: 0, rate: 20_000, clock: () => now });
  const port = new TestPort();
  assertEquals(generator.poll(port, 64), 0, "not started yet");
  generator.start();
  for (; now < 100; now += 0.125) generator.poll(port, 64);
  assert(Math.abs(port.frames.length - 2000) < 10, `${port.frames.length} frames`);
  port.receiving = false;
  const sent = generator.statistics().sent;
  for (; now < 110; now += 0.125) generator.poll(port, 64);
  assertEquals(generator.statistics().sent, sent);
  assertEquals(Math.round(lineRate(60)), 14880952);
});

Deno.test("Generator counts frames that the port refuses, and its own stream's return", () => {
  const generator = new Generator({ id: 0, rate: 1e8, size: 1514 });
  const port = new TestPort();
  port.accept = (count) => count % 4 !== 3;
  generator.start();
  while (port.frames.length < 300) generator.poll(port, 32);
  for (const bytes of port.frames) generator.transmit(frameOf(bytes), bytes.length);
  const { sent, missed, received, gap, reordered, corrupt, outstanding } = generator.statistics();
  assertEquals(received, port.frames.length);
  assertEquals(sent, received + missed);
  assertEquals(gap + outstanding, missed);
  assertEquals([reordered, corrupt], [0, 0]);
});

Deno.test("Generator expects the stream of its peer", () => {
  const [a, b] = makeWires([parseWire("generator"), parseWire("generator:size=100")], [
    new Uint8Array([2, 1, 0, 0, 0, 0]),
    new Uint8Array([2, 2, 0, 0, 0, 0]),
  ]) as [Generator, Generator];
  const ports = [new TestPort(), new TestPort()];
  for (const [i, generator] of [a, b].entries()) {
    generator.start();
    while (ports[i].frames.length < 10) generator.poll(ports[i], 10);
    generator.stop();
  }
  for (const bytes of ports[0].frames) b.transmit(frameOf(bytes), bytes.length);
  for (const bytes of ports[1].frames) a.transmit(frameOf(bytes), bytes.length);
  for (const [i, generator] of [a, b].entries()) {
    const { received, corrupt, gap } = generator.statistics();
    assertEquals([received, corrupt, gap], [ports[1 - i].frames.length, 0, 0]);
  }
  assertEquals(ports[1].frames[0].length, 100);
});

Deno.test("cable carries frames both ways, in order, and drops what does not fit", () => {
  const [a, b] = cable();
  const port = new TestPort();
  const frames = samples([60, 61, 1514, 15868, 14]);
  // Goes around the ring more than once, with every length.
  for (let round = 0; round < 100; round++) {
    for (const bytes of frames) a.transmit(frameOf(bytes), bytes.length);
    assertEquals(b.poll(port, 64), frames.length);
    assertEquals(port.frames.splice(0), frames);
  }
  b.transmit(frameOf(frames[0]), 60);
  assertEquals(a.poll(port, 64), 1);
  const large = frameOf(frames[3]);
  for (let i = 0; i < 100; i++) a.transmit(large, 15868);
  const { dropped } = a.statistics();
  assert(dropped > 0 && dropped < 100);
  port.accept = () => false;
  let delivered = 0;
  for (let n = -1; n !== 0;) delivered += n = b.poll(port, 7);
  assertEquals(delivered, 100 - dropped);
  assertEquals(b.statistics().missed, delivered);
});

Deno.test("cable with signal=1 takes a port's link down while the other port sends no signal", () => {
  const mac = new Uint8Array(6), spec = parseWire("cable:3,signal=1");
  const [a, b] = makeWires([spec, spec], [mac, mac]), here = new TestPort(), there = new TestPort();
  const round = () => [a.poll(here, 64), b.poll(there, 64)];
  round();
  here.sendsSignal = false;
  round();
  round();
  assertEquals([here.links, there.links], [[], [false]]);
  here.sendsSignal = true;
  round();
  assertEquals([here.links, there.links], [[], [false, true]]);
  const [c, d] = cable();
  here.sendsSignal = false;
  c.poll(here, 64);
  d.poll(there, 64);
  assertEquals(there.links, [false, true], "not by default");
});

/** Returns a capture file in one of the four classic forms. */
function capture(
  frames: readonly Uint8Array[],
  littleEndian: boolean,
  nanoseconds: boolean,
): Uint8Array {
  const bytes = new Uint8Array(24 + frames.reduce((sum, frame) => sum + 16 + frame.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, littleEndian);
  view.setUint16(4, 2, littleEndian);
  view.setUint16(6, 4, littleEndian);
  view.setUint32(16, 65535, littleEndian);
  view.setUint32(20, 1, littleEndian);
  let at = 24;
  for (const frame of frames) {
    view.setUint32(at + 8, frame.length, littleEndian);
    view.setUint32(at + 12, frame.length, littleEndian);
    bytes.set(frame, at + 16);
    at += 16 + frame.length;
  }
  return bytes;
}

/** Returns the frames of a file that the model has written. */
function framesOf(file: string): Uint8Array[] {
  const bytes = Deno.readFileSync(file);
  const view = new DataView(bytes.buffer);
  assertEquals([view.getUint32(0, true), view.getUint32(20, true)], [0xa1b23c4d, 1]);
  const frames: Uint8Array[] = [];
  let before = 0;
  for (let at = 24; at < bytes.length;) {
    const length = view.getUint32(at + 8, true);
    const time = view.getUint32(at, true) + view.getUint32(at + 4, true) / 1e9;
    assert(time >= before && Math.abs(time - Date.now() / 1000) < 60, `time ${time}`);
    before = time;
    assert(view.getUint32(at + 4, true) < 1e9);
    frames.push(bytes.slice(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return frames;
}

Deno.test("PcapWire replays every kind of classic pcap to a port that refuses some, and captures", () => {
  withDirectory((directory) => {
    const frames = samples(Array.from({ length: 700 }, (_, i) => 60 + (i * 37) % 1455));
    for (const littleEndian of [true, false]) {
      for (const nanoseconds of [true, false]) {
        const input = `${directory}/in.pcap`;
        const output = `${directory}/out.pcap`;
        Deno.writeFileSync(input, capture(frames, littleEndian, nanoseconds));
        const wire = new PcapWire({ input, output });
        const port = new TestPort();
        port.accept = (count) => count % 50 !== 49;
        while (!wire.finished) wire.poll(port, 64);
        assertEquals(port.frames, frames);
        for (const bytes of port.frames) wire.transmit(frameOf(bytes), bytes.length);
        wire.close();
        const { sent, retried, received, damaged } = wire.statistics();
        assertEquals([sent, retried, received, damaged], [700, 14, 700, 0]);
        assertEquals(framesOf(output), frames);
      }
    }
  });
});

Deno.test("PcapWire counts frames that it cannot write, and reports the error once", () => {
  const complaints: string[] = [], print = (line: string) => complaints.push(line);
  const wire = new PcapWire({ output: "/dev/full", print });
  const frame = frameOf(samples([1514])[0]);
  for (let i = 0; i < 2000; i++) wire.transmit(frame, 1514);
  wire.close();
  const { received, unwritten } = wire.statistics();
  assertEquals(received, 2000);
  assert(unwritten > 0 && unwritten < 2000, `${unwritten} unwritten`);
  assertEquals(complaints, [
    "/dev/full: write: no space left on device: the capture is cut short here",
  ]);
});

Deno.test("PcapWire waits for the port, and keeps a rate", () => {
  withDirectory((directory) => {
    const input = `${directory}/in.pcap`;
    Deno.writeFileSync(input, capture(samples(new Array(200).fill(60)), true, true));
    using clock = new Clock();
    const wire = new PcapWire({ input, rate: 1000 });
    const port = new TestPort();
    port.receiving = false;
    for (; clock.now < 80; clock.now += 0.125) wire.poll(port, 64);
    assertEquals(port.frames.length, 0);
    port.receiving = true;
    for (; clock.now < 120; clock.now += 0.125) wire.poll(port, 64);
    assert(port.frames.length >= 38 && port.frames.length <= 110, `${port.frames.length} frames`);
    wire.close();
  });
});

Deno.test("PcapWire pads short frames, and skips those of a length that no frame has", () => {
  withDirectory((directory) => {
    const input = `${directory}/in.pcap`;
    const frames = samples([42, 13, 16000, 60]);
    Deno.writeFileSync(input, capture(frames, true, false));
    const wire = new PcapWire({ input });
    const port = new TestPort();
    for (let i = 0; i < 10; i++) wire.poll(port, 64);
    wire.close();
    assertEquals(port.frames, [
      Uint8Array.from([...frames[0], ...new Array(18).fill(0)]),
      frames[3],
    ]);
    const { skipped, damaged, finished } = wire.statistics();
    assertEquals([skipped, damaged, finished], [2, 0, 1]);
  });
});

Deno.test("PcapWire reads no more records in a round than its budget, even if it skips them all", () => {
  withDirectory((directory) => {
    const input = `${directory}/in.pcap`;
    const frames = samples([...new Array(200).fill(13), 60]);
    Deno.writeFileSync(input, capture(frames, true, false));
    const wire = new PcapWire({ input }), port = new TestPort();
    const rounds = [1, 2, 3, 4].map((round) => {
      const work = wire.poll(port, 64), { skipped, sent } = wire.statistics();
      return { round, work, skipped, sent };
    });
    wire.close();
    assertEquals(rounds, [
      { round: 1, work: 64, skipped: 64, sent: 0 },
      { round: 2, work: 64, skipped: 128, sent: 0 },
      { round: 3, work: 64, skipped: 192, sent: 0 },
      { round: 4, work: 9, skipped: 200, sent: 1 },
    ]);
  });
});

Deno.test("DatagramWire delivers frames also while the port does not receive, once it has", () => {
  withDirectory((directory) => {
    const [a, b] = [`${directory}/a`, `${directory}/b`];
    const here = new DatagramWire(a, b), there = new DatagramWire(b, a), port = new TestPort();
    there.poll(port, 64);
    port.receiving = false;
    here.transmit(frameOf(new Uint8Array(60)), 60);
    assertEquals([there.poll(port, 64), port.frames.length], [1, 1]);
    here.close();
    there.close();
  });
});

Deno.test("DatagramWire sends and receives one frame per datagram, and removes its socket", () => {
  withDirectory((directory) => {
    const [a, b] = [`${directory}/a`, `${directory}/b`];
    const here = new DatagramWire(a, b);
    const frames = samples([60, 1514, 15868]);
    here.transmit(frameOf(frames[0]), 60);
    assertEquals(here.statistics().dropped, 1, "no remote socket");
    const there = new DatagramWire(b, a);
    const port = new TestPort();
    for (const bytes of frames) here.transmit(frameOf(bytes), bytes.length);
    port.receiving = false;
    assertEquals(there.poll(port, 64), 0);
    port.receiving = true;
    assertEquals(there.poll(port, 2), 2);
    assertEquals(there.poll(port, 64), 1);
    assertEquals(port.frames, frames);
    here.transmit(frameOf(frames[0]), 16385);
    assertEquals(here.statistics().dropped, 2, "longer than its buffer");
    const long = new Uint8Array(20000);
    assertEquals(stubs.ixy_sendto(here.fd, long, long.length, path(b), 0), long.length);
    assertEquals(stubs.ixy_sendto(here.fd, long, 5, path(b), 0), 5);
    there.poll(port, 64);
    assertEquals([there.statistics().dropped, port.frames.length], [2, 3]);
    assertThrows(() => new DatagramWire(a, b), UsageError, "another process");
    here.close();
    there.close();
    assertEquals([...Deno.readDirSync(directory)], []);
  });
});

/** Defines a test for root, which TAP devices need. */
function testAsRoot(name: string, test: () => void): void {
  Deno.test({ name, ignore: Deno.uid() !== 0, fn: test });
}

testAsRoot("TapWire exchanges frames with the machine", () => {
  const name = `ixytest${Deno.pid % 100000}`;
  const tap = new TapWire(name);
  try {
    assertThrows(() => new TapWire(name), UsageError, "in use");
    const ip = (args: string) => new Deno.Command("ip", { args: args.split(" ") }).outputSync();
    assert(ip(`link set ${name} address 02:00:00:00:00:42 up`).success);
    assert(ip(`address add 198.18.77.1/24 dev ${name}`).success);
    const port = new TestPort();
    tap.poll(port, 64);
    // Who has 198.18.77.1? The answer must go to the sender.
    const asker = [2, 0, 0, 0, 0, 7];
    const request = new Uint8Array(60);
    request.set([255, 255, 255, 255, 255, 255, ...asker, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    request.set([...asker, 198, 18, 77, 2, 0, 0, 0, 0, 0, 0, 198, 18, 77, 1], 22);
    tap.transmit(frameOf(request), 60);
    assertEquals(tap.statistics().sent, 1);
    tap.poll(port, 64);
    const reply = port.frames.find((frame) =>
      frame[12] === 8 && frame[13] === 6 && frame[21] === 2
    );
    assert(reply !== undefined, "no ARP reply");
    assertEquals(reply!.length, 60);
    assertEquals([...reply!.subarray(0, 12)], [...asker, 2, 0, 0, 0, 0, 0x42]);
  } finally {
    tap.close();
  }
  new TapWire(name).close();
});

testAsRoot("TapWire says why it cannot be had", () => {
  assertThrows(() => new TapWire("lo"), UsageError, "not a TAP device");
  for (const name of ["", "sixteen-bytes-ab", "a/b", "a b", "tap%d", "tap\0x"]) {
    assertThrows(() => new TapWire(name), UsageError, "not an interface name");
  }
});

Deno.test("parseWire() parses every form, and lists the forms in errors", () => {
  assertEquals(parseWire("generator"), { kind: "generator" });
  assertEquals(parseWire("generator:rate=1e6,size=1514"), {
    kind: "generator",
    rate: 1e6,
    size: 1514,
  });
  assertEquals(parseWire("cable:3"), { kind: "cable", number: 3 });
  assertEquals(parseWire("cable:3,signal=1"), { kind: "cable", number: 3, signal: 1 });
  assertEquals(parseWire("pcap:in=a,out=b,rate=5"), {
    kind: "pcap",
    input: "a",
    output: "b",
    rate: 5,
  });
  assertEquals(parseWire("pcap:in=a,b=c,rate=5"), { kind: "pcap", input: "a,b=c", rate: 5 });
  assertEquals(parseWire("tap:t0"), { kind: "tap", name: "t0" });
  assertEquals(parseWire("dgram:/a,/b"), { kind: "dgram", local: "/a", remote: "/b" });
  assertEquals(parseWire("none"), { kind: "none" });
  for (
    const text of [
      "",
      "gen",
      "generator:rate=0",
      "generator:rate=-1",
      "generator:size=59",
      "generator:size=x",
      "generator:sizes=60",
      "generator:size=60,size=61",
      "cable",
      "cable:x",
      "cable:3,signal=2",
      "cable:3,light=1",
      "pcap",
      "pcap:in=",
      "pcap:file",
      "tap:",
      "dgram:a",
      "dgram:a,b,c",
      "dgram:,b",
      "none:1",
    ]
  ) assertThrows(() => parseWire(text), UsageError, "a wire is generator");
});

Deno.test("makeWires() joins exactly two ports by a cable", () => {
  const mac = new Uint8Array(6);
  const spec = parseWire("cable:0");
  for (const count of [1, 3]) {
    const specs = new Array(count).fill(spec);
    assertThrows(() => makeWires(specs, specs.map(() => mac)), UsageError, "joins two ports");
  }
  assertEquals(makeWires([spec, spec], [mac, mac]).map((wire) => wire.kind), ["cable", "cable"]);
});
