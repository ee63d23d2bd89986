/**
 * The memory that the modelled device can reach, by bus address, as through an IOMMU.
 *
 * @module
 */

/** The part of a descriptor ring that is needed to find its buffers. */
export interface DescriptorRing {
  /** Memory that holds the descriptors. */
  readonly words: Uint32Array;
  /** Index in `words` of descriptor 0. */
  readonly first: number;
  /** Descriptors in the ring. */
  readonly size: number;
  /** Next descriptor for the device. */
  readonly head: number;
}

/** A mapped range of bus addresses, or a part of a long one. */
interface Region {
  readonly start: number;
  readonly end: number;
  /** First address of the mapping, and one beyond its last. */
  readonly mapping: readonly [number, number];
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
  readonly readable: boolean;
}

// Byte indices stay below 2^32, so that loops may shift them. Parts overlap, so that one of them
// contains each range of up to 1 GB.
const GIGABYTE = 2 ** 30;
const PART_STEP = 2 * GIGABYTE;
const PART = 3 * GIGABYTE;

const NOWHERE: Region = {
  start: 0,
  end: 0,
  mapping: [0, 0],
  words: new Uint32Array(0),
  longs: new BigUint64Array(0),
  bytes: new Uint8Array(0),
  writable: false,
  readable: false,
};

/** Returns the bus address in a descriptor, from the word with its bits 31:0 on. */
export function addressAt(descriptors: Uint32Array, at: number): number {
  return descriptors[at + 1] * 0x1_0000_0000 + descriptors[at];
}

/** Returns the index of the first range that starts after an address, of ranges sorted by their start. */
export function indexAfter(ranges: readonly { readonly start: number }[], address: number): number {
  let low = 0, high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle].start <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Mapped bus addresses, and where their memory is in this process.
 *
 * Bus addresses are plain numbers, exact up to 2^53: no process maps memory above that.
 */
export class DmaMap {
  /** The region found by {@linkcode DmaMap.prototype.resolve}, in words. */
  words: Uint32Array = NOWHERE.words;
  /** The region found by {@linkcode DmaMap.prototype.resolve}, in 64-bit words. */
  longs: BigUint64Array = NOWHERE.longs;
  /** The region found by {@linkcode DmaMap.prototype.resolve}, in bytes. */
  bytes: Uint8Array = NOWHERE.bytes;
  /** Where in {@linkcode DmaMap.prototype.bytes} the address is. */
  base = 0;
  /** Whether the device may write the region found. */
  writable = false;
  /** Whether the device may read the region found. */
  readable = false;
  #sum = 0;
  // Start of the current region as two words, the low one signed, and its bytes up to the next 4
  // GiB boundary: comparisons of most addresses need only these integers.
  #low = 0;
  #high = 0;
  #near = 0;
  /**
   * Changes with the mappings: earlier results of {@linkcode DmaMap.prototype.resolve} are then
   * invalid.
   */
  generation = 0;

  /** Sorted by their start; the parts of a long mapping also by their end. */
  #regions: Region[] = [];
  // The last two regions with an address that was searched: packets and descriptors are in one or
  // two.
  #current: Region = NOWHERE;
  #previous: Region = NOWHERE;

  /**
   * Maps memory at a bus address.
   *
   * @param iova Bus address of the first byte.
   * @param memory Memory to map.
   * @param offset Offset of the mapping in `memory`, in bytes: a multiple of 8.
   * @param bytes Length in bytes: a multiple of 8.
   * @param writable Whether the device may write it.
   * @param readable Whether the device may read it.
   * @throws {RangeError} if the range is not of whole words, exceeds `memory`, or is mapped
   * already.
   */
  map(
    iova: number,
    memory: ArrayBuffer,
    offset: number,
    bytes: number,
    writable = true,
    readable = true,
  ): void {
    if (!Number.isSafeInteger(iova) || !Number.isSafeInteger(iova + bytes) || iova < 0) {
      throw new RangeError(`cannot map ${bytes} bytes at bus address ${iova}: beyond 2^53`);
    }
    if (bytes <= 0 || bytes % 8 !== 0 || offset % 8 !== 0 || iova % 8 !== 0) {
      throw new RangeError(`cannot map ${bytes} bytes at ${hex(iova)}: not whole words`);
    }
    const end = iova + bytes;
    const at = indexAfter(this.#regions, iova);
    const before = this.#regions.at(at - 1), after = this.#regions[at];
    const other = at > 0 && before!.end > iova ? before : after?.start < end ? after : undefined;
    if (other) {
      const where = `${hex(other.start)} to ${hex(other.end)}`;
      throw new RangeError(`cannot map ${hex(iova)} to ${hex(end)}: ${where} is mapped already`);
    }
    const parts: Region[] = [];
    for (let skip = 0; skip < bytes; skip += PART_STEP) {
      const part = Math.min(bytes - skip, PART);
      parts.push({
        start: iova + skip,
        end: iova + skip + part,
        mapping: [iova, end],
        words: new Uint32Array(memory, offset + skip, part / 4),
        longs: new BigUint64Array(memory, offset + skip, part / 8),
        bytes: new Uint8Array(memory, offset + skip, part),
        writable,
        readable,
      });
    }
    this.#regions.splice(at, 0, ...parts);
    this.generation++;
  }

  /**
   * Drops every mapping that lies inside a range.
   *
   * @param iova Bus address of the first byte of the range.
   * @param bytes Length of the range in bytes.
   */
  unmap(iova: number, bytes: number): void {
    this.#regions = this.#regions.filter(({ mapping: [start, end] }) =>
      start < iova || end > iova + bytes
    );
    this.#forget();
  }

