/** Header split by the NIC model. */

import { assertEquals } from "@std/assert";
import { PSRTYPE, QBRC_L, RXDCTL, SRRCTL } from "../../ixgbe/registers.ts";
import { headerOf, l4Of, packet, type PacketOptions } from "../support/ip_packets.ts";
import {
  frameTo,
  IOVA,
  RX_BUFFERS,
  RX_RING,
  STATION,
  TestDriver,
} from "../support/model_driver.ts";

const TCP4: PacketOptions = {
  ...{ source: [10, 0, 0, 1], destination: [10, 0, 0, 2] },
  ...{ protocol: "tcp", ports: [1234, 80], payload: 500 },
};
const UDP6: PacketOptions = {
  ...{ source: Array(16).fill(1), destination: Array(16).fill(2) },
  ...{ protocol: "udp", ports: [1234, 53], payload: 500 },
};
/** Where the header buffers are. */
const HEADERS = 0x70000, DD_EOP = 3;
const SPLIT = 2, ALWAYS = 5;

/** A driver whose queue splits headers. */
function splitting(type: number, types: number, headerBytes = 128): TestDriver {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(SRRCTL, SRRCTL.DROP_EN | type << 25 | headerBytes / 64 << 8 | 2);
  driver.write(PSRTYPE, types);
  driver.enableTransmit();
  for (let i = 0; i < 8; i++) {
    const at = RX_RING / 4 + i * 4, address = IOVA + HEADERS + i * 1024;
    driver.words[at + 2] = address >>> 0;
    driver.words[at + 3] = Math.floor(address / 2 ** 32);
  }
  driver.enableReceive();
  return driver;
}

/** What the driver finds in the first descriptor. */
function found(driver: TestDriver) {
  const [first, , status, length] = driver.words.subarray(RX_RING / 4, RX_RING / 4 + 4);
  const headerBytes = first >>> 21 & 0x3ff, data = length & 0xffff;
  return { sph: first >>> 31, hbo: status >>> 23 & 1, headerBytes, data, status: status & 3 };
}

function result(sph: number, hbo: number, headerBytes: number, data: number) {
  return { sph, hbo, headerBytes, data, status: DD_EOP };
}

Deno.test("Nic.receive() splits packets after the innermost header that PSRTYPE selects", () => {
  const ip = l4Of(TCP4), all = PSRTYPE.SPLIT_TCP | PSRTYPE.SPLIT_IPV4 | PSRTYPE.SPLIT_L2;
  const cases = [
    [TCP4, all, headerOf(TCP4)],
    [TCP4, PSRTYPE.SPLIT_IPV4 | PSRTYPE.SPLIT_UDP, ip],
    [TCP4, PSRTYPE.SPLIT_L2, 14],
    [UDP6, PSRTYPE.SPLIT_UDP, headerOf(UDP6)],
    [UDP6, PSRTYPE.SPLIT_IPV6, l4Of(UDP6)],
  ] as const;
  for (const [options, types, header] of cases) {
    const driver = splitting(SPLIT, types), frame = packet(options);
    driver.wire.waiting.push(frame);
    driver.nic.poll();
    const data = frame.length - header;
    assertEquals(found(driver), result(1, 0, header, data));
    assertEquals(driver.bytes.slice(HEADERS, HEADERS + header), frame.slice(0, header));
    const from = RX_BUFFERS;
    assertEquals(driver.bytes.slice(from, from + data), frame.slice(header));
    assertEquals(driver.read(QBRC_L), frame.length);
    assertEquals(driver.broken(), []);
  }
});

