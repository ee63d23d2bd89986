/**
 * The responder, on packets that the tests build: its answers, and which packets it ignores.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { checksum } from "../../packets/checksum.ts";
import { Responder } from "../../packets/responder.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0xaa), ASKER = Uint8Array.of(2, 0, 0, 0, 0, 0xbb);
const IP = Uint8Array.of(192, 0, 2, 9), ASKER_IP = Uint8Array.of(192, 0, 2, 1);
const BROADCAST = new Uint8Array(6).fill(0xff);
const BUFFER = 2048;

function bytes(...parts: (Uint8Array | number[] | number)[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]));
}

/** Writes the checksum over bytes to them. */
function seal(packet: Uint8Array, from: number, to: number, at: number): void {
  new DataView(packet.buffer).setUint16(at, checksum(packet, from, to));
}

function arpRequest({ to = BROADCAST, hardware = ASKER, ip = ASKER_IP, wanted = IP } = {}) {
  const header = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
  return bytes(to, ASKER, header, hardware, ip, new Uint8Array(6), wanted, new Uint8Array(18));
}

interface Echo {
  to?: Uint8Array;
  source?: Uint8Array;
  from?: Uint8Array;
  wanted?: Uint8Array;
  options?: Uint8Array;
  version?: number;
  fragment?: number[];
  protocol?: number;
  icmp?: number[];
  data?: Uint8Array;
}

function echoRequest(echo: Echo = {}): Uint8Array<ArrayBuffer> {
  const { to = MAC, source = ASKER, from = ASKER_IP, wanted = IP, fragment = [0, 0] } = echo;
  const { options = bytes(), version = 4, protocol = 1 } = echo;
  const { icmp = [8, 0], data = new Uint8Array(56).map((_, i) => i) } = echo;
  const header = 20 + options.length, total = header + 8 + data.length;
  const first = [version << 4 | header / 4, 0, total >> 8, total & 0xff, 0x12, 0x34];
  const ip = bytes(first, fragment, 64, protocol, 0, 0, from, wanted, options);
  const packet = bytes(to, source, 8, 0, ip, icmp, 0, 0, 0x56, 0x78, 0, 1, data);
  seal(packet, 14, 14 + header, 24);
  seal(packet, 14 + header, packet.length, 14 + header + 2);
  return bytes(packet, new Uint8Array(Math.max(0, 60 - packet.length)));
}

/**
 * Passes a packet to the responder, in a buffer with old content; returns the kind and the answer.
 */
function respond(packet: Uint8Array, length = packet.length) {
  const buffer = new Uint8Array(BUFFER).fill(0xee);
  buffer.set(packet);
  const before = buffer.slice();
  const responder = new Responder(MAC, IP);
  const kind = responder.answer(buffer, length);
  if (kind === "ignored") assertEquals(buffer, before);
  return { kind, answer: buffer.slice(0, responder.length), rest: buffer.slice(responder.length) };
}

Deno.test("Responder answers ARP requests for its address to their sender", () => {
  const expected = bytes(
    ...[ASKER, MAC, [8, 6, 0, 1, 8, 0, 6, 4, 0, 2], MAC, IP, ASKER, ASKER_IP],
    new Uint8Array(18),
  );
  assertEquals(respond(arpRequest()).answer, expected);
  assertEquals(respond(arpRequest({ to: MAC })).answer, expected);
  const { kind, answer } = respond(arpRequest(), 42); // without padding
  assertEquals([kind, answer], ["arp", expected]);
  assertEquals(respond(arpRequest({ ip: new Uint8Array(4) })).kind, "arp", "an ARP probe");
});

Deno.test("Responder ignores ARP for other addresses, or with a wrong sender address", () => {
  for (
    const packet of [
      arpRequest({ wanted: ASKER_IP }),
      arpRequest({ to: Uint8Array.of(1, 0, 0x5e, 0, 0, 1) }),
      arpRequest({ hardware: Uint8Array.of(2, 0, 0, 0, 0, 0xcc) }),
      arpRequest({ ip: IP }),
      arpRequest().with(21, 2), // a reply
      arpRequest().with(15, 6), // other hardware
    ]
  ) assertEquals(respond(packet).kind, "ignored");
  assertEquals(respond(arpRequest(), 41).kind, "ignored", "cut short");
});