  /** Drops all mappings. */
  clear(): void {
    this.#regions = [];
    this.#forget();
  }

  /**
   * Finds a range of bus addresses, and sets `words`, `bytes`, `base`, `writable` and `readable`.
   *
   * @param low Bits 31:0 of the bus address.
   * @param high Bits 63:32 of the bus address.
   * @param bytes Length in bytes.
   * @returns false if no single mapping contains the range.
   */
  resolve(low: number, high: number, bytes: number): boolean {
    const base = this.#search(high * 0x1_0000_0000 + low, bytes);
    if (base < 0) return false;
    this.base = base;
    return true;
  }

  /**
   * Returns whether a single mapping contains a range of bus addresses, and allows what is asked for;
   * changes nothing.
   *
   * @param low Bits 31:0 of the bus address.
   * @param high Bits 63:32 of the bus address.
   * @param bytes Length in bytes.
   */
  has(
    low: number,
    high: number,
    bytes: number,
    { readable = false, writable = false }: { readable?: boolean; writable?: boolean },
  ): boolean {
    const start = high * 0x1_0000_0000 + low, found = this.#find(start, start + bytes);
    return found !== undefined && (found.readable || !readable) && (found.writable || !writable);
  }

  /**
   * Finds a descriptor's buffer, and sets `words`, `bytes`, `writable` and `readable`. It reads the
   * address itself: as an argument of the loops that move packets, an address would be boxed.
   *
   * @param descriptors Memory that holds the descriptor.
   * @param at Index of the word with bits 31:0 of the bus address; the next one has bits 63:32.
   * @param bytes Length in bytes.
   * @returns Index of the buffer in {@linkcode DmaMap.prototype.bytes}; -1 if it is not mapped.
   */
  follow(descriptors: Uint32Array, at: number, bytes: number): number {
    const offset = (descriptors[at] - this.#low) | 0;
    if (descriptors[at + 1] === this.#high && offset >= 0 && offset <= this.#near - bytes) {
      return offset;
    }
    return this.#search(addressAt(descriptors, at), bytes);
  }

  /**
   * Touches the buffers of the next descriptors, so that the processor fetches their cache lines
   * from the driver's core in parallel. Where the cores are far apart, that makes the model several
   * times faster.
   *
   * @param ring The ring.
   * @param from First descriptor to touch, counted from the head.
   * @param to One beyond the last descriptor to touch, counted from the head.
   * @param write Whether the device will write the buffers: then their first words are written.
   */
  readAhead(ring: DescriptorRing, from: number, to: number, write: boolean): void {
    const { words: descriptors, first, size } = ring;
    const { words, writable } = this;
    const low = this.#low, high = this.#high, near = this.#near - 4;
    let at = ring.head + from;
    if (at >= size) at -= size;
    let sum = 0;
    // First the lines of the descriptors, four in each, or each buffer would wait for its
    // descriptor.
    for (let i = from, line = at; i < to; i += 4) {
      sum ^= descriptors[first + line * 4];
      line += 4;
      if (line >= size) line -= size;
    }
    for (let i = from; i < to; i++) {
      const d = first + at * 4;
      const offset = (descriptors[d] - low) | 0;
      if (descriptors[d + 1] === high && offset >= 0 && offset <= near) {
        if (!write) sum ^= words[offset >> 2];
        else if (writable && (offset & 3) === 0) words[offset >> 2] = 0;
      }
      if (++at === size) at = 0;
    }
    this.#sum = sum; // or the compiler would drop the reads
  }

  #search(address: number, bytes: number): number {
    const end = address + bytes;
    if (address >= this.#current.start && end <= this.#current.end) {
      return address - this.#current.start;
    }
    let found: Region | undefined = this.#previous;
    if (!(address >= found.start && end <= found.end)) {
      found = this.#find(address, end);
      if (!found) return -1;
    }
    this.#previous = this.#current;
    this.#use(found);
    return address - found.start;
  }

  // Of the parts that have the address, the last one reaches farthest.
  #find(address: number, end: number): Region | undefined {
    const at = indexAfter(this.#regions, address);
    return at > 0 && end <= this.#regions[at - 1].end ? this.#regions[at - 1] : undefined;
  }

  #use(region: Region): void {
    this.#current = region;
    this.#low = region.start | 0;
    this.#high = Math.floor(region.start / 0x1_0000_0000);
    this.#near = Math.min(
      region.end - region.start,
      0x1_0000_0000 - (this.#low >>> 0),
      0x7fff_ffff,
    );
    this.words = region.words;
    this.longs = region.longs;
    this.bytes = region.bytes;
    this.writable = region.writable;
    this.readable = region.readable;
  }

  // A view must not outlive the mapping: an access to unmapped memory is a fault.
  #forget(): void {
    this.#use(NOWHERE);
    this.#previous = NOWHERE;
    this.generation++;
  }
}

function hex(address: number): string {
  return "0x" + address.toString(16);
}
