/** Receive side coalescing by the NIC model. */

import { assertEquals } from "@std/assert";
import { HLREG0, QBRC_L, QPRC, RDT, RFCTL, RSCCTL, RXDCTL, SRRCTL } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { headerOf, l4Of, packet, type PacketOptions, pseudoSum } from "../support/ip_packets.ts";
import { RING, RX_BUFFERS, RX_RING, TestDriver } from "../support/model_driver.ts";

const TCP4: PacketOptions = {
  ...{ source: [10, 0, 0, 1], destination: [10, 0, 0, 2] },
  ...{ protocol: "tcp", ports: [1234, 80], payload: 1000 },
};
const ACK = 0x10, PUSH = 0x08, FIN = 0x01;
const HEADER = headerOf(TCP4), L4 = l4Of(TCP4);
/** The most descriptors of a large packet: 8. */
const EIGHT = 2 << 2;

/** A driver whose queue coalesces. */
function coalescing(control: number = RSCCTL.RSCEN | EIGHT): TestDriver {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(RSCCTL, control);
  driver.enableTransmit();
  driver.enableReceive();
  return driver;
}

interface Segment {
  readonly sequence: number;
  readonly flags?: number;
  readonly window?: number;
  readonly options?: PacketOptions;
}

/** A segment whose payload is its place in the connection's data, byte by byte. */
function segment({ sequence, flags = ACK, window = 100, options = TCP4 }: Segment): Uint8Array {
  const frame = packet(options), view = new DataView(frame.buffer), l4 = l4Of(options);
  for (let i = headerOf(options); i < frame.length; i++) {
    frame[i] = (sequence + i - headerOf(options)) % 251;
  }
  view.setUint32(l4 + 4, sequence);
  view.setUint32(l4 + 8, sequence + 77);
  view.setUint16(l4 + 12, 5 << 12 | flags);
  view.setUint16(l4 + 14, window);
  view.setUint16(l4 + 16, 0);
  const sum = pseudoSum(options, frame.length - l4);
  view.setUint16(l4 + 16, checksum(frame, l4, frame.length, sum));
  return frame;
}

/** Segments of 1000 bytes that follow each other. */
function segments(count: number, from = 0, options = TCP4): Uint8Array[] {
  const at = (i: number) => from + i * options.payload;
  return Array.from({ length: count }, (_, i) => segment({ sequence: at(i), options }));
}

/** What a driver finds in a descriptor: RSCCNT, DD and EOP, the length, and NEXTP. */
function found(driver: TestDriver, index: number) {
  const [first, , status, length] = driver.words.subarray(RX_RING / 4 + index * 4);
  const next = status & 2 ? -1 : status >>> 4 & 0xffff;
  return [first >>> 17 & 0xf, status & 3, length & 0xffff, next];
}

function receive(driver: TestDriver, ...frames: Uint8Array[]): void {
  driver.wire.waiting.push(...frames);
  driver.nic.poll();
}

