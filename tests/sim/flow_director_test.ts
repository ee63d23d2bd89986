/** The NIC model's flow director filters: queues of packets, and reports in descriptors. */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  FDIRCMD,
  FDIRCTRL,
  FDIRHKEY,
  FDIRMATCH,
  FDIRMISS,
  FDIRSKEY,
  RDT,
  RXCSUM,
  RXDCTL,
  RXPBSIZE,
  SRRCTL,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import {
  ADD,
  BUCKET_KEY,
  FILTER,
  FLM,
  FlowDriver,
  flowHash,
  IPV6,
  other,
  PERFECT,
  QUEUE,
  RSS_TYPE,
  SIGNATURE,
  SIGNATURE_KEY,
  tagged,
  TCP,
  UDP,
  UPDATE,
  V4,
  V6,
  words,
} from "../support/flow_director.ts";
import { BROADCAST, frameTo, RING, RX_RING } from "../support/model_driver.ts";
import { packet } from "../support/ip_packets.ts";

/** Results of a card in DPDK's test plan for the 82599. */

Deno.test("FlowDirector finds signatures like a card", () => {
  const driver = FlowDriver.start(SIGNATURE);
  const seen = [
    ["UDP", packet(V4), UDP, 0x143c, 0xe230],
    ["TCP", packet({ ...V4, protocol: "tcp" }), TCP, 0x1b47, 0xbd2b],
    ["IPv4", other(), 0, 0x1681, 0xf3ed],
    ["IPv6 and UDP", packet(V6), IPV6 | UDP, 0x04aa, 0xea83],
  ] as const;
  for (const [name, frame, kind, hash, signature] of seen) {
    assertEquals(driver.take(frame).queue, 0, name);
    driver.command(ADD | kind << 5 | QUEUE << 16, hash, signature & 0x7fff);
    const { queue, type, id, status } = driver.take(frame);
    assertEquals([queue, type & RSS_TYPE, status & FLM], [QUEUE, 15, FLM], name);
    assertEquals([id >>> 16, id & 0xffff], [hash, signature], name);
  }
  assertEquals([driver.read(FDIRMATCH), driver.read(FDIRMISS)], [4, 4]);
  assertEquals([driver.read(FDIRMATCH), driver.read(FDIRMISS)], [0, 0], "cleared by reading");
  assertEquals(driver.broken(), []);
});

Deno.test("FlowDirector finds perfect filters and their hashes like a card", () => {
  const driver = FlowDriver.start(PERFECT | FDIRCTRL.REPORT_STATUS_ALWAYS);
  const missed = driver.take(packet(V4));
  assertEquals([missed.queue, missed.type & RSS_TYPE, missed.status & FLM], [0, 15, 0]);
  assertEquals(missed.id, 0x043c << 16);
  const seen = [
    [packet(V4), FILTER, UDP, 0x43c, 0x14],
    [packet({ ...V4, protocol: "tcp" }), FILTER, TCP, 0x347, 0x15],
    [other(), { ...FILTER, ports: [0, 0] as [number, number] }, 0, 0x681, 0x17],
    [tagged(0xfff), { ...FILTER, vlan: 0xfff, flex: 0x8100 }, UDP, 0x7e9, 0x47],
  ] as const;
  for (const [frame, filter, kind, hash, index] of seen) {
    driver.addPerfect(filter, kind, hash, index);
    const { queue, type, id, status } = driver.take(frame);
    assertEquals([queue, type & RSS_TYPE, status & FLM], [QUEUE, 15, FLM]);
    assertEquals([id >>> 16, id & 0xffff], [hash, index]);
  }
  assertEquals(driver.broken(), []);
});

Deno.test("FlowDirector compares the flexible bytes at FDIRCTRL.FLEX_OFFSET", () => {
  const driver = FlowDriver.start(PERFECT & ~FDIRCTRL.FLEX_OFFSET | 18 << 16);
  const filter = { ...FILTER, ports: [0, 0] as [number, number] };
  driver.addPerfect({ ...filter, flex: 0x01 }, 0, 0x18b, 1);
  driver.addPerfect({ ...filter, flex: 0xff }, 0, 0x3a1, 0xff);
  assertEquals(driver.take(other(0x01)).id, 0x18b << 16 | 1);
  assertEquals(driver.take(other(0xff)).id, 0x3a1 << 16 | 0xff);
  assertEquals(driver.take(other(0x02)).queue, 0);
  driver.initialise(PERFECT | FDIRCTRL.REPORT_STATUS_ALWAYS | FDIRCTRL.FLEX_OFFSET);
  const short = packet({ ...V4, payload: 18 });
  const addresses = words([...V4.source, ...V4.destination]);
  driver.take(packet({ ...V4, payload: 200 }));
  const fields = { addresses, ports: 1024 << 16 | 1024, flex: 0, kind: UDP, vlan: 0 };
  const { id } = driver.take(short);
  assertEquals(
    id >>> 16,
    flowHash(BUCKET_KEY, fields) & 0x7ff,
    "a frame that ends before the flexible bytes",
  );
});

