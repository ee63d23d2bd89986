/**
 * The published test vectors of the RSS hash: addresses, ports, and their hashes under `RSS_KEY`
 * (82599: section 7.1.2.8.3, after Microsoft's verification suite). Not a test itself.
 *
 * @module
 */

/** One vector. */
export interface Vector {
  readonly name: string;
  /** Addresses, as bytes. */
  readonly source: readonly number[];
  readonly destination: readonly number[];
  /** Source and destination port. */
  readonly ports: readonly [number, number];
  /** Hash of the addresses alone. */
  readonly addressHash: number;
  /** Hash of addresses and ports. */
  readonly portHash: number;
}

function v4(
  source: string,
  destination: string,
  ports: readonly [number, number],
  addressHash: number,
  portHash: number,
): Vector {
  const bytes = (address: string) => address.split(".").map(Number);
  const name = `${source} to ${destination}`;
  return {
    name,
    source: bytes(source),
    destination: bytes(destination),
    ports,
    addressHash,
    portHash,
  };
}

/** Returns the bytes of an address, which may contain `::`. */
function groups(address: string): number[] {
  const [head, tail = []] = address.split("::").map((half) => half.split(":"));
  const zeros = Array<string>(8 - head.length - tail.length).fill("0");
  return [...head, ...zeros, ...tail].flatMap((group) => {
    const n = parseInt(group, 16);
    return [n >>> 8, n & 0xff];
  });
}

function v6(
  source: string,
  destination: string,
  ports: readonly [number, number],
  addressHash: number,
  portHash: number,
): Vector {
  const name = `${source} to ${destination}`;
  const [from, to] = [groups(source), groups(destination)];
  return { name, source: from, destination: to, ports, addressHash, portHash };
}

/** All vectors. */
export const VECTORS: readonly Vector[] = [
  v4("66.9.149.187", "161.142.100.80", [2794, 1766], 0x323e8fc2, 0x51ccc178),
  v4("199.92.111.2", "65.69.140.83", [14230, 4739], 0xd718262a, 0xc626b0ea),
  v4("24.19.198.95", "12.22.207.184", [12898, 38024], 0xd2d0a5de, 0x5c2b394a),
  v4("38.27.205.30", "209.142.163.6", [48228, 2217], 0x82989176, 0xafc7327f),
  v4("153.39.163.191", "202.188.127.2", [44251, 1303], 0x5d1809c5, 0x10e828a2),
  v6("3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", [2794, 1766], 0x2cc18cd5, 0x40207d3d),
  v6("3ffe:501:8::260:97ff:fe40:efab", "ff02::1", [14230, 4739], 0x0f0c461c, 0xdde51bbf),
  v6(
    "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
    "fe80::200:f8ff:fe21:67cf",
    [44251, 38024],
    0x4b61e985,
    0x02d1feef,
  ),
];
