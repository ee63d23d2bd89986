/**
 * Rates as text.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import * as fc from "fast-check";
import {
  BIT_RATE_WIDTH,
  bitRate,
  PACKET_RATE_WIDTH,
  packetRate,
  packetRates,
} from "../../packets/units.ts";

const FACTORS = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** Returns the number that a text represents. */
function valueOf(text: string): number {
  const [, digits, prefix] = /^([0-9.]+) ([kMGT]?)(?:pps|bit\/s)$/.exec(text)!;
  return Number(digits) * FACTORS[prefix as keyof typeof FACTORS];
}

const RATE = fc.double({ min: 1, max: 999e12, noNaN: true });

Deno.test("packetRate() writes three significant digits and a prefix", () => {
  const cases: [rate: number, text: string][] = [
    [0, "0 pps"],
    [0.25, "0.250 pps"],
    [1, "1.00 pps"],
    [99.96, "100 pps"],
    [999, "999 pps"],
    [999.4, "999 pps"],
    [999.6, "1.00 kpps"],
    [1000, "1.00 kpps"],
    [12345, "12.3 kpps"],
    [999499, "999 kpps"],
    [999500, "1.00 Mpps"],
    [5.56e6, "5.56 Mpps"],
    [11.16e6, "11.2 Mpps"],
    [123e6, "123 Mpps"],
    [999.9e6, "1.00 Gpps"],
  ];
  for (const [rate, text] of cases) assertEquals(packetRate(rate), text);
});

Deno.test("packetRates() writes a prefix once if both rates have it", () => {
  assertEquals(packetRates(10.94e6, 11.46e6), "10.9 to 11.5 Mpps");
  assertEquals(packetRates(998e3, 1.01e6), "998 kpps to 1.01 Mpps");
  assertEquals(packetRates(5, 5e3), "5.00 pps to 5.00 kpps");
  assertEquals(packetRates(0, 12), "0 to 12.0 pps");
});

Deno.test("bitRate() writes bits per second in the same way", () => {
  assertEquals(
    [0, 672e3, 3739e6, 10e9, 999.6e9].map(bitRate),
    ["0 bit/s", "672 kbit/s", "3.74 Gbit/s", "10.0 Gbit/s", "1.00 Tbit/s"],
  );
});

Deno.test("packetRate() and bitRate() have three digits, round to nearest, and fit their columns", () => {
  fc.assert(
    fc.property(RATE, (rate) => {
      for (
        const [write, width] of [[packetRate, PACKET_RATE_WIDTH], [
          bitRate,
          BIT_RATE_WIDTH,
        ]] as const
      ) {
        const text = write(rate);
        assertMatch(text, /^([1-9]\.\d\d|[1-9]\d\.\d|[1-9]\d\d) [kMGT]?(pps|bit\/s)$/);
        assert(text.length <= width, text);
        // Half of the last of three digits, seen from the smallest number that has them.
        assert(Math.abs(valueOf(text) - rate) <= 0.005001 * rate, `${rate} is not ${text}`);
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("packetRate() is monotonic, also where digits or the prefix change", () => {
  const border = fc.constantFrom(1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e9, 1e12);
  const near = fc.tuple(border, fc.double({ min: 0.99, max: 1.01, noNaN: true }))
    .map(([at, factor]) => at * factor);
  fc.assert(
    fc.property(fc.oneof(RATE, near), fc.oneof(RATE, near), (a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      assert(
        valueOf(packetRate(low)) <= valueOf(packetRate(high)) * (1 + 1e-12),
        `${low}, ${high}`,
      );
    }),
    { numRuns: 2000 },
  );
});
