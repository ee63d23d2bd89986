/**
 * The memory that a device on a plain port can reach: hugepages of the processes of this machine, by
 * physical address, as without an IOMMU. A page is looked for when the device first needs it.
 *
 * All pages stand in one arena, and a table says where, by physical page number. A look into the table
 * takes no branch: with every packet in another page, the processor could not predict one.
 * Pages that follow each other physically do so in the arena, too, as far as one process has them.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { path, stubs, SystemError } from "../../native/stubs.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { DeviceError } from "../../src/errors.ts";
import { type DescriptorRing, DmaMap } from "../rings/dma_map.ts";
import { isRunning, type SharedPages, sharedPages } from "./pages.ts";

/** Bytes of the arena: places in it are integers of 31 bits. */
const ARENA = 2 ** 31 - HUGEPAGE;
/** Bits of an address that are the place in a hugepage. */
const PAGE_BITS = 21, IN_PAGE = HUGEPAGE - 1;
/** Bits 63:32 of an address are less: no processor has more than 52 bits. */
const MAX_HIGH = 1 << 20;
/** Bits by which they are higher than the others in a page number. */
const HIGH_SHIFT = 32 - PAGE_BITS;
const NOWHERE = -1;
const O_RDWR = 2;
/** Searches in vain after which it stops looking: each takes milliseconds. */
const MAX_SEARCHES = 64;

/** Physical memory, in place of the mappings that a client asks for. */
export class PlainMemory extends DmaMap {
  readonly #log: (line: string) => void;
  #arena: Mapping | undefined;
  /** Bytes of the arena that are given away. */
  #used = 0;
  /** Where in the arena each physical page is, by its number; or `NOWHERE`. */
  #places = new Int32Array(0);
  /** Processes whose memory is mapped. */
  readonly #owners = new Set<number>();
  #searches = 0;
  #checksum = 0;

  /**
   * No page yet.
   *
   * @param log Takes a line about an address that no process has.
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

  /** Drops all pages; those that are still needed are looked for once more. */
  override clear(): void {
    super.clear(); // no view is left
    this.writable = this.readable = true;
    this.#arena?.unmap();
    this.#arena = undefined;
    this.#used = 0;
    this.#places = new Int32Array(0);
    this.#owners.clear();
    this.#searches = 0;
  }

  /**
   * Looks whether the driver is still there.
   *
   * @returns false if the processes that had the memory have ended, all of them.
   */
  check(): boolean {
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
   * As the device, it does not ask where a buffer ends: drivers give less than they say at the end of
   * a page, and frames are shorter. What is not there takes what is written, and reads as zeros.
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
    this.#checksum = sum; // or the compiler would leave the reads out
  }

  /** Where in the arena an address is; less than 0 if its page was not found, or not looked for. */
  #placeOf(low: number, high: number): number {
    const number = high << HIGH_SHIFT | low >>> PAGE_BITS;
    if (high >= MAX_HIGH || number >= this.#places.length) return NOWHERE;
    return this.#places[number] | low & IN_PAGE; // of NOWHERE, all bits are set already
  }

  /** As `#placeOf`, but looks for the process that has the page, and maps what else it has with it. */
  #find(low: number, high: number): number {
    const place = this.#placeOf(low, high);
    if (place >= 0 || high >= MAX_HIGH || this.#searches >= MAX_SEARCHES) return place;
    const address = high * 2 ** 32 + low - (low & IN_PAGE);
    for (const pages of sharedPages()) {
      if (pages.addresses.includes(address) && this.#mapAll(pages)) return this.#placeOf(low, high);
    }
    const more = ++this.#searches < MAX_SEARCHES ? "" : "; no further address is looked for";
    this.#log(
      `no process has a hugepage at bus address 0x${address.toString(16)}: DMA memory has to be ` +
        `shared, in pages of 2 MiB${more}`,
    );
    return NOWHERE;
  }

  /** Maps pages in the order of their addresses, with a page between what is not side by side. */
  #mapAll({ pid, file, offset, addresses }: SharedPages): boolean {
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd < 0) return false; // the process has ended meanwhile
    const pages = addresses.map((address, i) => ({ address, at: offset + i * HUGEPAGE }))
      .filter(({ address }) => address >= 0).sort((a, b) => a.address - b.address);
    try {
      if (this.#used + 2 * pages.length * HUGEPAGE > ARENA) {
        throw new DeviceError(
          file,
          `${pages.length} hugepages are too many: have the driver take 1 GiB of them at most`,
        );
      }
      let before = NOWHERE;
      for (const { address, at } of pages) {
        if (address !== before + HUGEPAGE) this.#used += HUGEPAGE; // for what reaches beyond an end
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

  /** The arena, from its first page on; a page more, for what reaches beyond its end. */
  #open(): Mapping {
    if (this.#arena !== undefined) return this.#arena;
    this.#arena = Mapping.reserve(ARENA + HUGEPAGE);
    const { buffer } = this.#arena;
    this.words = new Uint32Array(buffer);
    this.longs = new BigUint64Array(buffer);
    this.bytes = new Uint8Array(buffer);
    return this.#arena;
  }
}
