/** Streams of several flows: the frames of the NIC model's generator, and the check of each flow. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { UsageError } from "../../src/errors.ts";
import { parseWire } from "../../sim/wires/parse.ts";
import { Checker, Stream } from "../../sim/wires/stream.ts";

const DESTINATION = new Uint8Array([0x02, 0, 0, 0, 0, 0xff]);
const SOURCE_PORT = 34, DESTINATION_PORT = 36;

/** Returns the counts of a checker for these frames of a stream, by number. */
function checked(
  flows: number,
  sent: number,
  numbers: readonly number[],
  change?: (bytes: Uint8Array) => void,
): Record<string, number> {
  const stream = new Stream(0, 60, DESTINATION, flows), checker = new Checker(stream);
  stream.count[0] = sent;
  for (const n of numbers) {
    stream.number(n);
    change?.(stream.frame.bytes);
    checker.check(stream.frame, 60);
  }
  return checker.statistics();
}

function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

Deno.test("Stream gives frames to flows in turn, which differ only in the source port", () => {
  const stream = new Stream(3, 60, DESTINATION, 5), one = new Stream(3, 60, DESTINATION);
  for (const n of upTo(12)) {
    for (const s of [stream, one]) s.number(n);
    const bytes = stream.frame.bytes.slice(0, 60), view = new DataView(bytes.buffer);
    assertEquals(view.getUint16(SOURCE_PORT), 1024 + n % 5);
    assertEquals(view.getUint16(DESTINATION_PORT), 9);
    bytes.set(one.frame.bytes.subarray(SOURCE_PORT, DESTINATION_PORT), SOURCE_PORT);
    assertEquals(bytes, one.frame.bytes.slice(0, 60), "other bytes are as in a stream of one flow");
  }
});

Deno.test("Checker judges each flow separately: flows may overtake each other", () => {
  const even = upTo(1000).filter((n) => n % 2 === 0), odd = upTo(1000).filter((n) => n % 2 === 1);
  const { received, reordered, corrupt, gap, outstanding } = checked(2, 1000, [...odd, ...even]);
  assertEquals(
    { received, reordered, corrupt, gap, outstanding },
    { received: 1000, reordered: 0, corrupt: 0, gap: 0, outstanding: 0 },
  );
  assertEquals(checked(1, 1000, [...odd, ...even]).reordered, 500, "frames of one flow may not");
});

Deno.test("Checker counts a frame that comes late in its flow, or repeatedly", () => {
  assertEquals(checked(4, 100, [0, 8, 4]).reordered, 1);
  assertEquals(checked(4, 100, [0, 8, 4]).gap, 0, "late is not lost");
  assertEquals(checked(4, 100, [0, 8, 8]).reordered, 1);
  assertEquals(checked(4, 100, [0, 8, 8]).gap, 1, "a repeated frame does not replace a lost one");
  assertEquals(checked(4, 100, [8, 1, 2, 3]).reordered, 0);
});

Deno.test("Checker's gap and outstanding are exactly the lost frames, in any order of arrival", () => {
  const numbers = fc.uniqueArray(fc.nat(299), { minLength: 1 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), numbers, fc.nat(50), (flows, kept, more) => {
      const sent = 300 + more;
      const byFlow = kept.toSorted((a, b) => a % flows - b % flows || a - b);
      const { received, reordered, gap, outstanding } = checked(flows, sent, byFlow);
      assertEquals({ received, reordered }, { received: kept.length, reordered: 0 });
      assertEquals(gap + outstanding, sent - kept.length);
    }),
  );
});

Deno.test("Checker counts a frame with another flow's source port as corrupt", () => {
  const { received, corrupt } = checked(4, 100, [5], (bytes) => bytes[SOURCE_PORT + 1] ^= 1);
  assertEquals({ received, corrupt }, { received: 0, corrupt: 1 });
});

Deno.test("parseWire() accepts 1 to 1024 flows of a generator", () => {
  assertEquals(parseWire("generator:flows=1024"), { kind: "generator", flows: 1024 });
  for (const flows of ["0", "1025", "x"]) {
    assertThrows(
      () => parseWire(`generator:flows=${flows}`),
      UsageError,
      "is not a whole number from 1 to 1024",
    );
  }
  assertThrows(() => new Stream(0, 60, DESTINATION, 1.5), UsageError, "1 to 1024 flows, not 1.5");
});
