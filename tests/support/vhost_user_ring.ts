/**
 * The device's side of a split virtqueue (VirtIO 1.3, section 2.7), for tests: parses chains byte
 * by byte, and returns them in any order. It is slow.
 *
 * @module
 */

const NEXT = 1, WRITE = 2;
const MRG_RXBUF = 15n, VERSION_1 = 32n;
/** Maximum number of chains to use at once. */
const BATCH = 16;

/** What to write into a used ring: entries from the first on, and the index. */
export interface Nonsense {
  readonly queue: number;
  /** Id and length of each. */
  readonly entries: readonly (readonly [id: number, length: number])[];
  /** Default: the number of entries. */
  readonly index?: number;
}

/** A buffer of a chain. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly writable: boolean;
}

/** The driver of the queues, as the back-end knows it. */
export interface Driver {
  /** The negotiated features. */
  readonly features: bigint;
  /** Returns bytes at an address of the driver. */
  memory(address: number, bytes: number): DataView;
}

/** One queue. */
export class Ring {
  /** Its number of descriptors. */
  entries = 0;
  /** Whether the driver has enabled it. */
  enabled = false;
  /** File descriptors received for it. */
  descriptors = 0;
  /** Position of the next chain, modulo 2^16. */
  next = 0;
  #table!: DataView;
  #available!: DataView;
  #used!: DataView;
  #done = false;

  constructor(readonly driver: Driver) {}

  /** Sets the three addresses of SET_VRING_ADDR. */
  place(at: (place: number) => DataView): void {
    this.#table = at(8);
    this.#used = at(16);
    this.#available = at(24);
    this.next = 0;
    this.#done = false;
  }

  /** Available chains that were not used. */
  get waiting(): number {
    return (this.#available.getUint16(2, true) - this.next) & 0xffff;
  }

  /** Writes nonsense, once, when there are as many chains as it has entries. */
  write({ entries, index = entries.length }: Nonsense): void {
    if (this.#done || this.waiting < Math.max(1, entries.length)) return;
    this.#done = true;
    entries.forEach(([id, length], i) => this.#use(i, id, length));
    this.#used.setUint16(2, index, true);
  }

  /** Moves packets from a transmit ring to a receive ring. */
  static loop(tx: Ring, rx: Ring, how: "straight" | "reversed" | "last"): void {
    const long = [MRG_RXBUF, VERSION_1].some((bit) => (rx.driver.features >> bit & 1n) !== 0n);
    const header = long ? 12 : 10;
    const count = Math.min(tx.waiting, rx.waiting, BATCH);
    if (count === 0) return;
    const sent: [number, number][] = [], received: [number, number][] = [];
    for (let i = 0; i < count; i++) {
      const [from, pieces] = tx.#take(i), [to, room] = rx.#take(i);
      if (pieces.some((piece) => piece.writable)) {
        throw new Error("a buffer to transmit is writable");
      }
      const bytes = pieces.flatMap((piece) => [...piece.bytes]);
      if (long) bytes[10] = 1; // num_buffers
      sent.push([from, 0]);
      received.push([to, fill(room, bytes)]);
      if (bytes.length <= header) throw new Error(`a packet of ${bytes.length - header} bytes`);
    }
    rx.#complete(received, how);
    tx.#complete(sent, how);
  }

  /** Returns the chain at some distance: the id of its first descriptor, and its buffers. */
  #take(distance: number): [number, Piece[]] {
    const place = (this.next + distance) % this.entries;
    const id = this.#available.getUint16(4 + 2 * place, true), pieces: Piece[] = [];
    for (let at = id, more = true; more && pieces.length <= this.entries;) {
      const address = Number(this.#table.getBigUint64(16 * at, true));
      const view = this.driver.memory(address, this.#table.getUint32(16 * at + 8, true));
      const flags = this.#table.getUint16(16 * at + 12, true);
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      pieces.push({ bytes, writable: (flags & WRITE) !== 0 });
      more = (flags & NEXT) !== 0;
      at = this.#table.getUint16(16 * at + 14, true);
    }
    return [id, pieces];
  }

  /** Returns chains to the driver, and advances the index. */
  #complete(chains: [number, number][], how: "straight" | "reversed" | "last"): void {
    const entries = how === "reversed" ? chains.toReversed() : chains;
    if (how === "last") this.#use(this.next, ...chains.at(-1)!); // it also covers all before it
    else entries.forEach(([id, length], i) => this.#use(this.next + i, id, length));
    this.next = (this.next + chains.length) & 0xffff;
    this.#used.setUint16(2, this.next, true);
  }

  #use(position: number, id: number, length: number): void {
    const at = 4 + 8 * (position % this.entries);
    this.#used.setUint32(at, id, true);
    this.#used.setUint32(at + 4, length, true);
  }
}

/** Writes bytes into consecutive buffers; returns their number. */
function fill(pieces: readonly Piece[], bytes: readonly number[]): number {
  let at = 0;
  for (const piece of pieces) {
    if (!piece.writable) throw new Error("a receive buffer is not writable");
    const part = bytes.slice(at, at + piece.bytes.length);
    piece.bytes.set(part);
    at += part.length;
  }
  if (at < bytes.length) throw new Error(`${bytes.length} bytes do not fit a chain`);
  return at;
}
