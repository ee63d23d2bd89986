/**
 * The table of flow director filters in the modelled device's packet buffer: lists, one for each
 * value of the hash (datasheet section 7.1.2.7). What commands do to it is in `commands.ts`.
 *
 * @module
 */

import type { FlowKey } from "./key.ts";

/** No filter. */
export const NONE = -1;
/** Filters that the table keeps for itself: 2046 of 2048 can be used. */
const KEPT = 2;
/** Words of what a filter compares. */
const FIELDS = 5;

/** What a filter compares in perfect match mode. */
export interface PerfectMatch {
  readonly flow: number;
  readonly source: number;
  readonly destination: number;
  readonly ports: number;
  readonly vlan: number;
  readonly flex: number;
}

/** Filters by number, in lists. */
export class FilterTable {
  /** Filters that are not used, and those with a collision. */
  free = 0;
  collisions = 0;
  /** Filters from the list's first to the one found last, both included; the whole list if none was. */
  distance = 0;
  /** FDIRCMD of each filter: where packets go that match it. */
  commands: Int32Array = new Int32Array(0);
  /** Signature, or number given by software. */
  ids: Int16Array = new Int16Array(0);
  #fields = new Int32Array(0);
  #heads = new Int16Array(0);
  #next = new Int16Array(0);
  #unused = NONE;

  /** Empties the table. `capacity` is the number of filters, and that of lists: a power of two. */
  clear(capacity: number): void {
    this.free = capacity;
    this.collisions = 0;
    this.commands = new Int32Array(capacity);
    this.ids = new Int16Array(capacity);
    this.#fields = new Int32Array(capacity * FIELDS);
    this.#heads = new Int16Array(capacity).fill(NONE);
    this.#next = Int16Array.from(this.commands.keys(), (filter) => filter + 1);
    this.#next[capacity - 1] = NONE;
    this.#unused = 0;
  }

  /** The filter of a list that has an id, or {@linkcode NONE}. */
  find(list: number, id: number): number {
    this.distance = 0;
    let filter = this.#heads[list];
    while (filter !== NONE) {
      this.distance++;
      if (this.ids[filter] === id) break;
      filter = this.#next[filter];
    }
    return filter;
  }

  /** The filter of a list whose fields are all those of a key, or {@linkcode NONE}. */
  match(list: number, key: FlowKey | PerfectMatch): number {
    this.distance = 0;
    let filter = this.#heads[list];
    while (filter !== NONE) {
      this.distance++;
      if (this.#equal(filter, key)) break;
      filter = this.#next[filter];
    }
    return filter;
  }

  /** Whether a list has filters. */
  has(list: number): boolean {
    return this.#heads[list] !== NONE;
  }

  /** Puts a filter at the end of a list; returns its number, or {@linkcode NONE} if there is no room. */
  add(list: number, id: number, command: number, fields?: PerfectMatch): number {
    if (this.free <= KEPT) return NONE;
    const filter = this.#unused;
    this.#unused = this.#next[filter];
    this.#next[filter] = NONE;
    this.free--;
    this.ids[filter] = id;
    this.commands[filter] = command;
    if (fields !== undefined) this.#put(filter, fields);
    let last = this.#heads[list];
    this.distance = 1;
    if (last === NONE) this.#heads[list] = filter;
    else {
      for (this.distance++; this.#next[last] !== NONE; this.distance++) last = this.#next[last];
      this.#next[last] = filter;
    }
    return filter;
  }

  /** Takes a filter out of its list. */
  remove(list: number, filter: number): void {
    if (this.#heads[list] === filter) this.#heads[list] = this.#next[filter];
    else {
      let before = this.#heads[list];
      while (this.#next[before] !== filter) before = this.#next[before];
      this.#next[before] = this.#next[filter];
    }
    this.#next[filter] = this.#unused;
    this.#unused = filter;
    this.free++;
  }

  #put(filter: number, { flow, source, destination, ports, vlan, flex }: PerfectMatch): void {
    this.#fields.set([flow, source, destination, ports, vlan << 16 | flex], filter * FIELDS);
  }

  #equal(filter: number, key: FlowKey | PerfectMatch): boolean {
    const fields = this.#fields, at = filter * FIELDS;
    return fields[at] === key.flow && fields[at + 1] === key.source &&
      fields[at + 2] === key.destination && fields[at + 3] === key.ports &&
      fields[at + 4] === (key.vlan << 16 | key.flex);
  }
}
