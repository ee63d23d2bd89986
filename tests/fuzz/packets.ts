/**
 * Packets from the network: any bytes, and packets changed in some. The responder answers only to the
 * sender, the summary is one line, and the checker of numbered packets counts each packet once.
 *
 * @module
 */

import fc from "fast-check";
import { Mempool, PacketBatch } from "../../mod.ts";
import { checksum } from "../../packets/checksum.ts";
import { Responder } from "../../packets/responder.ts";
import { summarize } from "../../packets/summary.ts";
import { UdpStream } from "../../packets/udp_stream.ts";
import { packet } from "../support/ip_packets.ts";
import { type Fuzzer, holds, type Target, values } from "./target.ts";

const BUFFER = 2048, MAX_BYTES = 200;
const OLD = 0xee;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0xaa), IP = Uint8Array.of(192, 0, 2, 9);
const ASKER = "0200000000bb";

/** Packets to change: requests by ARP and ICMP, and packets of all protocols with a summary. */
const SEEDS: readonly Uint8Array[] = [
  `ffffffffffff${ASKER}08060001080006040001${ASKER}c0000201000000000000c0000209${"00".repeat(18)}`,
  `0200000000aa${ASKER}08004500001c000000004001f6d6c0000201c00002090800f7ff00000000${
    "00".repeat(18)
  }`,
  `ffffffffffff${ASKER}810020050800450000540000400040010000c0000201c6336402080000000102000700000000`,
  `ffffffffffff${ASKER}86dd6000000000183aff${
    "20010db8000000000000000000000001".repeat(2)
  }8100000000010002`,
  `ffffffffffff${ASKER}86dd60000000001800ff${
    "20010db8000000000000000000000001".repeat(2)
  }2c00000000000000` +
  "06000000000000010050001f90",
].map((digits) => Uint8Array.fromHex(digits.slice(0, digits.length & ~1))).concat(
  (["tcp", "udp"] as const).map((protocol) =>
    packet({
      source: [192, 0, 2, 1],
      destination: [192, 0, 2, 9],
      protocol,
      ports: [7, 9],
      payload: 20,
    })
  ),
);

/** Packets as hexadecimal digits. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: MAX_BYTES }),
  fc.tuple(
    fc.constantFrom(...SEEDS),
    fc.array(fc.tuple(fc.nat(MAX_BYTES), fc.nat(255)), { maxLength: 4 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant(MAX_BYTES) }, fc.nat(MAX_BYTES)),
  ).map(([seed, changes, end]) => {
    const copy = seed.slice(0, end) as Uint8Array<ArrayBuffer>;
    for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
    return copy;
  }),
).map((bytes) => bytes.toHex());

/** Packets, and whether their checksums are made right. */
const cases = fc.tuple(bytes, fc.boolean());

/** Writes the checksums that an IPv4 packet with ICMP needs, whatever lengths its headers have. */
function seal(buffer: Uint8Array): void {
  const start = 14 + (buffer[14] & 15) * 4, end = 14 + (buffer[16] << 8 | buffer[17]);
  const put = (from: number, to: number, at: number) => {
    if (to <= from || to > buffer.length) return;
    buffer.fill(0, at, at + 2);
    const sum = checksum(buffer, from, to);
    buffer.set([sum >> 8, sum & 0xff], at);
  };
  put(14, start, 24);
  put(start, end, start + 2);
}

function openPackets(): Fuzzer {
  const pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool, 2);
  const buffer = new Uint8Array(BUFFER);

  function answer(packet: Uint8Array, sealed: boolean): void {
    buffer.fill(OLD);
    buffer.set(packet);
    if (sealed) seal(buffer);
    packet = buffer.slice(0, packet.length);
    const before = buffer.slice();
    const responder = new Responder(MAC, IP);
    const kind = responder.answer(buffer, packet.length);
    if (kind === "ignored") {
      const same = before.every((byte, i) => buffer[i] === byte);
      holds(same, "a packet that is ignored stays as it is");
      return;
    }
    const { length } = responder, answer = buffer.subarray(0, length);
    holds(
      length <= Math.max(packet.length, 60),
      `an answer of ${length} bytes to ${packet.length}`,
    );
    holds(
      packet.slice(6, 12).every((byte, i) => answer[i] === byte),
      "the answer is to the sender",
    );
    holds((answer[0] & 1) === 0, "the answer is to one station");
    holds(MAC.every((byte, i) => answer[6 + i] === byte), "the answer is from the responder");
  }

  /** Passes a packet of the stream, changed in the same places, and the packet to the checker. */
  function verify(packet: Uint8Array): void {
    const stream = new UdpStream(pool, 64, MAC);
    stream.fill(batch, Infinity);
    const [own] = batch, length = Math.min(packet.length, own.length);
    for (let i = 0; i < length; i++) if (packet[i] & 1) own[i] ^= packet[i] >> 1;
    batch.drop(1);
    if (packet.length > 0) batch.add(packet);
    const n = batch.length;
    stream.verify(batch);
    const { missing, duplicate, foreign } = stream.counts(2);
    const sum = 2 - missing + duplicate + foreign; // the first: received, or counted as corrupt
    holds(sum === n, `${sum} of ${n} packets are counted`);
    batch.free();
    holds(pool.freeCount === pool.buffers, "the checker keeps no buffer");
  }

  return values({
    arbitrary: cases,
    run([hex, sealed]) {
      const packet = Uint8Array.fromHex(hex);
      answer(packet, sealed);
      const summary = summarize(packet);
      holds(summary.length > 0 && !/\n|undefined|NaN/.test(summary), `the summary: ${summary}`);
      for (let end = 0; end < packet.length; end += 7) summarize(packet.subarray(0, end));
      verify(packet);
    },
    runs: 1000,
    close: () => pool[Symbol.dispose](),
  });
}

/** The target. */
export const PACKETS: Target = {
  name: "packets",
  about: "packets from the network for responder, summary and checker",
  attempts: 5,
  open: openPackets,
};