// Table 7-25 of the X550's datasheet, in its order; the last three numbers are those of the descriptor.
Deno.test("Nic.receive() splits as SRRCTL.DESCTYPE says", () => {
  const tcp = packet(TCP4), header = headerOf(TCP4), other = frameTo(STATION, 300);
  const tcp6: PacketOptions = { ...UDP6, protocol: "tcp" }, long = packet(tcp6);
  const bare = packet({ ...tcp6, payload: 0 }), longHeader = headerOf(tcp6);
  const cases: [number, number, Uint8Array, number, ReturnType<typeof found>][] = [
    [SPLIT, 64, other, 0, result(0, 0, 0, 300)],
    [SPLIT, 64, tcp, header, result(1, 0, header, tcp.length - header)],
    [SPLIT, 128, bare, longHeader, result(1, 0, longHeader, 0)],
    [SPLIT, 64, long, 0, result(1, 1, longHeader, long.length)],
    [ALWAYS, 512, other, 300, result(0, 0, 300, 0)],
    [ALWAYS, 64, other, 64, result(0, 0, 64, 236)],
    [ALWAYS, 64, tcp, header, result(1, 0, header, tcp.length - header)],
    [ALWAYS, 64, long, 64, result(1, 1, longHeader, long.length - 64)],
  ];
  for (const [i, [type, headerBytes, frame, inHeader, expected]] of cases.entries()) {
    const driver = splitting(type, PSRTYPE.SPLIT_TCP, headerBytes);
    driver.wire.waiting.push(frame);
    driver.nic.poll();
    assertEquals(found(driver), expected, `case ${i + 1}`);
    assertEquals(driver.bytes.slice(HEADERS, HEADERS + inHeader), frame.slice(0, inHeader));
    const data = driver.bytes.slice(RX_BUFFERS, RX_BUFFERS + expected.data);
    assertEquals(data, frame.slice(inHeader), `case ${i + 1}`);
    assertEquals(driver.broken(), []);
  }
});

Deno.test("Nic.receive() splits behind the place of a VLAN tag that it strips", () => {
  const driver = splitting(SPLIT, PSRTYPE.SPLIT_TCP), plain = packet(TCP4);
  driver.set(RXDCTL, RXDCTL.VME);
  const tag = [0x81, 0x00, 0x60, 0x05];
  driver.wire.waiting.push(
    Uint8Array.of(...plain.subarray(0, 12), ...tag, ...plain.subarray(12)),
  );
  driver.nic.poll();
  const header = headerOf(TCP4);
  assertEquals(found(driver), result(1, 0, header, plain.length - header));
  assertEquals(driver.bytes.slice(HEADERS, HEADERS + header), plain.slice(0, header));
});

Deno.test("Nic.receive() uses only the first descriptor's header buffer", () => {
  const options = { ...TCP4, payload: 5000 }, frame = packet(options), header = headerOf(options);
  const driver = splitting(SPLIT, PSRTYPE.SPLIT_TCP);
  driver.wire.waiting.push(frame);
  driver.nic.poll();
  const words = driver.words.subarray(RX_RING / 4, RX_RING / 4 + 12);
  assertEquals([words[0] >>> 31, words[4] >>> 31, words[8] >>> 31], [1, 1, 1]);
  assertEquals([words[0], words[4], words[8]].map((word) => word >>> 21 & 0x3ff), [header, 0, 0]);
  assertEquals([words[3], words[7], words[11]], [2048, 2048, 5000 - 4096]);
  assertEquals([words[2] & 3, words[6] & 3, words[10] & 3], [1, 1, 3]);
  assertEquals(driver.bytes.slice(RX_BUFFERS, RX_BUFFERS + 5000), frame.slice(header));
});

Deno.test("Nic records header buffers of 0 bytes, and those in no memory", () => {
  const rule = "BSIZEHEADER is 64 to 1024 bytes if headers are split";
  assertEquals(splitting(SPLIT, 0, 0).broken(), [`SRRCTL[0]: ${rule}`]);
  const driver = splitting(ALWAYS, 0);
  driver.words[RX_RING / 4 + 2] = driver.words[RX_RING / 4 + 3] = 0x1000;
  driver.wire.waiting.push(frameTo(STATION, 100));
  driver.nic.poll();
  assertEquals(driver.broken(), [
    "RDBAL[0]: buffers of BSIZEHEADER bytes in memory the device may write",
  ]);
});
