/**
 * The memory that a device on a plain port can reach: hugepages of this machine's processes, by
 * physical address, as without an IOMMU. It searches for a page when the device first needs it.
 *
 * All pages are mapped in one arena, and a table has their places by physical page number. A lookup
 * has no branch: with every packet in another page, the processor could not predict one. Pages of a
 * process that are physically contiguous are contiguous in the arena.
 *
 * @module
 */

import { status } from "../../native/files.ts";
import { Mapping } from "../../native/mapping.ts";
import { path, stubs, SystemError } from "../../native/stubs.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { DeviceError } from "../../src/errors.ts";
import { type DescriptorRing, DmaMap } from "../rings/dma_map.ts";
import { isRunning, type SharedPages, sharedPages } from "./pages.ts";

/** Bytes of the arena: places in it are integers of 31 bits. */
const ARENA = 2 ** 31 - HUGEPAGE;
/** Bits of an address that are the offset in a hugepage. */
const PAGE_BITS = 21, IN_PAGE = HUGEPAGE - 1;
/** Limit of bits 63:32 of an address: no processor has more than 52 bits. */
const MAX_HIGH = 1 << 20;
/** Position of bits 63:32 of an address in a page number. */
const HIGH_SHIFT = 32 - PAGE_BITS;
const NOWHERE = -1;
const O_RDWR = 2;
/** Maximum number of unsuccessful searches, each of which takes milliseconds. */
const MAX_SEARCHES = 64;

/** Physical memory, which needs no mappings by a client. */
export class PlainMemory extends DmaMap {
  /** Whether to search for pages: without bus master, the port reaches none. */
  reachable = true;
  readonly #log: (line: string) => void;
  #arena: Mapping | undefined;
  /** Bytes of the arena in use. */
  #used = 0;
  /** Place in the arena of each physical page, by its number; or `NOWHERE`. */
  #places = new Int32Array(0);
  /** Processes whose memory is mapped. */
  readonly #owners = new Set<number>();
  #searches = 0;
  #checksum = 0;

  /**
   * Creates memory without pages.
   *
   * @param log Takes a line about each address that no process has.
   */
  constructor(log: (line: string) => void) {
    super();
    this.#log = log;
    this.writable = this.readable = true;
  }

  /** Number of hugepages mapped. */
  get pages(): number {
    return this.#places.reduce((count, place) => place === NOWHERE ? count : count + 1, 0);
  }

  /** Unmaps all pages; it searches again for those that are still needed. */
  override clear(): void {
    super.clear(); // drops the views first
    this.writable = this.readable = true;
    this.#arena?.unmap();
    this.#arena = undefined;
    this.#used = 0;
    this.#places = new Int32Array(0);
    this.#owners.clear();
    this.#searches = 0;
  }

