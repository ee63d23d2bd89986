/** Captures of devices, read by tshark and tcpdump. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError, PacketBatch, UsageError } from "../../mod.ts";
import { CapturedDevice, captureTo, FaultyDevice, PcapngWriter } from "../../wrappers/mod.ts";
import { requirePackages, TemporaryDirectory, tool } from "../support/processes.ts";
import { readPcapng } from "../support/captures.ts";
import { randomFrame } from "../support/programs.ts";
import { type Rig, RIGS } from "../support/rigs.ts";

/** A sink in memory that takes a few bytes at a time, up to its capacity. */
class MemorySink implements Disposable {
  readonly bytes: number[] = [];
  closed = false;

  constructor(public capacity = Infinity) {}

  writeSync(bytes: Uint8Array): number {
    if (this.bytes.length >= this.capacity) throw new Error("No space left (os error 28)");
    const some = bytes.subarray(0, 1000);
    this.bytes.push(...some);
    return some.length;
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }
}

function receive({ device, pool }: Pick<Rig, "device" | "pool">): number {
  const batch = new PacketBatch(pool);
  device.rxQueues[0].receive(batch);
  return batch.free();
}

function send({ device, pool }: Pick<Rig, "device" | "pool">, packet: Uint8Array): void {
  const batch = new PacketBatch(pool);
  batch.add(packet);
  assertEquals(device.txQueues[0].transmit(batch), 1);
}

Deno.test("CapturedDevice writes what two devices receive and transmit, with names and directions", async () => {
  await requirePackages("tshark", "tcpdump");
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("both.pcapng");
  const [a, b] = [await RIGS.ixgbe(512), await RIGS.virtio(512)];
  const packets = [60, 61, 62, 63, 64, 1514].map(randomFrame);
  const before = Date.now() / 1000;
  {
    using writer = new PcapngWriter(file);
    using deviceA = new CapturedDevice(a.device, writer);
    using deviceB = new CapturedDevice(b.device, writer, { only: "transmit" });
    for (const packet of packets.slice(0, 3)) assert(a.arrive(packet));
    assertEquals(receive({ ...a, device: deviceA }), 3);
    send({ ...b, device: deviceB }, packets[3]);
    assert(b.arrive(packets[0]));
    assertEquals(receive({ ...b, device: deviceB }), 1);
    send({ ...a, device: deviceA }, packets[4]);
    send({ ...a, device: deviceA }, packets[5]);
    assertEquals(writer.packets, 6);
  }
  const after = Date.now() / 1000;
  a.end();
  b.end();
  const read = await readPcapng(file);
  assertEquals(
    read.map(({ time: _, ...rest }) => rest),
    [
      ["model", "receive"],
      ["model", "receive"],
      ["model", "receive"],
      ["virtio", "transmit"],
      ["model", "transmit"],
      ["model", "transmit"],
    ].map(([device, direction], i) => ({ device, direction, bytes: packets[i] })),
  );
  const times = read.map(({ time }) => time);
  assertEquals(times, times.toSorted((x, y) => x - y));
  // The clock may have been set since, but not by hours.
  assert(times[0] > before - 3600 && times[5] < after + 3600, `${times[0]} is not ${before}`);
  const dump = await tool("tcpdump", "-n", "-e", "-r", file);
  assertEquals(dump.trim().split("\n").filter((line) => / length \d+:/.test(line)).length, 6);
});

Deno.test("CapturedDevice around a fault injector captures what the program sees", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("faulty.pcapng"), rig = await RIGS.virtio(512);
  const faulty = new FaultyDevice(rig.device, {
    seed: 2,
    receive: { drop: 0.2, duplicate: 0.2, corrupt: 0.2 },
    transmit: { drop: 0.5 },
  });
  const seen: Uint8Array[] = [], sent: Uint8Array[] = [], batch = new PacketBatch(rig.pool, 64);
  {
    using writer = new PcapngWriter(file);
    using device = new CapturedDevice(faulty, writer);
    for (let i = 0; i < 60; i++) {
      assert(rig.arrive(randomFrame(60 + i)));
      device.rxQueues[0].receive(batch);
      for (const packet of batch) seen.push(packet.slice());
      batch.free();
    }
    for (let i = 0; i < 20; i++) {
      sent.push(randomFrame(60));
      send({ ...rig, device }, sent[i]);
    }
  }
  const { receive: { dropped, duplicated, corrupted }, transmit } = faulty.faults();
  assert(dropped > 0 && duplicated > 0 && corrupted > 0 && transmit.dropped > 0);
  const read = await readPcapng(file);
  assertEquals(read.map(({ bytes }) => bytes), [...seen, ...sent]);
  rig.end();
});

