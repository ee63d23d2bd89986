/**
 * The Internet checksum (RFC 1071) of IPv4, ICMP, UDP and TCP.
 *
 * @module
 */

/**
 * Returns the checksum of bytes. Over data that includes a correct checksum, the result is 0.
 *
 * @param from Index of the first byte.
 * @param to Index after the last byte. An odd number of bytes is padded with a zero.
 * @param sum A sum of further 16-bit words, for example of a pseudo header.
 * @returns 0 to 0xffff, to be stored in network byte order.
 */
export function checksum(bytes: Uint8Array, from: number, to: number, sum = 0): number {
  let i = from;
  for (; i + 1 < to; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if (i < to) sum += bytes[i] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
