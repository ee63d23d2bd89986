/**
 * The table of flow director filters in the modelled device's packet buffer: a list for each value
 * of the hash (datasheet section 7.1.2.7). The commands on it are in `commands.ts`.
 *
 * @module
 */

import type { FlowKey } from "./key.ts";

/** Stands for no filter. */
export const NONE = -1;
/** Filters that the table reserves: a driver can use 2046 of 2048. */
const KEPT = 2;
/** Words of a filter's fields. */
const FIELDS = 5;

/** The fields that a filter compares in perfect match mode. */
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
  /** Unused filters, and filters with a collision. */
  free = 0;
  collisions = 0;
  /**
   * Position in its list of the filter found last, from 1 on; the list's length if none was found.
   */
  distance = 0;
  /** FDIRCMD of each filter: the action for packets that match it. */
  commands: Int32Array = new Int32Array(0);
  /** Signature of each filter, or its number from software. */
  ids: Int16Array = new Int16Array(0);
  #fields = new Int32Array(0);
  #heads = new Int16Array(0);
  #next = new Int16Array(0);
  #unused = NONE;

  /** Empties the table. `capacity` is the number of filters and of lists: a power of two. */
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

  /** Returns the filter of a list that has an id, or {@linkcode NONE}. */
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

  /** Returns the filter of a list whose fields equal a key's, or {@linkcode NONE}. */
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

  /** Appends a filter to a list; returns its number, or {@linkcode NONE} if the table is full. */
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

  /** Removes a filter from its list. */
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