Deno.test("Nic.receive() coalesces segments of a connection that follow each other", () => {
  const driver = coalescing();
  receive(driver, ...segments(4), segment({ sequence: 4000, flags: ACK | PUSH, window: 99 }));
  assertEquals([0, 1, 2].map((i) => found(driver, i)), [
    [3, 1, 2048, 1], // two segments begin in it, three in the next
    [4, 1, 2048, 2],
    [1, 3, HEADER + 5000 - 4096, -1],
  ]);
  assertEquals(driver.receiveStatus(3), 0);
  const large = driver.bytes.slice(RX_BUFFERS, RX_BUFFERS + HEADER + 5000);
  const view = new DataView(large.buffer);
  assertEquals(view.getUint16(16), large.length - 14);
  assertEquals(checksum(large, 14, L4), 0, "the IPv4 checksum is right");
  assertEquals([view.getUint32(L4 + 4), view.getUint32(L4 + 8)], [0, 4077]);
  assertEquals([view.getUint16(L4 + 12) & 0xff, view.getUint16(L4 + 14)], [ACK | PUSH, 99]);
  const data = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  assertEquals(large.slice(HEADER), data);
  assertEquals([driver.read(QPRC), driver.read(QBRC_L)], [5, 5 * (HEADER + 1000)]);
  assertEquals(driver.nic.counters.received, 5);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.receive() coalesces connections that alternate, each in its own descriptors", () => {
  const driver = coalescing(), other: PacketOptions = { ...TCP4, ports: [1235, 80] };
  const [a, b] = [segments(3), segments(3, 100, other)];
  receive(driver, ...a.flatMap((frame, i) => [frame, b[i]]));
  assertEquals([0, 1, 2, 3].map((i) => found(driver, i)), [
    [3, 1, 2048, 2],
    [3, 1, 2048, 3],
    [2, 3, HEADER + 3000 - 2048, -1],
    [2, 3, HEADER + 3000 - 2048, -1],
  ]);
  const second = driver.bytes.slice(RX_BUFFERS + 2048 + HEADER, RX_BUFFERS + 4096);
  assertEquals(second, Uint8Array.from({ length: 2048 - HEADER }, (_, i) => (100 + i) % 251));
});

Deno.test("Nic.receive() ends a large packet at a segment that does not continue it", () => {
  const single = [0, 3, HEADER + 1000, -1], pair = [3, 1, 2048, 1];
  const rest = [1, 3, HEADER + 2000 - 2048, -1];
  const wrong = segment({ sequence: 2000 });
  wrong[HEADER] ^= 1;
  const cases: [string, Uint8Array[]][] = [
    ["a gap", [segment({ sequence: 2001 })]],
    ["FIN", [segment({ sequence: 2000, flags: ACK | FIN })]],
    ["a wrong checksum", [wrong]],
    ["another connection", segments(1, 2000, { ...TCP4, ports: [1234, 81] })],
    ["UDP", [packet({ ...TCP4, protocol: "udp", payload: 1012 })]],
  ];
  for (const [name, frames] of cases) {
    const driver = coalescing();
    receive(driver, ...segments(2), ...frames);
    assertEquals([0, 1, 2].map((i) => found(driver, i)), [pair, rest, single], name);
    assertEquals(driver.broken(), []);
  }
});

Deno.test("Nic.receive() does not coalesce across rounds, nor more than RSCCTL allows", () => {
  const driver = coalescing();
  receive(driver, ...segments(1));
  receive(driver, ...segments(1, 1000));
  const single = [0, 3, HEADER + 1000, -1];
  assertEquals([0, 1].map((i) => found(driver, i)), [single, single]);

  const four = coalescing(RSCCTL.RSCEN | 1 << 2);
  receive(four, ...segments(9));
  assertEquals([3, 4].map((i) => found(four, i)), [
    [2, 3, HEADER + 8000 - 3 * 2048, -1],
    [0, 3, HEADER + 1000, -1],
  ]);
  const one = coalescing(RSCCTL.RSCEN);
  const short = { ...TCP4, payload: 100 };
  receive(one, ...segments(16, 0, short));
  assertEquals([0, 1].map((i) => found(one, i)), [
    [15, 3, HEADER + 1400, -1], // 14 packets
    [3, 3, HEADER + 200, -1],
  ]);
});

Deno.test("Nic.receive() does not coalesce if RFCTL.RSC_DIS is set", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.set(RFCTL, RFCTL.RSC_DIS);
  driver.write(RSCCTL, RSCCTL.RSCEN | EIGHT);
  driver.enableReceive();
  receive(driver, ...segments(2));
  assertEquals(found(driver, 0), [0, 3, HEADER + 1000, -1]);
});

