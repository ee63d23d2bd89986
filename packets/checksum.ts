/**
 * The Internet checksum (RFC 1071), which IPv4, ICMP, UDP and TCP have.
 *
 * @module
 */

/**
 * The checksum of bytes. Over a header that has its checksum in it, the result is 0 if that is right.
 *
 * @param from The first byte.
 * @param to The byte after the last one; of an odd number of bytes, a zero follows the last.
 * @param sum 16-bit words to add beside the bytes: a pseudo header.
 * @returns 0 to 0xffff, to be stored in network byte order.
 */
export function checksum(bytes: Uint8Array, from: number, to: number, sum = 0): number {
  let i = from;
  for (; i + 1 < to; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if (i < to) sum += bytes[i] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
