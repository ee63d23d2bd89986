/** The NIC model's filters that assign protocols and flows to queues (82599, section 7.1.2). */

import { assertEquals } from "@std/assert";
import {
  DAQF,
  ETQF,
  ETQS,
  FTQF,
  L34TIMIR,
  MRQC,
  RETA,
  RXCSUM,
  SAQF,
  SDPQF,
  SYNQF,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { RegisterFile } from "../../sim/registers/register_file.ts";
import { Rules } from "../../sim/registers/rules.ts";
import { ReceiveOffloads } from "../../sim/rx/offloads.ts";
import { STATION, TestDriver } from "../support/model_driver.ts";
import { l4Of, packet, type PacketOptions } from "../support/ip_packets.ts";

const TCP4: PacketOptions = {
  source: [10, 1, 2, 3],
  destination: [192, 168, 7, 8],
  protocol: "tcp",
  ports: [4321, 443],
  payload: 20,
};
const UDP4: PacketOptions = { ...TCP4, protocol: "udp" };
const TCP6: PacketOptions = {
  ...TCP4,
  source: [0xfd, 1, ...new Array(14).fill(0)],
  destination: [0xfd, 2, ...new Array(14).fill(0)],
};
/** The queue of receive side scaling: not 0, so that the default is not taken for it. */
const RSS_QUEUE = 9;
const LLDP = 0x88cc, PTP = 0x88f7;
const TCP = 0, UDP = 1, SCTP = 2, OTHER = 3;
/** FTQF.MASK: fields that are not compared. */
const SOURCE = 1, DESTINATION = 2, SOURCE_PORT = 4, DESTINATION_PORT = 8, PROTOCOL = 16;
const ALL = 31;

/** The filters' registers. */
class Filters {
  readonly rules = new Rules();
  readonly #file = new RegisterFile();

  set(register: Register, value: number, index = 0): this {
    this.#file.set(register, value >>> 0, index);
    return this;
  }

  /** Spreads all packets to one queue by their hash. */
  rss(): this {
    for (let i = 0; i < RETA.count; i++) this.set(RETA, RSS_QUEUE * 0x01010101, i);
    const fields = MRQC.RSS_IPV4 | MRQC.RSS_IPV6 | MRQC.RSS_TCP_IPV4 | MRQC.RSS_TCP_IPV6;
    return this.set(MRQC, 1 | fields).set(RXCSUM, RXCSUM.PCSD);
  }

  etherType(index: number, type: number, queue: number, more = 0): this {
    this.set(ETQF, ETQF.FILTER_ENABLE | type | more, index);
    return this.set(ETQS, queue < 0 ? 0 : ETQS.QUEUE_ENABLE | queue << 16, index);
  }

  syn(queue: number, more = 0): this {
    return this.set(SYNQF, SYNQF.QUEUE_ENABLE | queue << 1 | more);
  }

  /** Sets a filter for the flow of {@linkcode TCP4}, or parts of it. */
  flow(index: number, queue: number, { mask = 0, protocol = TCP, priority = 1 } = {}): this {
    const word = (bytes: readonly number[]) =>
      bytes.reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
    const port = (number: number) => [number >>> 8, number & 0xff];
    this.set(SAQF, word(TCP4.source), index).set(DAQF, word(TCP4.destination), index);
    this.set(SDPQF, word(TCP4.ports.flatMap(port)), index);
    this.set(L34TIMIR, queue << 21, index);
    const enable = FTQF.QUEUE_ENABLE | FTQF.POOL_MASK;
    return this.set(FTQF, enable | mask << 25 | priority << 2 | protocol, index);
  }

  inspect(frame: Uint8Array): ReceiveOffloads {
    const offloads = new ReceiveOffloads({ file: this.#file, rules: this.rules }, false);
    offloads.load();
    assertEquals(offloads.active, true);
    offloads.inspect(frame, frame.length);
    return offloads;
  }

  queueOf(packetOrFrame: PacketOptions | Uint8Array): number {
    const frame = packetOrFrame instanceof Uint8Array ? packetOrFrame : packet(packetOrFrame);
    return this.inspect(frame).queue;
  }

  broken(): string[] {
    return this.rules.violations.map(({ register, rule }) => `${register}: ${rule}`);
  }
}

function frameOf(type: number, tag?: number): Uint8Array {
  const header = tag === undefined ? [] : [0x81, 0, tag >>> 8, tag & 0xff];
  const frame = new Uint8Array(60);
  frame.set([...header, type >>> 8, type & 0xff], 12);
  return frame;
}

function syn(options: PacketOptions): Uint8Array {
  const frame = packet(options);
  frame[l4Of(options) + 13] |= 2;
  return frame;
}

/** Returns a packet with another protocol in its IPv4 header; its checksum is not right. */
function withProtocol(protocol: number): Uint8Array {
  const frame = packet(UDP4);
  frame[23] = protocol;
  return frame;
}

Deno.test("ETQF assigns an EtherType to a queue, and names its filter in the packet type", () => {
  const filters = new Filters().rss().etherType(5, LLDP, 70);
  const found = filters.inspect(frameOf(LLDP));
  assertEquals([found.queue, found.type], [70, 1 << 15 | 5 << 4]);
  assertEquals(filters.queueOf(frameOf(PTP)), 0);
  assertEquals(filters.queueOf(TCP4), RSS_QUEUE);
  assertEquals(filters.queueOf(frameOf(LLDP, 3)), 70);
  assertEquals(filters.broken(), []);
});

Deno.test("ETQF without ETQS.QUEUE_ENABLE only names its filter", () => {
  const found = new Filters().etherType(3, PTP, -1, ETQF.IEEE_1588).inspect(frameOf(PTP));
  assertEquals([found.queue, found.type], [0, 1 << 15 | 3 << 4]);
});

Deno.test("ETQF.UP_EN compares the user priority for the queue, not for the packet type", () => {
  const filters = new Filters().etherType(1, LLDP, 7, ETQF.UP_EN | 5 << 16);
  for (const [tag, queue] of [[5 << 13, 7], [4 << 13, 0], [undefined, 0]]) {
    const { queue: found, type } = filters.inspect(frameOf(LLDP, tag));
    assertEquals([found, type], [queue, 1 << 15 | 1 << 4]);
  }
});

Deno.test("ETQF for IP breaks a rule, and ETQS.LLI is not modelled", () => {
  const filters = new Filters().etherType(0, 0x800, 3).etherType(1, LLDP, 3);
  filters.set(ETQS, ETQS.QUEUE_ENABLE | ETQS.LLI, 1).queueOf(frameOf(LLDP));
  assertEquals(filters.broken(), [
    "ETQF[0]: not the EtherType of IP",
    "ETQS[1]: no low latency interrupt (not modelled)",
  ]);
});

Deno.test("ETQF: filters that one packet could match break a rule", () => {
  const filters = new Filters().etherType(0, LLDP, 1, ETQF.UP_EN | 1 << 16)
    .etherType(1, LLDP, 2, ETQF.UP_EN | 2 << 16);
  assertEquals([1, 2].map((up) => filters.queueOf(frameOf(LLDP, up << 13))), [1, 2]);
  assertEquals(filters.broken(), []);
  filters.etherType(4, LLDP, 3).queueOf(frameOf(LLDP));
  assertEquals(filters.broken(), ["ETQF[4]: no packet matches two filters"]);
});

Deno.test("FTQF assigns a flow to a queue, and no other flow", () => {
  const filters = new Filters().rss().flow(17, 101);
  assertEquals(filters.queueOf(TCP4), 101);
  const others: PacketOptions[] = [
    { ...TCP4, source: [10, 1, 2, 4] },
    { ...TCP4, destination: [192, 168, 7, 9] },
    { ...TCP4, ports: [4322, 443] },
    { ...TCP4, ports: [4321, 444] },
    UDP4,
    TCP6,
  ];
  assertEquals(others.map((other) => filters.queueOf(other)), others.map(() => RSS_QUEUE));
  assertEquals(filters.broken(), []);
});

Deno.test("FTQF.MASK leaves fields out of the comparison", () => {
  const fields: [number, PacketOptions][] = [
    [SOURCE, { ...TCP4, source: [10, 9, 9, 9] }],
    [DESTINATION, { ...TCP4, destination: [10, 9, 9, 9] }],
    [SOURCE_PORT, { ...TCP4, ports: [1, 443] }],
    [DESTINATION_PORT, { ...TCP4, ports: [4321, 1] }],
    [PROTOCOL, UDP4],
  ];
  for (const [mask] of fields) {
    const filters = new Filters().rss().flow(0, 6, { mask });
    const expected = fields.map(([field]) => field === mask ? 6 : RSS_QUEUE);
    assertEquals(fields.map(([, options]) => filters.queueOf(options)), expected);
  }
  assertEquals(new Filters().rss().flow(0, 6, { mask: ALL }).queueOf(TCP4), RSS_QUEUE);
});

Deno.test("FTQF.PROTOCOL is TCP, UDP, SCTP or another protocol", () => {
  const frames = [packet(TCP4), packet(UDP4), withProtocol(132), withProtocol(1)];
  const ports = SOURCE_PORT | DESTINATION_PORT;
  for (const protocol of [TCP, UDP, SCTP, OTHER]) {
    const filters = new Filters().rss().flow(0, 6, { mask: ports, protocol });
    const expected = frames.map((_, i) => i === protocol ? 6 : RSS_QUEUE);
    assertEquals(frames.map((frame) => filters.queueOf(frame)), expected);
  }
});

Deno.test("FTQF matches IPv6 packets only if it compares no address", () => {
  const mask = SOURCE | DESTINATION;
  assertEquals(new Filters().rss().flow(0, 6, { mask }).queueOf(TCP6), 6);
  assertEquals(new Filters().rss().flow(0, 6, { mask: SOURCE }).queueOf(TCP6), RSS_QUEUE);
});

Deno.test("FTQF matches no fragments", () => {
  const frame = packet(TCP4);
  frame[20] = 0x20; // more fragments
  assertEquals(new Filters().rss().flow(0, 6, { mask: SOURCE }).queueOf(frame), RSS_QUEUE);
});

Deno.test("FTQF: the filter with the highest priority wins, and two of one break a rule", () => {
  const mask = SOURCE;
  const filters = new Filters().flow(0, 1, { priority: 2 }).flow(1, 2, { mask, priority: 7 })
    .flow(2, 3, { mask, priority: 5 });
  assertEquals(filters.queueOf(TCP4), 2);
  assertEquals(filters.broken(), []);
  filters.flow(3, 4, { priority: 7 });
  assertEquals(filters.queueOf(TCP4), 2);
  filters.flow(4, 5, { priority: 0 }).queueOf(UDP4);
  assertEquals(filters.broken(), [
    "FTQF[3]: a packet does not match two filters of the same priority",
    "FTQF[4]: PRIORITY is 1 to 7",
  ]);
});

Deno.test("SYNQF assigns TCP packets with SYN; SYNQFP puts it before five-tuples", () => {
  const filters = new Filters().rss().syn(33);
  assertEquals([syn(TCP4), syn(TCP6)].map((frame) => filters.queueOf(frame)), [33, 33]);
  const others = [packet(TCP4), syn(UDP4)];
  assertEquals(others.map((frame) => filters.queueOf(frame)), [RSS_QUEUE, RSS_QUEUE]);
  filters.flow(0, 6);
  assertEquals([filters.queueOf(syn(TCP4)), filters.queueOf(syn(TCP6))], [6, 33]);
  filters.syn(33, SYNQF.SYNQFP);
  assertEquals([filters.queueOf(syn(TCP4)), filters.queueOf(TCP4)], [33, 6]);
});

Deno.test("Nic applies filters for queues as soon as their registers are written", () => {
  const driver = TestDriver.ready();
  const ports = TCP4.ports[0] >>> 8 | (TCP4.ports[0] & 0xff) << 8;
  const steps: (readonly [Uint8Array, Register, number, number])[] = [
    [frameOf(LLDP), ETQS, ETQS.QUEUE_ENABLE | 5 << 16, 0],
    [frameOf(LLDP), ETQF, ETQF.FILTER_ENABLE | LLDP, 1],
    [frameOf(LLDP), ETQS, ETQS.QUEUE_ENABLE, 0],
    [syn(TCP4), SYNQF, SYNQF.QUEUE_ENABLE | 5 << 1, 1],
    [syn(TCP4), SYNQF, 0, 0],
    [packet(TCP4), L34TIMIR, 5 << 21, 0],
    [packet(TCP4), SDPQF, ports, 0],
    [packet(TCP4), FTQF, FTQF.QUEUE_ENABLE | (ALL & ~SOURCE_PORT) << 25 | 1 << 2, 1],
    [packet(TCP4), SDPQF, 0, 0],
  ];
  // Queue 5 is not enabled: its frames are missed.
  for (const [frame, register, value, missed] of steps) {
    const before = driver.nic.counters.missed;
    driver.write(register, value >>> 0);
    frame.set(STATION);
    driver.wire.waiting.push(frame);
    driver.nic.poll();
    assertEquals(driver.nic.counters.missed - before, missed, register.name);
  }
});

Deno.test("FTQF survives CTRL.RST, and ETQF and SYNQF do not", () => {
  const driver = new TestDriver();
  const registers = [FTQF, ETQF, SYNQF] as Register[];
  for (const register of registers) driver.write(register, 0x8000_0001);
  driver.reset();
  assertEquals(registers.map((register) => driver.read(register)), [0x8000_0001, 0, 0]);
});

Deno.test("Filters for queues keep the hash of receive side scaling in the descriptor", () => {
  const plain = new Filters().rss().inspect(packet(TCP4));
  const found = new Filters().rss().flow(0, 6).inspect(packet(TCP4));
  assertEquals([found.hash, found.type, found.status], [plain.hash, plain.type, plain.status]);
});