Deno.test("FlowDirector finds the signature of any flow with any keys", () => {
  const driver = FlowDriver.start(SIGNATURE | FDIRCTRL.REPORT_STATUS_ALWAYS | 2);
  const byte = fc.integer({ min: 0, max: 255 }), port = fc.integer({ min: 0, max: 65535 });
  const key = fc.integer({ min: 1, max: 0xffff_ffff });
  const address = (bytes: number) => fc.array(byte, { minLength: bytes, maxLength: bytes });
  const flow = fc.constantFrom(4, 16).chain((bytes) =>
    fc.record({
      source: address(bytes),
      destination: address(bytes),
      protocol: fc.constantFrom("tcp" as const, "udp" as const),
      ports: fc.tuple(port, port),
      payload: fc.constant(20),
    })
  );
  const tag = fc.option(port, { nil: undefined });
  fc.assert(fc.property(flow, tag, key, key, (options, vlan, bucketKey, signatureKey) => {
    driver.initialise(SIGNATURE | FDIRCTRL.REPORT_STATUS_ALWAYS | 2); // 256 KB: 15 bits of the hash
    driver.write(FDIRHKEY, bucketKey);
    driver.write(FDIRSKEY, signatureKey);
    const v4 = options.source.length === 4;
    const kind = (options.protocol === "tcp" ? TCP : UDP) | (v4 ? 0 : IPV6);
    const fields = {
      addresses: [...words(options.source), ...words(options.destination)],
      ports: options.ports[0] << 16 | options.ports[1],
      flex: vlan !== undefined ? 0x8100 : v4 ? 0x0800 : 0x86dd,
      kind,
      vlan: vlan ?? 0,
    };
    const hash = flowHash(bucketKey, fields) & 0x7fff;
    const signature = flowHash(signatureKey, fields) & 0x7fff;
    const frame = vlan === undefined ? packet(options) : tagged(vlan, options);
    const missed = driver.take(frame);
    assertEquals([missed.queue, missed.id], [0, (hash << 16 | signature) >>> 0]);
    driver.command(UPDATE | kind << 5, hash, signature);
    const { queue, id } = driver.take(frame);
    assertEquals([queue, id], [QUEUE, (hash << 16 | 0x8000 | signature) >>> 0]);
  }));
  assertEquals(driver.broken(), []);
});

Deno.test("flowHash() of the tests returns a card's hashes", () => {
  const addresses = words([...V4.source, ...V4.destination]);
  const fields = { addresses, ports: 1024 << 16 | 1024, flex: 0x0800, kind: UDP, vlan: 0 };
  assertEquals(flowHash(BUCKET_KEY, fields) & 0x1fff, 0x143c);
  assertEquals(flowHash(SIGNATURE_KEY, fields) & 0x7fff, 0x6230);
});

Deno.test("FlowDirector counts frames without filter as misses", () => {
  const driver = FlowDriver.start(SIGNATURE);
  const fragment = packet(V4);
  fragment[20] = 0x20; // more fragments
  const fragment6 = packet(V6);
  fragment6[20] = 44;
  const kind = { ports: 0, flex: 0x86dd, kind: IPV6, vlan: 0 };
  const other6 = { ...kind, addresses: words([...V6.source, ...V6.destination]) };
  const [hash, signature] = [BUCKET_KEY, SIGNATURE_KEY].map((key) => flowHash(key, other6));
  driver.command(ADD | IPV6 << 5 | QUEUE << 16, hash & 0x1fff, signature & 0x7fff);
  driver.command(ADD | UDP << 5 | QUEUE << 16, 0x143c, 0x6230);
  driver.command(ADD | QUEUE << 16, 0x1681, 0x73ed); // for packets without ports
  for (const frame of [fragment, fragment6, frameTo(BROADCAST, 60)]) {
    const { queue, status } = driver.take(frame);
    assertEquals([queue, status & FLM], [0, 0]);
  }
  driver.take(packet(V4));
  assertEquals([driver.read(FDIRMATCH), driver.read(FDIRMISS)], [1, 3]);
  driver.set(VLNCTRL, VLNCTRL.VFE);
  driver.take(tagged(5));
  assertEquals(driver.nic.counters.filtered, 1);
  assertEquals(driver.read(FDIRMISS), 0, "a refused frame is neither");
});

