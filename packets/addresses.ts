/**
 * Addresses in packets as text.
 *
 * @module
 */

/** Bytes of a MAC address. */
export const MAC_BYTES = 6;

/** Returns the MAC address at an offset as text: `02:00:00:00:00:01`. */
export function macAt(view: DataView, at: number): string {
  const bytes = Array.from({ length: MAC_BYTES }, (_, i) => view.getUint8(at + i));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Returns the IP address of 4 or 16 bytes at an offset as text (RFC 5952). */
export function ipAt(view: DataView, at: number, bytes: 4 | 16): string {
  if (bytes === 4) return Array.from({ length: 4 }, (_, i) => view.getUint8(at + i)).join(".");
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i));
  const text = words.map((word) => word.toString(16)).join(":");
  const zeros = [...text.matchAll(/\b0(?::0)+\b/g)].map(([run]) => run);
  if (zeros.length === 0) return text;
  const longest = zeros.reduce((a, b) => b.length > a.length ? b : a);
  return text.replace(new RegExp(`(?:^|:)\\b${longest}\\b(?::|$)`), "::");
}
