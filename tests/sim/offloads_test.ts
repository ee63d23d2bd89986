/** The offloads of the NIC model: checksums, segments, tags, hashes. */

import { assertEquals } from "@std/assert";
import {
  ERETA,
  MRQC,
  RETA,
  RSSRK,
  RXCSUM,
  RXDCTL,
  TDH,
  TDT,
  TXDCTL,
  VFTA,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { sctpChecksum } from "../../sim/frames/crc32c.ts";
import { ReceiveOffloads } from "../../sim/rx/offloads.ts";
import { RegisterFile } from "../../sim/registers/register_file.ts";
import { Rules } from "../../sim/registers/rules.ts";
import { RX_BUFFERS, RX_RING, TestDriver, TX_BUFFERS, TX_RING } from "../support/model_driver.ts";
import { headerOf, l4Of, packet, type PacketOptions, pseudoSum } from "../support/ip_packets.ts";

// Microsoft's verification suite for receive side scaling: a key, and hashes of addresses.
const KEY = "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa";
const PORTS = [2794, 1766] as const;
const V4: PacketOptions = {
  source: [66, 9, 149, 187],
  destination: [161, 142, 100, 80],
  protocol: "tcp",
  ports: PORTS,
  payload: 100,
};
const V6: PacketOptions = {
  ...V4,
  source: [0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7],
  destination: [0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1],
};
const PACKETS = [V4, { ...V4, protocol: "udp" as const }, V6, { ...V6, protocol: "udp" as const }];
const UDPV = 1 << 10;
const VP = 1 << 3, UDPCS = 1 << 4, L4I = 1 << 5, IPCS = 1 << 6, L4E = 1 << 30, IPE = 1 << 31;
const EOP = 1 << 24, IFCS = 1 << 25, RS = 1 << 27, DEXT = 1 << 29, VLE = 1 << 30, TSE = 1 << 31;
const TSTAMP = 1 << 19, DATA = 3 << 20, CONTEXT = 2 << 20, IXSM = 1 << 8, TXSM = 1 << 9;

function offloads(
  fields: number,
  file = new RegisterFile(),
  control = RXCSUM.PCSD,
  large = false,
): ReceiveOffloads {
  const key = new DataView(Uint8Array.fromHex(KEY).buffer);
  for (let i = 0; i < RSSRK.count; i++) file.set(RSSRK, key.getUint32(i * 4, true), i);
  for (let i = 0; i < RETA.count; i++) file.set(RETA, 0x03020100 + (i & 3) * 0x04040404, i);
  file.set(MRQC, fields === 0 ? 0 : 1 | fields);
  file.set(RXCSUM, control);
  const made = new ReceiveOffloads({ file, rules: new Rules() }, large);
  made.load();
  return made;
}

/** Sends a context descriptor and one buffer with a frame; returns the sent frames. */
function send(
  driver: TestDriver,
  options: PacketOptions,
  frame: Uint8Array,
  { command = 0, mss = 0, tag = 0, l4t = Number(options.protocol === "tcp") }: {
    command?: number;
    mss?: number;
    tag?: number;
    l4t?: number;
  },
): Uint8Array[] {
  const l4 = l4Of(options), header = headerOf(options), context = TX_RING / 4, data = context + 4;
  const v4 = options.source.length === 4;
  driver.words[context] = tag << 16 | 14 << 9 | l4 - 14;
  driver.words[context + 2] = DEXT | CONTEXT | (v4 ? 1 << 10 : 0) | l4t << 11;
  driver.words[context + 3] = mss << 16 | (header - l4) << 8;
  driver.bytes.set(frame, TX_BUFFERS);
  driver.fillTransmit(1, frame.length, EOP | IFCS | RS | DEXT | DATA | command);
  const payload = command & TSE ? frame.length - header : frame.length;
  driver.words[data + 3] = payload << 14 | TXSM | (v4 ? IXSM : 0);
  // fillTransmit() has given buffer 1; the frame may be longer than 2 KB, and is at 0.
  driver.words[data] -= 2048;
  driver.write(TDT, 2);
  driver.nic.poll();
  return driver.wire.sent;
}

/** A packet as a driver gives it: without IPv4 checksum, with the sum of the pseudo header. */
function unfinished(options: PacketOptions, length: number): Uint8Array {
  const frame = packet(options), view = new DataView(frame.buffer);
  if (options.source.length === 4) view.setUint16(24, 0);
  const at = l4Of(options) + (options.protocol === "tcp" ? 16 : 6);
  view.setUint16(at, pseudoSum(options, length));
  return frame;
}

Deno.test("ReceiveOffloads hashes like Microsoft's verification suite", () => {
  const all = MRQC.RSS_IPV4 | MRQC.RSS_TCP_IPV4 | MRQC.RSS_IPV6 | MRQC.RSS_TCP_IPV6;
  const expected = [
    [V4, all, 0x51ccc178, 1],
    [V4, MRQC.RSS_IPV4, 0x323e8fc2, 2],
    [V6, all, 0x40207d3d, 3],
    [V6, MRQC.RSS_IPV6, 0x2cc18cd5, 5],
    [V4, MRQC.RSS_IPV6, 0, 0],
  ] as const;
  for (const [options, fields, hash, type] of expected) {
    const found = offloads(fields), frame = packet(options);
    found.inspect(frame, frame.length);
    assertEquals([found.hash >>> 0, found.type & 0xf], [hash, type]);
    assertEquals(found.queue, hash === 0 ? 0 : hash & 0xf, "RETA holds 0 to 15, again and again");
  }
});

Deno.test("ReceiveOffloads of an X550 uses nine bits of the hash", () => {
  const file = new RegisterFile(), frame = packet(V4);
  for (let i = 0; i < ERETA.count; i++) file.set(ERETA, 0x3f3f3f3f, i);
  for (const [large, queue] of [[false, 2], [true, 0x3f]] as const) {
    const made = offloads(MRQC.RSS_IPV4, file, RXCSUM.PCSD, large);
    made.inspect(frame, frame.length);
    assertEquals([(made.hash >>> 0) % 512, made.queue], [0x1c2, queue]);
  }
});

Deno.test("ReceiveOffloads tells right checksums from wrong ones", () => {
  for (const options of PACKETS) {
    const found = offloads(0), frame = packet(options), l4 = l4Of(options);
    const v4 = options.source.length === 4, udp = options.protocol === "udp";
    const good = L4I | (v4 ? IPCS : 0) | (udp ? UDPCS : 0);
    found.inspect(frame, frame.length);
    assertEquals(found.status, good);
    frame[frame.length - 1] ^= 1;
    found.inspect(frame, frame.length);
    assertEquals(found.status, good | L4E);
    frame[frame.length - 1] ^= 1;
    if (v4) {
      frame[22] ^= 1; // the pseudo header does not include the time to live
      found.inspect(frame, frame.length);
      assertEquals(found.status, good | IPE);
    }
    if (v4 && udp) {
      frame.fill(0, l4 + 6, l4 + 8);
      found.inspect(frame, frame.length);
      assertEquals(found.status & (L4I | L4E), 0, "the sender made no checksum");
    } else if (udp) {
      frame.fill(0, l4 + 6, l4 + 8);
      found.inspect(frame, frame.length);
      assertEquals(found.status, good | L4E, "IPv6 has to have a checksum");
    }
  }
});

Deno.test("ReceiveOffloads spreads by the hash, but does not report it while RXCSUM.PCSD is 0", () => {
  for (const control of [0, RXCSUM.IPPCSE]) {
    const found = offloads(MRQC.RSS_TCP_IPV4, undefined, control), frame = packet(V4);
    found.inspect(frame, frame.length);
    assertEquals([found.hash, found.type & 0xf, found.queue], [0, 0, 0x8]);
  }
});

/** Returns a datagram in IPv4 fragments of 64 bytes of payload. */
function fragments(datagram: Uint8Array): Uint8Array[] {
  const payload = datagram.subarray(34), all: Uint8Array[] = [];
  for (let from = 0; from < payload.length; from += 64) {
    const part = payload.subarray(from, from + 64);
    const frame = Uint8Array.of(...datagram.subarray(0, 34), ...part);
    const view = new DataView(frame.buffer);
    view.setUint16(16, 20 + part.length);
    view.setUint16(20, from / 8 | (from + 64 < payload.length ? 0x2000 : 0));
    view.setUint16(24, 0);
    view.setUint16(24, checksum(frame, 14, 34));
    all.push(frame);
  }
  return all;
}

Deno.test("ReceiveOffloads sums the fragments of a UDP datagram if RXCSUM.IPPCSE is set", () => {
  const options: PacketOptions = { ...V4, protocol: "udp", payload: 151 };
  const datagram = packet(options), all = fragments(datagram);
  assertEquals(all.length, 3);
  const found = offloads(MRQC.RSS_IPV4, undefined, RXCSUM.IPPCSE);
  let sum = pseudoSum(options, 8 + 151);
  for (const frame of all) {
    found.inspect(frame, frame.length);
    assertEquals(found.status, IPCS | UDPV);
    assertEquals([found.hash & 0xffff, found.type], [0x1234, 1 << 4]);
    sum += found.hash >>> 16;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  assertEquals(sum, 0xffff);

  const [unsummed] = fragments(datagram.fill(0, 40, 42));
  found.inspect(unsummed, unsummed.length);
  assertEquals([found.status, found.hash], [IPCS, 0x1234], "the sender made no checksum");
  const tcp = fragments(packet(V4))[0];
  found.inspect(tcp, tcp.length);
  assertEquals([found.status, found.hash], [IPCS, 0], "only UDP fragments are summed");
  const hashed = offloads(MRQC.RSS_IPV4, undefined, RXCSUM.IPPCSE | RXCSUM.PCSD);
  hashed.inspect(all[0], all[0].length);
  assertEquals([hashed.status, hashed.hash >>> 0, hashed.type & 0xf], [IPCS, 0x323e8fc2, 2]);
});

Deno.test("ReceiveOffloads inspects cut and random frames without an error", () => {
  const found = offloads(0xffff_0000);
  for (let n = 0; n < 2000; n++) {
    const frame = packet(PACKETS[n % 4]);
    for (let i = 0; i < 3; i++) frame[12 + (n * 7 + i * 11) % 60] = n * 31 + i;
    const length = 60 + n % (frame.length - 59);
    found.inspect(frame, length);
    assertEquals(found.queue >= 0 && found.queue < 16, true);
  }
});

Deno.test("Nic.receive() strips VLAN tags if RXDCTL.VME is set, and filters by them", () => {
  const driver = TestDriver.ready();
  const plain = packet(V4);
  const tagged = (id: number) => {
    const tag = [0x81, 0x00, 0x60 | id >> 8, id & 0xff];
    return Uint8Array.of(...plain.subarray(0, 12), ...tag, ...plain.subarray(12));
  };
  driver.set(VLNCTRL, VLNCTRL.VFE);
  driver.write(VFTA, 1 << (5 & 31), 0);
  driver.set(RXDCTL, RXDCTL.VME);
  driver.wire.waiting.push(tagged(5), tagged(6), plain);
  driver.nic.poll();
  assertEquals(driver.nic.counters, {
    received: 2,
    missed: 0,
    filtered: 1,
    ignored: 0,
    transmitted: 0,
  });
  for (const [n, tag] of [[0, 0x6005], [1, 0]]) {
    const at = RX_RING / 4 + n * 4;
    assertEquals(driver.words[at + 3], tag << 16 | plain.length);
    assertEquals((driver.words[at + 2] & VP) !== 0, tag !== 0);
    const from = RX_BUFFERS + n * 2048;
    assertEquals(driver.bytes.slice(from, from + plain.length), plain);
  }
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.poll() inserts checksums and tags", () => {
  for (const options of PACKETS) {
    const whole = packet(options);
    const frame = unfinished(options, whole.length - l4Of(options));
    assertEquals(send(TestDriver.ready(), options, frame, {}), [whole]);
    const driver = TestDriver.ready();
    const [tagged] = send(driver, options, frame, { command: VLE, tag: 0x2007 });
    const tag = [0x81, 0x00, 0x20, 0x07];
    assertEquals(tagged, Uint8Array.of(...whole.subarray(0, 12), ...tag, ...whole.subarray(12)));
    assertEquals(driver.broken(), []);
  }
});

/** An SCTP packet with 20 bytes of payload, over IPv4 or IPv6; its checksum is 0. */
function sctp(v4: boolean): { bytes: Uint8Array; l4: number } {
  const options: PacketOptions = { ...(v4 ? V4 : V6), payload: 12 };
  const bytes = packet(options), view = new DataView(bytes.buffer), l4 = l4Of(options);
  bytes[v4 ? 23 : 20] = 132;
  if (v4) {
    view.setUint16(24, 0);
    view.setUint16(24, checksum(bytes, 14, l4));
  }
  bytes.fill(0, l4);
  bytes.set([0, 9, 0, 9], l4);
  for (let i = l4 + 12; i < bytes.length; i++) bytes[i] = i;
  return { bytes, l4 };
}

// RFC 3720, appendix B.4: CRC32c of 32 bytes of 0.
Deno.test("sctpChecksum() is CRC32c", () => {
  assertEquals(sctpChecksum(new Uint8Array(32), 0, 32) >>> 0, 0x8a9136aa);
  const ones = new Uint8Array(32).fill(0xff);
  ones.fill(0, 8, 12);
  const other = ones.slice().fill(0x12, 8, 12);
  assertEquals(sctpChecksum(ones, 0, 32), sctpChecksum(other, 0, 32), "without its own field");
});

Deno.test("ReceiveOffloads checks SCTP checksums", () => {
  for (const v4 of [true, false]) {
    const found = offloads(0), { bytes, l4 } = sctp(v4), view = new DataView(bytes.buffer);
    const ip = v4 ? IPCS : 0;
    found.inspect(bytes, bytes.length);
    assertEquals(found.status, ip | L4I | L4E);
    view.setUint32(l4 + 8, sctpChecksum(bytes, l4, bytes.length), true);
    found.inspect(bytes, bytes.length);
    assertEquals([found.status, found.type], [ip | L4I, 1 << 10 | (v4 ? 1 << 4 : 1 << 6)]);
  }
});

Deno.test("Nic.poll() inserts SCTP checksums, but does not segment SCTP", () => {
  for (const v4 of [true, false]) {
    const { bytes, l4 } = sctp(v4), expected = bytes.slice();
    new DataView(expected.buffer).setUint32(l4 + 8, sctpChecksum(bytes, l4, bytes.length), true);
    if (v4) bytes.fill(0, 24, 26); // the IPv4 checksum is inserted, too
    const options = v4 ? V4 : V6, l4t = 2;
    const driver = TestDriver.ready();
    assertEquals(send(driver, options, bytes, { l4t }), [expected]);
    assertEquals(driver.broken(), []);
    const other = TestDriver.ready();
    assertEquals(send(other, options, bytes, { l4t, command: TSE, mss: 100 }), []);
    assertEquals(other.broken(), ["TDT[0]: segments are of TCP or UDP"]);
  }
});

Deno.test("Nic.poll() cuts transmissions into segments, each with a header", () => {
  const mss = 700, payload = 3 * mss + 1;
  for (const packetOptions of PACKETS) {
    const options = { ...packetOptions, payload };
    const header = headerOf(options), l4 = l4Of(options), v4 = options.source.length === 4;
    const driver = TestDriver.ready();
    const frame = unfinished(options, 0);
    const sent = send(driver, options, frame, { command: TSE, mss });
    assertEquals(driver.broken(), []);
    assertEquals(
      sent.map(({ length }) => length),
      [mss, mss, mss, 1].map((n) => header + n)
        .map((n) => Math.max(n, 60)),
    );
    const found = offloads(0);
    sent.forEach((segment, n) => {
      const view = new DataView(segment.buffer);
      found.inspect(segment, segment.length);
      assertEquals(found.status & (L4I | L4E | IPE), L4I, `segment ${n}`);
      const bytes = n < 3 ? mss : 1;
      const from = header + n * mss;
      assertEquals(segment.slice(header, header + bytes), frame.slice(from, from + bytes));
      if (v4) assertEquals(view.getUint16(18), 0x1234 + n);
      if (options.protocol === "udp") return;
      assertEquals(view.getUint32(l4 + 4), (0xffff_ff00 + n * mss) >>> 0);
      // With the masks' reset values only the last segment has PSH and FIN, and it has no CWR.
      assertEquals(view.getUint16(l4 + 12) & 0xff, n < 3 ? 0x90 : 0x19);
    });
  }
});

Deno.test("Nic.poll() sends at most 64 segments of a queue in a round, and reports the last", () => {
  const options = { ...V4, payload: 150 };
  for (const [mss, rounds] of [[1, [64, 128, 150, 150]], [2, [64, 75, 75, 75]]] as const) {
    const driver = TestDriver.ready();
    const done = () => driver.words[TX_RING / 4 + 7] & 1;
    driver.fillTransmit(2, 60);
    const found: number[] = [], reported: number[] = [];
    send(driver, options, unfinished(options, 0), { command: TSE | TSTAMP, mss });
    for (const _ of rounds) {
      found.push(driver.wire.sent.length);
      reported.push(done());
      driver.nic.poll();
    }
    assertEquals(found, rounds);
    assertEquals(reported, rounds.map((n) => Number(n === rounds.at(-1))));
    assertEquals(driver.broken(), []);
    const payload = driver.wire.sent.map((bytes) => [...bytes.slice(54, 54 + mss)]).flat();
    assertEquals(payload, [...unfinished(options, 0).slice(54)]);
    // The next frame follows.
    driver.write(TDT, 3);
    driver.nic.poll();
    assertEquals(driver.wire.sent.length, rounds[3] + 1);
  }
});

Deno.test("A transmission to segment ends with its queue", () => {
  const options = { ...V4, payload: 150 };
  const driver = TestDriver.ready();
  send(driver, options, unfinished(options, 0), { command: TSE, mss: 1 });
  driver.write(TXDCTL, 0);
  driver.nic.poll();
  assertEquals(driver.wire.sent.length, 64);
  driver.write(TDT, 0);
  driver.write(TDH, 0);
  driver.set(TXDCTL, TXDCTL.ENABLE);
  driver.fillTransmit(0, 61);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(driver.wire.sent.slice(64).map(({ length }) => length), [61]);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.poll() records an offload request without context descriptor", () => {
  const driver = TestDriver.ready();
  driver.fillTransmit(0, 100, EOP | IFCS | RS | DEXT | DATA);
  driver.words[TX_RING / 4 + 3] |= TXSM;
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(driver.broken(), ["TDT[0]: a context descriptor comes before its use"]);
  assertEquals(driver.wire.sent, []);
});

Deno.test("Nic.poll() inserts the checksum and tag that a legacy descriptor requests", () => {
  const options = PACKETS[1], whole = packet(options), l4 = l4Of(options);
  const frame = unfinished(options, whole.length - l4);
  frame.set(whole.subarray(24, 26), 24); // a legacy descriptor requests one checksum
  const EOP_IFCS_IC_RS = 0x0f000000, cso = l4 + 6;
  const send = (command: number, css: number, tag = 0) => {
    const driver = TestDriver.ready();
    driver.bytes.set(frame, TX_BUFFERS);
    driver.fillTransmit(0, frame.length, EOP_IFCS_IC_RS | command);
    driver.words[TX_RING / 4 + 3] = tag << 16 | css << 8;
    driver.write(TDT, 1);
    driver.nic.poll();
    return driver;
  };
  assertEquals(send(cso << 16, l4).wire.sent, [whole]);
  const tag = [0x81, 0x00, 0x20, 0x07];
  assertEquals(send(cso << 16 | VLE, l4, 0x2007).wire.sent, [
    Uint8Array.of(...whole.subarray(0, 12), ...tag, ...whole.subarray(12)),
  ]);
  assertEquals(send(cso << 16, 200).broken(), ["TDT[0]: CSS and CSO are inside the frame"]);
});
