/** Division of a frame into headers, payload and padding. */

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import type { Layer } from "../../../../explorer/page/views/packet/dissection.ts";
import { layersOf } from "../../../../explorer/page/views/packet/layers.ts";
import { packet, type PacketOptions } from "../../../support/ip_packets.ts";

const V4: PacketOptions = {
  source: [192, 0, 2, 1],
  destination: [198, 51, 100, 2],
  protocol: "udp",
  ports: [53, 4000],
  payload: 20,
};
const V6: PacketOptions = {
  ...V4,
  source: [0x20, 1, 0xd, 0xb8, ...Array(12).fill(1)],
  destination: [0x20, 1, 0xd, 0xb8, ...Array(12).fill(2)],
  protocol: "tcp",
};

/** Returns parts as `name from-to`. */
function places(layers: readonly Layer[]): string[] {
  return layers.map(({ name, from, to, cutShort }) =>
    `${name} ${from}-${to}${cutShort ? " cut short" : ""}`
  );
}

/** Returns the value of a field of a layer. */
function field(layers: readonly Layer[], layer: string, name: string): string | undefined {
  return layers.find((l) => l.name === layer)?.fields.find((f) => f.name === name)?.value;
}

/** Returns a frame with a VLAN tag. */
function tagged(frame: Uint8Array, tag: number): Uint8Array {
  return Uint8Array.from([
    ...frame.subarray(0, 12),
    ...[0x81, 0, tag >> 8, tag & 0xff],
    ...frame.subarray(12),
  ]);
}

Deno.test("layersOf() names headers, payload and padding of a UDP frame", () => {
  const frame = new Uint8Array(70);
  frame.set(packet(V4));
  const layers = layersOf(frame);
  assertEquals(places(layers), [
    "Ethernet 0-14",
    "IPv4 14-34",
    "UDP 34-42",
    "payload 42-62",
    "padding 62-70",
  ]);
  assertEquals(field(layers, "IPv4", "destination"), "198.51.100.2");
  assertEquals(field(layers, "UDP", "source port"), "53");
  assertEquals(field(layers, "Ethernet", "EtherType"), "0x0800, IPv4");
});

Deno.test("layersOf() names VLAN tags between addresses and EtherType", () => {
  const layers = layersOf(tagged(packet(V6), 0x6005));
  assertEquals(places(layers), [
    "Ethernet 0-12",
    "VLAN 12-16",
    "Ethernet 16-18",
    "IPv6 18-58",
    "TCP 58-78",
    "payload 78-98",
  ]);
  assertEquals(field(layers, "VLAN", "VLAN"), "5");
  assertEquals(field(layers, "VLAN", "priority"), "3");
});

Deno.test("layersOf() tells right checksums from wrong ones", () => {
  for (const options of [V4, { ...V4, protocol: "tcp" as const }, V6]) {
    const frame = packet(options), right = layersOf(frame);
    const sums = right.flatMap(({ fields }) => fields).filter(({ name }) => name === "checksum");
    assertEquals(sums.map((sum) => sum.right), options === V6 ? [true] : [true, true]);
    frame[frame.length - 1] ^= 1; // of the payload
    const l4 = layersOf(frame).flatMap(({ fields }) => fields).findLast((f) =>
      f.name === "checksum"
    );
    assertEquals(l4?.right, false);
  }
  const damaged = packet(V4);
  damaged[24] ^= 1;
  assertEquals(field(layersOf(damaged), "IPv4", "checksum")?.endsWith(", wrong"), true);
});

Deno.test("layersOf() leaves a checksum open that covers more than the frame's bytes", () => {
  const frame = packet(V4).subarray(0, 50);
  assertEquals(
    field(layersOf(frame), "UDP", "checksum")?.endsWith(", of more than this frame"),
    true,
  );
  const fragment = packet(V4);
  fragment[20] = 0x20; // more fragments
  assertEquals(
    field(layersOf(fragment), "UDP", "checksum")?.endsWith(", of more than this frame"),
    true,
  );
});

Deno.test("layersOf() shows ARP requests and IEEE 802.3 lengths", () => {
  const arp = Uint8Array.fromHex(
    "ffffffffffff0200000000010806" + "0001080006040001020000000001c0000201000000000000c0000202",
  );
  assertEquals(places(layersOf(arp)), ["Ethernet 0-14", "ARP 14-42"]);
  assertEquals(field(layersOf(arp), "ARP", "operation"), "1, request");
  const length = Uint8Array.fromHex("ffffffffffff020000000001" + "0003aabbcc0000");
  assertEquals(places(layersOf(length)), ["Ethernet 0-14", "payload 14-17", "padding 17-19"]);
  assertEquals(field(layersOf(length), "Ethernet", "length"), "3 bytes (IEEE 802.3)");
});

Deno.test("layersOf() says which header of a truncated frame is cut short", () => {
  assertEquals(places(layersOf(packet(V4).subarray(0, 30))), [
    "Ethernet 0-14",
    "IPv4 14-30 cut short",
  ]);
  assertEquals(places(layersOf(packet(V4).subarray(0, 13))), ["Ethernet 0-13 cut short"]);
  assertEquals(places(layersOf(new Uint8Array())), ["Ethernet 0-0 cut short"]);
});

Deno.test("layersOf() divides any bytes without gaps", () => {
  const ethernet = fc.constantFrom("0800", "86dd", "0806", "8100", "0010", "1234");
  fc.assert(fc.property(ethernet, fc.uint8Array({ maxLength: 120 }), (type, rest) => {
    const frame = Uint8Array.from([...new Uint8Array(12), ...Uint8Array.fromHex(type), ...rest]);
    let at = 0;
    for (const { from, to, fields } of layersOf(frame)) {
      assertEquals(from, at);
      for (const field of fields) assert(field.from >= from && field.to <= to, field.name);
      at = to;
    }
    assertEquals(at, frame.length);
  }));
});
