/** The RSS hash in software, against the published test vectors (82599: section 7.1.2.8.3). */

import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { RSS_SYMMETRIC_KEY, toeplitz } from "../../mod.ts";
import { VECTORS } from "../support/rss_vectors.ts";

function input(...parts: (readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

function bytesOf(port: number): number[] {
  return [port >>> 8, port & 0xff];
}

for (const { name, source, destination, ports, addressHash, portHash } of VECTORS) {
  Deno.test(`toeplitz() hashes ${name} as published`, () => {
    assertEquals(toeplitz(input(source, destination)), addressHash);
    const [from, to] = ports.map(bytesOf);
    assertEquals(toeplitz(input(source, destination, from, to)), portHash);
  });
}

Deno.test("toeplitz() with the symmetric key does not change if source and destination are swapped", () => {
  for (const { source, destination, ports } of VECTORS) {
    const [from, to] = ports.map(bytesOf);
    const there = input(source, destination, from, to);
    const back = input(destination, source, to, from);
    assertEquals(toeplitz(there, RSS_SYMMETRIC_KEY), toeplitz(back, RSS_SYMMETRIC_KEY));
    assertNotEquals(toeplitz(there), toeplitz(back), "the published key is not symmetric");
  }
});

Deno.test("toeplitz() refuses a key that is too short for the input", () => {
  toeplitz(new Uint8Array(36), new Uint8Array(40));
  assertThrows(() => toeplitz(new Uint8Array(37), new Uint8Array(40)), RangeError, "too short");
});
