/**
 * Rates as text: three significant digits and a decimal prefix.
 *
 * @module
 */

/** Decimal prefixes, each 1000 times the one before it. */
const PREFIXES = ["", "k", "M", "G", "T"];
const DIGITS = 3;

/** Characters of the longest packet rate and bit rate from 1 per second on, to align columns. */
export const PACKET_RATE_WIDTH = "1.00 Mpps".length, BIT_RATE_WIDTH = "1.00 Mbit/s".length;

/**
 * Returns a packet rate as text: `0 pps`, `999 pps`, `1.00 kpps`, `5.56 Mpps`.
 *
 * @param rate Packets per second, from 0.
 */
export function packetRate(rate: number): string {
  return withPrefix(rate, "pps");
}

/** Returns a range of packet rates, with the unit once if both share it: `10.9 to 11.5 Mpps`. */
export function packetRates(low: number, high: number): string {
  const [number, unit] = packetRate(low).split(" "), other = packetRate(high);
  return other.endsWith(` ${unit}`) ? `${number} to ${other}` : `${number} ${unit} to ${other}`;
}

/**
 * Returns a bit rate as text: `0 bit/s`, `672 kbit/s`, `3.74 Gbit/s`.
 *
 * @param rate Bits per second, from 0.
 */
export function bitRate(rate: number): string {
  return withPrefix(rate, "bit/s");
}

function withPrefix(value: number, unit: string): string {
  if (value === 0) return `0 ${unit}`;
  // Rounds before it chooses the prefix: 999.6 becomes 1.00 k, not 1000.
  let rounded = Number(value.toPrecision(DIGITS)), prefix = 0;
  while (rounded >= 1000 && prefix < PREFIXES.length - 1) {
    rounded /= 1000;
    prefix++;
  }
  return `${rounded.toPrecision(DIGITS)} ${PREFIXES[prefix]}${unit}`;
}