  /**
   * Checks if the driver still runs.
   *
   * @returns false if all processes with mapped memory have ended, or one has truncated its memory.
   */
  check(): boolean {
    if (this.#arena?.lost) {
      this.#log("a driver has truncated a file of its memory: the port reaches no memory");
      return false;
    }
    for (const pid of this.#owners) if (!isRunning(pid)) this.#owners.delete(pid);
    return this.#owners.size > 0 || this.#arena === undefined;
  }

  override map(): never {
    throw new Error("physical memory is found, not mapped");
  }

  override unmap(): never {
    throw new Error("physical memory is not unmapped in parts");
  }

  override resolve(low: number, high: number, bytes: number): boolean {
    const start = this.#find(low, high);
    if (start < 0) return false;
    this.base = start;
    const address = high * 2 ** 32 + low;
    for (let at = HUGEPAGE - low % HUGEPAGE; at < bytes; at += HUGEPAGE) {
      const next = address + at;
      if (this.#find(next >>> 0, Math.floor(next / 2 ** 32)) !== start + at) return false;
    }
    return true;
  }

  /**
   * Finds a descriptor's buffer. As on the device, its end is not checked: at the end of a page,
   * drivers give smaller buffers than they declare, and rely on shorter frames. Memory beyond takes
   * writes, and reads as zeros.
   */
  override follow(descriptors: Uint32Array, at: number): number {
    const place = this.#placeOf(descriptors[at], descriptors[at + 1]);
    return place >= 0 ? place : this.#find(descriptors[at], descriptors[at + 1]);
  }

  override readAhead(ring: DescriptorRing, from: number, to: number, write: boolean): void {
    const { words: descriptors, first, size } = ring;
    const { words } = this;
    let at = ring.head + from;
    if (at >= size) at -= size;
    let sum = 0;
    for (let i = from; i < to; i++) {
      const d = first + at * 4;
      const place = this.#placeOf(descriptors[d], descriptors[d + 1]);
      if (place >= 0) {
        if (!write) sum ^= words[place >> 2];
        else if ((place & 3) === 0) words[place >> 2] = 0;
      }
      if (++at === size) at = 0;
    }
    this.#checksum = sum; // or the compiler would drop the reads
  }

  /** Returns the place of an address in the arena; less than 0 if its page is not mapped. */
  #placeOf(low: number, high: number): number {
    const number = high << HIGH_SHIFT | low >>> PAGE_BITS;
    if (high >= MAX_HIGH || number >= this.#places.length) return NOWHERE;
    return this.#places[number] | low & IN_PAGE; // NOWHERE has all bits set already
  }

  /** As `#placeOf`, but searches for the process with the page, and maps all pages of its file. */
  #find(low: number, high: number): number {
    const place = this.#placeOf(low, high);
    if (place >= 0 || high >= MAX_HIGH || this.#searches >= MAX_SEARCHES) return place;
    if (!this.reachable) return NOWHERE;
    const address = high * 2 ** 32 + low - (low & IN_PAGE);
    for (const pages of sharedPages()) {
      if (pages.addresses.includes(address) && this.#mapAll(pages)) return this.#placeOf(low, high);
    }
    const more = ++this.#searches < MAX_SEARCHES ? "" : "; searches end here";
    this.#log(
      `no process has a hugepage at bus address 0x${address.toString(16)}: DMA memory has to be ` +
        `shared, in pages of 2 MiB${more}`,
    );
    return NOWHERE;
  }

  /** Maps pages in the order of their addresses, with an empty page before each gap. */
  #mapAll({ pid, file, offset, addresses }: SharedPages): boolean {
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd < 0) return false; // the process has ended meanwhile
    if (status(fd).hugepage > HUGEPAGE) {
      this.#log(`process ${pid}: hugepages of 1 GiB cannot be mapped in parts: let it use 2 MiB`);
      stubs.ixy_close(fd);
      return false;
    }
    const pages = addresses.map((address, i) => ({ address, at: offset + i * HUGEPAGE }))
      .filter(({ address }) => address >= 0).sort((a, b) => a.address - b.address);
    try {
      if (this.#used + 2 * pages.length * HUGEPAGE > ARENA) {
        throw new DeviceError(
          file,
          `${pages.length} hugepages are too many: let the driver use 1 GiB of them at most`,
        );
      }
      let before = NOWHERE;
      for (const { address, at } of pages) {
        if (address !== before + HUGEPAGE) this.#used += HUGEPAGE; // for buffers that exceed a page
        this.#map(address, fd, at);
        before = address;
      }
      this.#owners.add(pid);
      return true;
    } catch (error) {
      if (!(error instanceof SystemError || error instanceof DeviceError)) throw error;
      this.#log(`process ${pid}: ${error.message}`);
      return false;
    } finally {
      stubs.ixy_close(fd);
    }
  }

  #map(address: number, fd: number, offset: number): void {
    const number = address / HUGEPAGE;
    if (number >= this.#places.length) {
      const places = new Int32Array(number + 1).fill(NOWHERE);
      places.set(this.#places);
      this.#places = places;
    }
    if (this.#places[number] !== NOWHERE) return;
    this.#open().place("a driver's hugepage", this.#used, HUGEPAGE, fd, offset);
    this.#places[number] = this.#used;
    this.#used += HUGEPAGE;
  }

  /** Returns the arena, which the first page creates; a page longer, for buffers that exceed it. */
  #open(): Mapping {
    if (this.#arena !== undefined) return this.#arena;
    this.#arena = Mapping.reserve(ARENA + HUGEPAGE);
    this.#arena.watch(); // a driver can truncate its files
    const { buffer } = this.#arena;
    this.words = new Uint32Array(buffer);
    this.longs = new BigUint64Array(buffer);
    this.bytes = new Uint8Array(buffer);
    return this.#arena;
  }
}