Deno.test("FlowDirector does not direct frames of a filter without queue, or while it is off", () => {
  const driver = FlowDriver.start(SIGNATURE & ~FDIRCTRL.REPORT_STATUS);
  driver.command(ADD & ~FDIRCMD.QUEUE_EN | QUEUE << 16, 0x143c, 0x6230);
  const { queue, type, status } = driver.take(packet(V4));
  assertEquals([queue, type & RSS_TYPE, status & FLM], [0, 0, FLM]);
  driver.initialise(SIGNATURE);
  assertEquals(driver.take(packet(V4)).status & FLM, 0, "the table is new");
  driver.write(FDIRCTRL, 0);
  driver.read(FDIRMISS);
  driver.take(packet(V4));
  assertEquals(driver.read(FDIRMISS), 0);
});

Deno.test("FlowDirector counts a packet that waits for a descriptor once, and reports it", () => {
  const driver = FlowDriver.start(SIGNATURE);
  driver.write(SRRCTL, driver.read(SRRCTL) & ~SRRCTL.DROP_EN);
  driver.command(ADD & ~FDIRCMD.QUEUE_EN, 0x143c, 0x6230);
  for (let i = 0; i < RING; i++) driver.wire.waiting.push(packet(V4));
  while (driver.wire.waiting.length > 0) driver.nic.poll();
  assertEquals(driver.receiveStatus(RING - 1), 0, "a ring keeps one descriptor back");
  driver.fillReceive(0);
  driver.write(RDT, 0);
  driver.nic.poll();
  assertEquals(driver.receiveStatus(RING - 1) & FLM, FLM);
  assertEquals([driver.read(FDIRMATCH), driver.read(FDIRMISS)], [RING, 0]);
});

Deno.test("FlowDirector does not change legacy descriptors", () => {
  const driver = FlowDriver.start(SIGNATURE, { legacy: true });
  driver.command(ADD & ~FDIRCMD.QUEUE_EN, 0x143c, 0x6230);
  driver.wire.waiting.push(packet(V4));
  driver.nic.poll();
  assertEquals(driver.read(FDIRMATCH), 1);
  assertEquals(driver.words[RX_RING / 4 + 3] & (1 | FLM), 1);
});

Deno.test("FlowDirector compares the ports of SCTP, if a packet has them", () => {
  const driver = FlowDriver.start(SIGNATURE | FDIRCTRL.REPORT_STATUS_ALWAYS);
  const addresses = words([...V4.source, ...V4.destination]);
  const whole = packet(V4), cut = packet({ ...V4, payload: 18 }).slice(0, 34);
  whole[23] = cut[23] = 132;
  new DataView(cut.buffer).setUint16(16, 20); // only the IP header, and padding
  const padded = new Uint8Array(60).fill(7, 34);
  padded.set(cut);
  const fields = { addresses, ports: 1024 << 16 | 1024, flex: 0x0800, kind: 3, vlan: 0 };
  assertEquals(driver.take(whole).id >>> 16, flowHash(BUCKET_KEY, fields) & 0x1fff);
  assertEquals(driver.take(padded).id >>> 16, 0x1681);
});

Deno.test("FlowDirector reports no id while RXCSUM.PCSD is 0, and needs no other settings", () => {
  const driver = FlowDriver.start(SIGNATURE);
  driver.write(RXCSUM, 0);
  driver.command(UPDATE, 0x143c, 0x6230);
  const { queue, type, id, status } = driver.take(packet(V4));
  assertEquals([queue, type & RSS_TYPE, id, status & FLM], [QUEUE, 0, 0, FLM]);
});

Deno.test("FlowDirector is off after a reset, and may be initialised again", () => {
  const driver = FlowDriver.start(SIGNATURE);
  driver.write(RXDCTL, 0);
  driver.write(RXDCTL, 0, QUEUE);
  driver.reset();
  driver.configure();
  driver.write(RXPBSIZE, 128 << 10);
  driver.enableTransmit();
  driver.enableReceive();
  driver.wire.waiting.push(packet(V4));
  driver.nic.poll();
  assertEquals([driver.nic.counters.received, driver.read(FDIRMISS)], [1, 0]);
  driver.write(FDIRCTRL, SIGNATURE);
  assertEquals(driver.broken(), []);
  driver.command(ADD, 1, 1);
  assertEquals(driver.broken(), ["FDIRCMD: a command comes after FDIRCTRL.INIT_DONE was seen"]);
});
