/**
 * Addresses of PCI functions as Linux writes them: domain, bus, device and function in hex.
 *
 * @module
 */

/** Bus of 8 bits, device of 5, function of 3; a domain of 16 bits, or of 32 where there are as many. */
const ADDRESS = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i;

/**
 * Brings the address of a PCI function into the form in which Linux names its directory.
 *
 * @param text `0000:03:00.0`, or `03:00.0` in domain 0; a domain beyond ffff (VMD's) as `10000:e1:00.0`.
 * Upper case will do.
 * @returns The address with a domain of at least four digits, in lower case; undefined if `text` has
 * another form, a device beyond 1f or a function beyond 7.
 */
export function parsePciAddress(text: string): string | undefined {
  const match = ADDRESS.exec(text);
  if (!match) return undefined;
  const [, domain = "0", rest] = match;
  return `${parseInt(domain, 16).toString(16).padStart(4, "0")}:${rest.toLowerCase()}`;
}