Deno.test("Responder answers echo requests with their own data", () => {
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 1480 }),
    fc.nat(10).map((words) => new Uint8Array(4 * words).fill(1)), // no-operation options
    (data, options) => {
      const { kind, answer, rest } = respond(echoRequest({ data, options }));
      assertEquals(kind, "echo");
      assertEquals(answer.slice(0, 14), bytes(ASKER, MAC, 8, 0));
      const total = 28 + data.length;
      assertEquals(answer.slice(14, 18), bytes(0x45, 0, total >> 8, total & 0xff));
      assertEquals(answer.slice(26, 34), bytes(IP, ASKER_IP));
      assertEquals(checksum(answer, 14, 34), 0);
      assertEquals(checksum(answer, 34, 14 + total), 0);
      assertEquals(answer.slice(34, 36), bytes(0, 0));
      assertEquals(answer.slice(38, 14 + total), bytes(0x56, 0x78, 0, 1, data));
      assertEquals(answer.length, Math.max(60, 14 + total));
      assert(answer.subarray(14 + total).every((byte) => byte === 0), "padded with zeros");
      const used = 42 + options.length + data.length;
      if (used >= 60) assert(rest.subarray(used - answer.length).every((byte) => byte === 0xee));
    },
  ));
});

Deno.test("Responder ignores echo requests for others, or whose answer would not reach the sender", () => {
  const other = Uint8Array.of(192, 0, 2, 77), group = Uint8Array.of(3, 0, 0, 0, 0, 1);
  const cases: Record<string, Echo> = {
    "another IP address": { wanted: other },
    "another Ethernet address": { to: ASKER },
    "a broadcast": { to: BROADCAST },
    "from a group": { source: group },
    "from address 0": { source: new Uint8Array(6) },
    "from itself": { source: MAC },
    "from a multicast address": { from: Uint8Array.of(224, 0, 0, 1) },
    "from the broadcast address": { from: Uint8Array.of(255, 255, 255, 255) },
    "from 0.0.0.0": { from: new Uint8Array(4) },
    "from loopback": { from: Uint8Array.of(127, 0, 0, 1) },
    "from its own address": { from: IP },
    "a first fragment": { fragment: [0x20, 0] },
    "a later fragment": { fragment: [0, 1] },
    "an echo reply": { icmp: [0, 0] },
    "an unknown code": { icmp: [8, 1] },
    "another protocol": { protocol: 17 },
    "another version of IP": { version: 6 },
  };
  for (const [what, echo] of Object.entries(cases)) {
    assertEquals(respond(echoRequest(echo)).kind, "ignored", what);
  }
  const tagged = bytes(MAC, ASKER, 0x81, 0, 0, 5, echoRequest().slice(12));
  assertEquals(respond(tagged).kind, "ignored", "a VLAN");
  assertEquals(respond(echoRequest({ fragment: [0x40, 0] })).kind, "echo", "do not fragment");
});

Deno.test("Responder ignores headers that are too short, even with correct checksums", () => {
  const message = echoRequest();
  message.set([0, 24], 16); // four bytes of ICMP
  message.set([0, 0], 24);
  seal(message, 14, 34, 24);
  message.set([0, 0], 36);
  seal(message, 34, 38, 36);
  assertEquals(respond(message).kind, "ignored");

  // An IP header of four words: the ICMP message would begin at its destination address.
  const ip = Uint8Array.of(8, 0, 2, 9), header = echoRequest({ wanted: ip });
  header[14] = 0x44;
  header.set([0, 0], 24);
  seal(header, 14, 30, 24);
  header.set([0, 0], 34);
  seal(header, 30, 98, 34);
  assertEquals([checksum(header, 14, 30), checksum(header, 30, 98)], [0, 0]);
  assertEquals(new Responder(MAC, ip).answer(new Uint8Array([...header]), 98), "ignored");
});

Deno.test("Responder ignores an echo request that is damaged in any byte, or truncated", () => {
  const request = echoRequest({ options: Uint8Array.of(1, 1, 1, 0) });
  fc.assert(
    fc.property(
      fc.integer({ min: 14, max: request.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      (at, change) => {
        assertEquals(respond(request.with(at, request[at] ^ change)).kind, "ignored");
        assertEquals(respond(request, at).kind, "ignored");
      },
    ),
    { numRuns: 1000 },
  );
});
