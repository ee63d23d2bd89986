/**
 * Addresses of PCI functions as Linux writes them: domain, bus, device and function in hex.
 *
 * @module
 */

/** Bus (8 bits), device (5) and function (3), after a domain of 16 bits or, as VMD's, up to 32. */
const ADDRESS = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i;

/**
 * Normalises the address of a PCI function to the name of its directory in sysfs.
 *
 * @param text `0000:03:00.0`, or `03:00.0` in domain 0; VMD domains exceed ffff: `10000:e1:00.0`. In
 * lower or upper case.
 * @returns The address in lower case, with a domain of at least four digits; undefined if `text` is
 * malformed, or the device exceeds 1f or the function 7.
 */
export function parsePciAddress(text: string): string | undefined {
  const match = ADDRESS.exec(text);
  if (!match) return undefined;
  const [, domain = "0", rest] = match;
  return `${parseInt(domain, 16).toString(16).padStart(4, "0")}:${rest.toLowerCase()}`;
}
