/** The summary of a packet's headers. */

import { assert, assertEquals } from "@std/assert";
import { summarize } from "../../packets/summary.ts";
import { packet } from "../support/ip_packets.ts";

/** Returns a packet from hexadecimal digits; spaces are ignored. */
function hex(text: string): Uint8Array {
  return Uint8Array.fromHex(text.replaceAll(" ", ""));
}

const ETHERNET = "ffffffffffff 020000000001";
const FROM_TO = "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff";
const V4 = "c0000201 c6336402",
  V6 = "20010db8000000000000000000000001 fe800000000000000000000000000002";

Deno.test("summarize() shows the headers of packets", async (t) => {
  const cases: [packet: string, summary: string][] = [
    [
      `${ETHERNET} 0806 0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202`,
      "ARP who has 192.0.2.2? tell 192.0.2.1",
    ],
    [
      `${ETHERNET} 0806 0001 0800 06 04 0002 020000000001 c0000201 020000000002 c0000202`,
      "ARP 192.0.2.1 is at 02:00:00:00:00:01",
    ],
    [`${ETHERNET} 0806 0001 0800 06 04 0009 ${"00".repeat(20)}`, "ARP operation 9"],
    [`${ETHERNET} 8100 2005 88a8 0fff 88cc`, "VLAN 5, VLAN 4095, type 0x88cc"],
    [`${ETHERNET} 0026`, "IEEE 802.3, 38 bytes"],
    [
      `${ETHERNET} 0800 45000054 0000 4000 40 01 0000 ${V4} 0800 0000 0102 0007`,
      "IPv4 192.0.2.1 > 198.51.100.2, ICMP echo request, id 258, seq 7",
    ],
    [
      `${ETHERNET} 0800 45000054 0000 4000 40 01 0000 ${V4} 0301 0000 0000 0000`,
      "IPv4 192.0.2.1 > 198.51.100.2, ICMP type 3 code 1",
    ],
    [
      `${ETHERNET} 0800 46000024 0000 2000 40 11 0000 ${V4} 94040000 0035 ffff 000c 0000`,
      "IPv4 192.0.2.1 > 198.51.100.2, UDP 53 > 65535, 4 bytes",
    ],
    [
      `${ETHERNET} 0800 45000054 0000 2005 40 11 0000 ${V4}`,
      "IPv4 192.0.2.1 > 198.51.100.2, fragment at 40",
    ],
    [
      `${ETHERNET} 0800 4500002c 0000 0000 40 59 0000 ${V4}`,
      "IPv4 192.0.2.1 > 198.51.100.2, protocol 89, 24 bytes",
    ],
    [
      `${ETHERNET} 86dd 60000000 0008 3a ff ${V6} 8100 0000 0001 0002`,
      "IPv6 2001:db8::1 > fe80::2, ICMPv6 echo reply, id 1, seq 2",
    ],
    [
      `${ETHERNET} 86dd 60000000 0018 00 ff ${V6} 2c00000000000000 06000000 00000001 0050 1f90`,
      "IPv6 2001:db8::1 > fe80::2, TCP, cut short",
    ],
    [
      `${ETHERNET} 86dd 60000000 0018 2c ff ${V6} 06000029 00000001`,
      "IPv6 2001:db8::1 > fe80::2, fragment at 40",
    ],
  ];
  for (const [digits, summary] of cases) {
    await t.step(summary, () => assertEquals(summarize(hex(digits)), `${FROM_TO}, ${summary}`));
  }
});

Deno.test("summarize() shows TCP's flags and numbers, and the length without headers", () => {
  const [source, destination] = [[192, 0, 2, 1], [192, 0, 2, 2]];
  const tcp = packet({ source, destination, protocol: "tcp", ports: [80, 8080], payload: 11 });
  assertEquals(
    summarize(tcp).split(", ").slice(2),
    ["TCP 80 > 8080 FIN PSH ACK CWR", "seq 4294967040", "ack 0", "11 bytes"],
  );
});

Deno.test("summarize() shortens IPv6 addresses according to RFC 5952", () => {
  const cases: [words: number[], text: string][] = [
    [[0, 0, 0, 0, 0, 0, 0, 0], "::"],
    [[0, 0, 0, 0, 0, 0, 0, 1], "::1"],
    [[1, 0, 0, 0, 0, 0, 0, 0], "1::"],
    [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], "2001:db8:0:1:1:1:1:1"],
    [[0x2001, 0, 0, 1, 0, 0, 0, 1], "2001:0:0:1::1"],
    [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], "2001:db8::1:0:0:1"],
    [[0x10, 0xa0, 0, 0, 0x100, 0, 0, 0xf], "10:a0::100:0:0:f"],
  ];
  for (const [words, text] of cases) {
    const packet = hex(`${ETHERNET} 86dd ${"00".repeat(40)}`), view = new DataView(packet.buffer);
    words.forEach((word, i) => view.setUint16(22 + 2 * i, word));
    assert(summarize(packet).includes(`IPv6 ${text} > ::,`), `${summarize(packet)}: ${text}`);
  }
});

Deno.test("summarize() says that a packet without a header is cut short", () => {
  assertEquals(summarize(new Uint8Array()), "cut short");
});