Deno.test("PcapngWriter keeps nanoseconds, and the start of packets", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("a.pcapng");
  const sizes = [1, 2, 3, 4, 63, 64, 65, 9000], packets = sizes.map(randomFrame);
  {
    using writer = new PcapngWriter(file, 64);
    const trace = captureTo(writer, "Ä");
    packets.forEach((bytes, i) => {
      const milliseconds = 0.5 + i * 0.25 - performance.timeOrigin + 4_000_000_000_000;
      trace({ device: "a", queue: 0, direction: "receive", milliseconds, bytes });
    });
  }
  const read = await readPcapng(file);
  assertEquals(read.map(({ bytes }) => bytes), packets.map((packet) => packet.subarray(0, 64)));
  assertEquals(read.map(({ device }) => device), Array(sizes.length).fill("Ä"));
  const fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"];
  const lines = (await tool("tshark", "-n", "-r", file, ...fields)).trim().split("\n");
  lines.forEach((line, i) => {
    const [time, length] = line.split("\t"), [seconds, nanoseconds] = time.split(".");
    assertEquals([Number(length), seconds], [sizes[i], "4000000000"]);
    // The clock is a double of milliseconds since 1970: exact to a microsecond.
    assert(Math.abs(Number(nanoseconds) - 500_000 - i * 250_000) < 1000, `${time} of packet ${i}`);
  });
});

Deno.test("PcapngWriter writes as packets arrive, writes the rest at disposal, and closes its file", () => {
  const sink = new MemorySink(), writer = new PcapngWriter("memory", 65535, sink);
  const number = writer.addInterface("a"), packet = new Uint8Array(65535);
  assertEquals(sink.bytes.length, 0);
  for (let i = 0; i < 20; i++) writer.write(packet, 0, number, "transmit");
  assert(sink.bytes.length > 2 ** 19 && sink.bytes.length < 20 * 65535);
  writer.flush();
  const length = sink.bytes.length;
  assertEquals(length % 4, 0);
  writer.flush();
  writer.write(packet.subarray(0, 60), 0, number, "receive");
  writer[Symbol.dispose]();
  assertEquals([sink.bytes.length, sink.closed], [length + 28 + 60 + 16, true]);
  writer[Symbol.dispose]();
  assertEquals(sink.bytes.length, length + 28 + 60 + 16);
});

Deno.test("PcapngWriter throws when its file takes no more, and closes it", () => {
  const sink = new MemorySink(2000);
  {
    using writer = new PcapngWriter("a.pcapng", 65535, sink);
    const number = writer.addInterface("a");
    for (let i = 0; i < 100; i++) writer.write(new Uint8Array(60), 0, number, "receive");
    const { message } = assertThrows(() => writer.flush(), DeviceError);
    assertEquals(message, "a.pcapng: no space left: the capture is cut short here");
    sink.capacity = Infinity;
    const packet = new Uint8Array(60);
    assertThrows(() => writer.write(packet, 0, number, "receive"), DeviceError, message);
    assertThrows(() => writer.addInterface("b"), DeviceError, message);
    writer.flush();
  }
  assert(sink.closed);
  assertEquals(sink.bytes.length, 2000, "closing does not try again");
});

Deno.test("PcapngWriter refuses invalid files and names", () => {
  for (const name of ["/none/a", "/none/a\nb"]) {
    const { message } = assertThrows(() => new PcapngWriter(name), UsageError);
    assertEquals(
      message,
      `cannot write ${name}: no such file or directory: choose another file`,
    );
  }
  const writer = new PcapngWriter("memory", 65535, new MemorySink());
  assertEquals(writer.addInterface("é".repeat(127)), 0);
  assertThrows(() => writer.addInterface("é".repeat(128)), RangeError, "255 bytes at most");
  assertEquals(writer.addInterface("b"), 1);
  for (const number of [-1, 2, NaN, undefined as never]) {
    const write = () => writer.write(new Uint8Array(60), 0, number, "receive");
    assertThrows(write, RangeError, "no interface");
  }
  const long = new Uint8Array(65536);
  assertThrows(() => writer.write(long, 0, 0, "receive"), RangeError, "65535 bytes at most");
  assertEquals(writer.packets, 0);
  writer[Symbol.dispose]();
  assertThrows(() => writer.write(new Uint8Array(60), 0, 0, "receive"), Error, "is closed");
  assertThrows(() => writer.addInterface("c"), Error, "is closed");
});

Deno.test("PcapngWriter refuses to keep less than a byte or more than 65535, and leaves the file", async () => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("a");
  Deno.writeTextFileSync(file, "kept");
  for (const snaplen of [0, -1, 1.5, NaN, 65536, null as never]) {
    assertThrows(() => new PcapngWriter(file, snaplen), UsageError, "keeps 1 to 65535 bytes");
  }
  assertEquals(Deno.readTextFileSync(file), "kept");
});
