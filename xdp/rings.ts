/**
 * The four rings of an AF_XDP socket, in memory that the kernel shares with this process: the receive
 * ring (frames from the kernel), the fill ring (buffers for them), the transmit ring (packets to the
 * kernel), and the completion ring (buffers of packets that were sent).
 *
 * Each has a producer and a consumer index of 32 bits, which count entries and wrap; their low bits are
 * an index into the ring. The side that produces writes entries before it writes the producer index, and
 * the side that consumes reads the index before the entries. `src/specialise.ts` says why loads and stores
 * keep this order.
 *
 * @module
 */

import { checkErrno, stubs } from "../native/stubs.ts";
import { Mapping } from "../native/mapping.ts";
import {
  ADDRESS_WORDS,
  DESC,
  MMAP_OFFSETS_BYTES,
  RING_ORDER,
  RingPage,
  SOL,
  XdpOption,
} from "./abi.ts";

/** The name of a ring. */
export type RingName = (typeof RING_ORDER)[number];

/** Where a ring is, as plain values, to send to another thread of this process. */
export interface RingPlace {
  /** Virtual address of its memory in this process. */
  readonly address: bigint;
  /** Bytes of its memory. */
  readonly bytes: number;
  /** Number of entries, a power of two. */
  readonly entries: number;
  /** Offsets in its memory, in bytes. */
  readonly producer: number;
  readonly consumer: number;
  readonly flags: number;
  readonly descriptors: number;
}

/** A ring as the queues use it. */
export interface Ring {
  /** Number of entries minus one. */
  readonly mask: number;
  /** The producer index. */
  readonly producer: Uint32Array;
  /** The consumer index. */
  readonly consumer: Uint32Array;
  /** Flags of the kernel. */
  readonly flags: Uint32Array;
  /** The entries, in 32-bit words. */
  readonly entries: Uint32Array;
}

/** The rings of a socket. */
export type Rings = Readonly<Record<RingName, Ring>>;
/** The places of the rings of a socket. */
export type RingPlaces = Readonly<Record<RingName, RingPlace>>;

/** The option that sets a ring's size, by name. */
const SIZE_OPTION: Readonly<Record<RingName, number>> = {
  rx: XdpOption.RX_RING,
  tx: XdpOption.TX_RING,
  fill: XdpOption.UMEM_FILL_RING,
  completion: XdpOption.UMEM_COMPLETION_RING,
};

/** 32-bit words of an entry. */
function wordsOf(name: RingName): number {
  return name === "rx" || name === "tx" ? DESC.WORDS : ADDRESS_WORDS;
}

/** The mapped rings of a socket. */
export class MappedRings {
  /** Where they are. */
  readonly places: RingPlaces;
  /** The rings as this thread uses them. */
  readonly rings: Rings;
  readonly #mappings: Mapping[] = [];

  /**
   * Sets the sizes of a socket's rings, and maps them.
   *
   * @param entries Entries of the receive and of the transmit ring: powers of two.
   * @throws {SystemError} if the kernel refuses.
   */
  constructor(fd: number, entries: { readonly rx: number; readonly tx: number }) {
    // No more buffers are with the kernel than the receive ring has entries, and no more packets than the
    // transmit ring has: the other two rings cannot overflow.
    const sizes = { rx: entries.rx, fill: entries.rx, tx: entries.tx, completion: entries.tx };
    for (const name of RING_ORDER) {
      const size = Uint32Array.of(sizes[name]);
      const n = stubs.ixy_setsockopt(fd, SOL.XDP, SIZE_OPTION[name], size, size.byteLength);
      checkErrno(`set the size of the ${name} ring`, n);
    }
    const offsets = new BigUint64Array(MMAP_OFFSETS_BYTES / 8);
    checkErrno(
      "ask where the rings are",
      stubs.ixy_getsockopt(fd, SOL.XDP, XdpOption.MMAP_OFFSETS, offsets, MMAP_OFFSETS_BYTES),
    );
    const place = (name: RingName): RingPlace => {
      const first = 4 * RING_ORDER.indexOf(name);
      const [producer, consumer, descriptors, flags] = [...offsets.subarray(first, first + 4)]
        .map(Number);
      const bytes = descriptors + sizes[name] * wordsOf(name) * 4;
      const mapping = Mapping.file(`the ${name} ring`, fd, bytes, RingPage[name]);
      this.#mappings.push(mapping);
      const { address } = mapping;
      return { address, bytes, entries: sizes[name], producer, consumer, flags, descriptors };
    };
    try {
      this.places = {
        rx: place("rx"),
        tx: place("tx"),
        fill: place("fill"),
        completion: place("completion"),
      };
    } catch (error) {
      this.close();
      throw error;
    }
    const [rx, tx, fill, completion] = this.#mappings.map(({ buffer }) => buffer);
    this.rings = viewRings(this.places, { rx, tx, fill, completion });
  }

  /** Unmaps the rings: views of them are empty from then on. Idempotent. */
  close(): void {
    using closed = new DisposableStack(); // unmaps all, also if one fails
    for (const mapping of this.#mappings) closed.use(mapping);
  }
}

/** Returns views of rings in their memory. */
export function viewRings(
  places: RingPlaces,
  memory: Readonly<Record<RingName, ArrayBuffer>>,
): Rings {
  const view = (name: RingName): Ring => {
    const { producer, consumer, flags, descriptors, entries } = places[name];
    const word = (offset: number) => new Uint32Array(memory[name], offset, 1);
    return {
      mask: entries - 1,
      producer: word(producer),
      consumer: word(consumer),
      flags: word(flags),
      entries: new Uint32Array(memory[name], descriptors, entries * wordsOf(name)),
    };
  };
  return { rx: view("rx"), tx: view("tx"), fill: view("fill"), completion: view("completion") };
}