Deno.test("Nic records queues that cannot coalesce as RSCCTL says", () => {
  const start = (control: number, split: number, crc = true) => {
    const driver = new TestDriver();
    driver.reset();
    driver.configure();
    driver.write(SRRCTL, split);
    driver.write(RSCCTL, control);
    if (!crc) driver.write(HLREG0, driver.read(HLREG0) & ~HLREG0.RXCRCSTRP);
    driver.set(RXDCTL, RXDCTL.ENABLE);
    return driver.broken();
  };
  const { DESCTYPE_ADVANCED } = SRRCTL, on = RSCCTL.RSCEN;
  assertEquals(start(on | 3 << 2, DESCTYPE_ADVANCED | 3), []);
  assertEquals(start(on | 3 << 2, DESCTYPE_ADVANCED | 4), [
    "RSCCTL[0]: MAXDESC times BSIZEPACKET is less than 64 KB",
  ]);
  assertEquals(start(on, DESCTYPE_ADVANCED | 1), [
    "RSCCTL[0]: RSCEN is set only with advanced descriptors and buffers of 2 KB or more",
  ]);
  assertEquals(start(on, DESCTYPE_ADVANCED | 2, false), [
    "RSCCTL[0]: RXCRCSTRP is set while a queue coalesces",
  ]);
});

/** Returns the packets in a ring from a descriptor on, as a driver gathers them, and the next one. */
function gather(driver: TestDriver, from: number): { packets: Uint8Array[]; next: number } {
  const begun = new Map<number, Uint8Array>(), packets: Uint8Array[] = [];
  let index = from;
  for (; driver.receiveStatus(index) & 1; index = (index + 1) % RING) {
    const [count, status, length, nextOf] = found(driver, index), at = RX_BUFFERS + index * 2048;
    const data = driver.bytes.subarray(at, at + length);
    const whole = Uint8Array.of(...begun.get(index) ?? [], ...data);
    begun.delete(index);
    if (status & 2) packets.push(whole);
    else begun.set(count > 0 ? nextOf : (index + 1) % RING, whole);
  }
  assertEquals(begun.size, 0, "each large packet ends");
  return { packets, next: index };
}

Deno.test("Nic.receive() loses and reorders no byte of connections that it coalesces", () => {
  let seed = 1;
  const random = (below: number) => {
    seed = Math.imul(seed, 1664525) + 1013904223 >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
  const driver = coalescing(), streams = [0, 0, 0, 0], received = [0, 0, 0, 0];
  let at = 0, sent = 0, packets = 0;
  for (let round = 0; round < 200; round++) {
    const frames = Array.from({ length: 1 + random(24) }, () => {
      const stream = random(4), payload = [40, 536, 1448, 4000][random(4)];
      const options: PacketOptions = { ...TCP4, ports: [1000 + stream, 80], payload };
      const flags = random(5) === 0 ? ACK | PUSH : ACK, sequence = streams[stream];
      streams[stream] += payload;
      return segment({ sequence, flags, options });
    });
    sent += frames.length;
    receive(driver, ...frames);
    const found = gather(driver, at);
    for (const packet of found.packets) {
      const view = new DataView(packet.buffer), stream = view.getUint16(L4) - 1000;
      assertEquals(view.getUint32(L4 + 4), received[stream], `round ${round}, stream ${stream}`);
      assertEquals(view.getUint16(16), packet.length - 14);
      for (let i = HEADER; i < packet.length; i++) {
        if (packet[i] !== received[stream]++ % 251) throw new Error(`stream ${stream}, byte ${i}`);
      }
    }
    packets += found.packets.length;
    for (; at !== found.next; at = (at + 1) % RING) driver.fillReceive(at);
    driver.write(RDT, (at + RING - 1) % RING);
  }
  assertEquals(received, streams);
  assertEquals(driver.read(QPRC), sent);
  assertEquals(packets < sent / 2, true, `${sent} segments in ${packets} packets`);
  assertEquals(driver.broken(), []);
});
