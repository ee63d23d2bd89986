/**
 * The memory that a device on a plain port can reach: hugepages of the processes of this machine, by
 * physical address, as without an IOMMU. A page is looked for when the device first needs it.
 *
 * The loops that move packets want few mappings, and drivers have many pages: so each 2 GiB of
 * physical addresses is one range of address space, in which the pages stand where their addresses
 * say, and a page more costs nothing.
 *
 * @module
 */

import { Mapping, path, stubs, SystemError } from "../native/native.ts";
import { HUGEPAGE } from "../src/dma.ts";
import { DmaMap } from "./dma_map.ts";
import { isRunning, type SharedPages, sharedPages } from "./plain_pages.ts";
import type { Ring } from "./ring.ts";

/** Bits of an address that are the place in a window: 2 GiB, since places are 32-bit integers. */
const WINDOW_BITS = 31;
const WINDOW = 2 ** WINDOW_BITS;
const PLACE = WINDOW - 1;
/** Bits of an address that are the place in a hugepage. */
const PAGE_BITS = 21;
const O_RDWR = 2;
/** Searches in vain before it takes a driver that pulls itself together: each takes milliseconds. */
const SEARCHES = 64;

/** 2 GiB of physical addresses. */
interface Window {
  readonly mapping: Mapping | undefined;
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly bytes: Uint8Array;
  /** 1 for each hugepage that is there. */
  readonly present: Uint8Array;
}

const NOWHERE: Window = {
  mapping: undefined,
  words: new Uint32Array(0),
  longs: new BigUint64Array(0),
  bytes: new Uint8Array(0),
  present: new Uint8Array(WINDOW / HUGEPAGE),
};

/** Physical memory, in place of the mappings that a client asks for. */
export class PlainMemory extends DmaMap {
  readonly #log: (line: string) => void;
  readonly #windows = new Map<number, Window>();
  /** Processes whose memory is mapped. */
  readonly #owners = new Set<number>();
  #searches = 0;
  // The current window: bits 63:32 of its addresses, bit 31, and which pages are there.
  #high = -1;
  #top = 0;
  #present = NOWHERE.present;
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
    let count = 0;
    for (const { present } of this.#windows.values()) for (const one of present) count += one;
    return count;
  }

  /** Drops everything; what is still needed is looked for again. */
  override clear(): void {
    super.clear();
    this.writable = this.readable = true;
    this.#use(-1, 0, NOWHERE);
    for (const { mapping } of this.#windows.values()) mapping?.unmap();
    this.#windows.clear();
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
    return this.#owners.size > 0 || this.#windows.size === 0;
  }

  override map(): never {
    throw new Error("physical memory is found, not mapped");
  }

  override unmap(): never {
    throw new Error("physical memory is not unmapped in parts");
  }

  override resolve(low: number, high: number, bytes: number): boolean {
    const base = this.#search(low, high, bytes);
    if (base < 0) return false;
    this.base = base;
    return true;
  }

  /**
   * As the device, it does not ask where a buffer ends: drivers give less than they say at the end of
   * a page, and frames are shorter. What is not there takes what is written, and reads as zeros.
   */
  override follow(descriptors: Uint32Array, at: number): number {
    const low = descriptors[at];
    if (descriptors[at + 1] === this.#high && low >>> WINDOW_BITS === this.#top) {
      const place = low & PLACE;
      if (this.#present[place >>> PAGE_BITS] === 1) return place;
    }
    return this.#search(low, descriptors[at + 1], 1);
  }

  override readAhead(ring: Ring, from: number, to: number, write: boolean): void {
    const { words: descriptors, first, size } = ring;
    const words = this.words, present = this.#present;
    const high = this.#high, top = this.#top;
    let at = ring.head + from;
    if (at >= size) at -= size;
    let sum = 0;
    for (let i = from; i < to; i++) {
      const d = first + at * 4;
      const low = descriptors[d];
      if (descriptors[d + 1] === high && low >>> WINDOW_BITS === top) {
        const place = low & PLACE;
        if (present[place >>> PAGE_BITS] === 1) {
          if (!write) sum ^= words[place >> 2];
          else if ((place & 3) === 0) words[place >> 2] = 0;
        }
      }
      if (++at === size) at = 0;
    }
    this.#checksum = sum; // or the compiler would leave the reads out
  }

  /** Where in its window an address is, and makes that window the current one; -1 if no process has it. */
  #search(low: number, high: number, bytes: number): number {
    const top = low >>> WINDOW_BITS, place = low & PLACE;
    const number = high * 2 + top;
    const first = place >>> PAGE_BITS, last = (place + bytes - 1) >>> PAGE_BITS;
    for (let page = first; page <= last; page++) {
      if (this.#windows.get(number)?.present[page] === 1) continue;
      if (!this.#find((number * WINDOW / HUGEPAGE + page) * HUGEPAGE)) return -1;
    }
    this.#use(high, top, this.#windows.get(number)!);
    return place;
  }

  #use(high: number, top: number, window: Window): void {
    this.#high = high;
    this.#top = top;
    this.#present = window.present;
    this.words = window.words;
    this.longs = window.longs;
    this.bytes = window.bytes;
  }

  /** Looks for the process that has a hugepage, and maps what else it has together with it. */
  #find(address: number): boolean {
    if (this.#searches >= SEARCHES) return false;
    for (const pages of sharedPages()) {
      if (pages.addresses.includes(address) && this.#mapAll(pages)) return true;
    }
    const more = ++this.#searches < SEARCHES ? "" : "; no further address is looked for";
    this.#log(
      `no process has a hugepage at bus address 0x${address.toString(16)}: DMA memory has to be ` +
        `shared, in pages of 2 MiB${more}`,
    );
    return false;
  }

  #mapAll({ pid, file, offset, addresses }: SharedPages): boolean {
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd < 0) return false; // the process has ended meanwhile
    try {
      addresses.forEach((address, i) => {
        if (address >= 0) this.#map(address, fd, offset + i * HUGEPAGE);
      });
      this.#owners.add(pid);
      return true;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log(`process ${pid}: ${error.message}`);
      return false;
    } finally {
      stubs.ixy_close(fd);
    }
  }

  #map(address: number, fd: number, offset: number): void {
    const number = Math.floor(address / WINDOW);
    let window = this.#windows.get(number);
    if (window === undefined) this.#windows.set(number, window = reserve());
    const page = address % WINDOW / HUGEPAGE;
    if (window.present[page] === 1) return;
    window.mapping!.place("a driver's hugepage", page * HUGEPAGE, HUGEPAGE, fd, offset);
    window.present[page] = 1;
  }
}

/** A page more than a window, for what reaches beyond its end. */
function reserve(): Window {
  const mapping = Mapping.reserve(WINDOW + HUGEPAGE);
  return {
    mapping,
    words: new Uint32Array(mapping.buffer),
    longs: new BigUint64Array(mapping.buffer),
    bytes: new Uint8Array(mapping.buffer),
    present: new Uint8Array(NOWHERE.present.length),
  };
}
