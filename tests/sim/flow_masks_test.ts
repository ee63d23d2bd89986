/** The masks of the NIC model's flow director: the parts of a packet that filters compare. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  FDIRCTRL,
  FDIRDIP4M,
  FDIRIP6M,
  FDIRM,
  FDIRSIP4M,
  FDIRTCPM,
  FDIRUDPM,
} from "../../ixgbe/registers.ts";
import {
  addressRegister,
  BUCKET_KEY,
  FILTER,
  FlowDriver,
  flowHash,
  other,
  PERFECT,
  QUEUE,
  RSS_TYPE,
  SIGNATURE,
  tagged,
  TCP,
  UDP,
  V4,
  V6,
  words,
} from "../support/flow_director.ts";
import { packet } from "../support/ip_packets.ts";

Deno.test("FlowDirector applies masks like a card", () => {
  const udp = (source: number[], destination: number[], ports: [number, number]) =>
    packet({ ...V4, source, destination, ports });
  const ip = { ...FILTER, ports: [0, 0] as [number, number] };
  const cases = [
    {
      masks: [[FDIRSIP4M, addressRegister("0.0.0.255")], [FDIRDIP4M, addressRegister("0.0.0.255")]],
      filter: { ...FILTER, source: "192.168.0.0", destination: "192.168.0.0" },
      ...{ kind: UDP, hash: 0x6cf },
      match: [
        udp([192, 168, 0, 1], [192, 168, 0, 1], [1024, 1024]),
        udp([192, 168, 0, 15], [192, 168, 0, 15], [1024, 1024]),
      ],
      miss: udp([192, 168, 0, 1], [192, 168, 1, 1], [1024, 1024]),
    },
    {
      // Bits in reverse: the low byte of a port is the upper one of its half.
      masks: [[FDIRUDPM, 0xff00_ff00]],
      filter: {
        source: "10.11.12.1",
        destination: "10.11.12.2",
        ports: [0x4400, 0x4500] as [number, number],
      },
      ...{ kind: UDP, hash: 0x41d },
      match: [
        udp([10, 11, 12, 1], [10, 11, 12, 2], [0x4400, 0x4500]),
        udp([10, 11, 12, 1], [10, 11, 12, 2], [0x4411, 0x4517]),
      ],
      miss: udp([10, 11, 12, 1], [10, 11, 12, 2], [0x4500, 0x5500]),
    },
    {
      masks: [[FDIRM, FDIRM.L4P]],
      filter: ip,
      ...{ kind: 0, hash: 0x681 },
      match: [packet(V4), packet({ ...V4, protocol: "tcp" })],
      miss: udp([192, 168, 0, 2], [192, 168, 0, 1], [1024, 1024]),
    },
    {
      masks: [[FDIRM, FDIRM.VLANID | FDIRM.VLANP]],
      filter: { ...FILTER, flex: 0x8100 },
      ...{ kind: UDP, hash: 0x7e8 },
      match: [tagged(0x001), tagged(0xe017)],
      miss: packet(V4),
    },
    {
      masks: [[FDIRM, FDIRM.FLEX]],
      filter: { ...ip, flex: 0 },
      ...{ kind: 0, hash: 0x2f3 },
      match: [other(0x01), other(0xff)],
      miss: packet(V4),
    },
  ] as const;
  for (const { masks, filter, kind, hash, match, miss } of cases) {
    const driver = FlowDriver.start(PERFECT);
    for (const [register, mask] of masks) driver.write(register, mask);
    driver.addPerfect(filter, kind, hash, 0x42);
    for (const frame of match) {
      const { queue, id } = driver.take(frame);
      assertEquals([queue, id], [QUEUE, (hash << 16 | 0x42) >>> 0]);
    }
    const { queue, type } = driver.take(miss);
    assertEquals([queue, type & RSS_TYPE], [0, 0]);
    assertEquals(driver.broken(), []);
  }
});

Deno.test("FDIRTCPM masks ports of TCP, FDIRUDPM those of UDP", () => {
  const driver = FlowDriver.start(PERFECT);
  driver.write(FDIRTCPM, 0xffff_ffff);
  driver.addPerfect({ ...FILTER, ports: [0, 0] }, TCP, 0, 1);
  const addresses = words([...V4.source, ...V4.destination]);
  const fields = { addresses, ports: 0, flex: 0x0800, kind: TCP, vlan: 0 };
  driver.addPerfect({ ...FILTER, ports: [0, 0] }, TCP, flowHash(BUCKET_KEY, fields) & 0x7ff, 2);
  assertEquals(driver.take(packet({ ...V4, protocol: "tcp" })).queue, QUEUE);
  driver.addPerfect({ ...FILTER, ports: [0, 0] }, UDP, 0x43c, 3);
  assertEquals(driver.take(packet(V4)).queue, 0);
});

Deno.test("FlowDirector compares exactly the bits that the masks leave", () => {
  const driver = FlowDriver.start(PERFECT);
  const word = fc.integer({ min: 0, max: 0xffff_ffff });
  const fields = fc.tuple(word, word, word); // both addresses, and the ports, the source's first
  const bytes = (
    value: number,
  ) => [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
  const text = (value: number) => bytes(value).join(".");
  const ports = (value: number): [number, number] => [value >>> 16, value & 0xffff];
  const udp = ([source, destination, both]: readonly number[]) =>
    packet({ ...V4, source: bytes(source), destination: bytes(destination), ports: ports(both) });
  const reverse = (value: number) => {
    const bits = (half: number) => half.toString(2).padStart(16, "0").split("").reverse().join("");
    return parseInt(bits(value & 0xffff) + bits(value >>> 16), 2);
  };
  fc.assert(fc.property(fields, fields, fields, (sent, masks, noise) => {
    driver.initialise(PERFECT);
    driver.write(FDIRSIP4M, addressRegister(text(masks[0])));
    driver.write(FDIRDIP4M, addressRegister(text(masks[1])));
    driver.write(FDIRUDPM, reverse(masks[2]));
    const [source, destination, both] = sent.map((value, i) => (value & ~masks[i]) >>> 0);
    const kept = {
      addresses: [source, destination],
      ports: both,
      flex: 0x0800,
      kind: UDP,
      vlan: 0,
    };
    const filter = { source: text(source), destination: text(destination), ports: ports(both) };
    driver.addPerfect(filter, UDP, flowHash(BUCKET_KEY, kept) & 0x7ff, 1);
    const masked = sent.map((value, i) => (value ^ noise[i] & masks[i]) >>> 0);
    assertEquals([driver.take(udp(sent)).queue, driver.take(udp(masked)).queue], [QUEUE, QUEUE]);
    for (const [i, mask] of masks.entries()) {
      const bit = ~mask & -~mask; // the lowest bit that counts
      const changed = sent.map((value, j) => i === j ? (value ^ bit) >>> 0 : value);
      assertEquals(driver.take(udp(changed)).queue, bit === 0 ? QUEUE : 0);
    }
  }));
  assertEquals(driver.broken(), []);
});

Deno.test("FDIRIP6M masks bytes of IPv6 addresses, the first by its lowest bit", () => {
  const driver = FlowDriver.start(SIGNATURE | FDIRCTRL.REPORT_STATUS_ALWAYS);
  const told = (change: (options: { source: number[]; destination: number[] }) => void) => {
    const options = { source: [...V6.source], destination: [...V6.destination] };
    change(options);
    return driver.take(packet({ ...V6, ...options })).id;
  };
  driver.write(FDIRIP6M, (1 << 31 | 1 << 5) >>> 0);
  const id = told(() => {});
  assertEquals(told(({ source }) => source[5] ^= 0xff), id);
  assertEquals(told(({ destination }) => destination[15] ^= 0xff), id);
  assert(told(({ source }) => source[4] ^= 1) !== id);
  assert(told(({ source }) => source[6] ^= 1) !== id);
  assert(told(({ destination }) => destination[14] ^= 1) !== id);
  assert(told(({ destination }) => destination[5] ^= 1) !== id);
});
