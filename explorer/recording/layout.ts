/**
 * The state of driver and devices as an array of 32-bit cells, so that a step is a list of changed
 * cells, and going back is as cheap as going forward.
 *
 * @module
 */

/** A named run of cells. */
export interface Section {
  readonly start: number;
  readonly length: number;
}

/** The cells of a ring's section {@linkcode ringSection}. */
export const RING = {
  /** Whether the queue is enabled. */
  RUNS: 0,
  /** RDH or TDH: the next descriptor for the device. */
  HEAD: 1,
  /** RDT or TDT: one beyond the last descriptor for the device. */
  TAIL: 2,
  /** The next descriptor that the driver looks at: receive or reclaim. {@linkcode NONE} if unknown. */
  NEXT: 3,
  /** The next descriptor that the driver writes. {@linkcode NONE} if unknown. */
  FILL: 4,
  CELLS: 5,
} as const;

/** Who owns a descriptor. */
export const OWNER = {
  /** The driver: the descriptor is empty. */
  DRIVER: 0,
  /** The driver has written it, and the device does not have it before the tail is written. */
  ARMED: 1,
  /** The device, from head to tail. */
  DEVICE: 2,
  /** Done by the device, for the driver to look at. */
  DONE: 3,
} as const;

/** Who has a buffer of the pool. */
export const BUFFER = {
  FREE: 0,
  /** In a receive ring, empty. */
  RECEIVE: 1,
  /** In a receive ring, filled. */
  FILLED: 2,
  /** In the program's hands. */
  PROGRAM: 3,
  /** In a transmit ring, to be sent. */
  TRANSMIT: 4,
  /** In a transmit ring, sent, and not reclaimed. */
  SENT: 5,
} as const;

/** No buffer, in the section `slots` of a ring; or an index of a driver in another process. */
export const NONE = 0xffff_ffff;

/** Sections by name. Both threads and the server have the same layout, which they send as plain data. */
export class Layout {
  readonly sections: Record<string, Section>;

  /** @param sections From {@linkcode Layout.prototype.sections} of another layout; default: none. */
  constructor(sections: Record<string, Section> = {}) {
    this.sections = sections;
  }

  /** Number of cells. */
  get length(): number {
    return Object.values(this.sections).reduce(
      (n, { start, length }) => Math.max(n, start + length),
      0,
    );
  }

  /** Appends a section. */
  add(name: string, length: number): Section {
    return this.sections[name] = { start: this.length, length };
  }

  /** Returns the cells of a section of `state`; none if the layout has no such section. */
  view(state: Uint32Array, name: string): Uint32Array {
    const { start, length } = this.sections[name] ?? { start: 0, length: 0 };
    return state.subarray(start, start + length);
  }
}

/** A ring's name: its port, its direction, and the number of its queue. */
export interface RingName {
  readonly port: number;
  readonly ring: "rx" | "tx";
  readonly queue: number;
}

/** Returns whether the index of a descriptor is from the head on and before the tail: the device's. */
export function isBetween(index: number, head: number, tail: number): boolean {
  return head <= tail ? index >= head && index < tail : index >= head || index < tail;
}

// Names of sections.

/** Registers of a port, by word of BAR0: the first 128 KiB. */
export function registerSection(port: number): string {
  return `port${port}/registers`;
}

/** Head, tail and the driver's indices of a ring, see {@linkcode RING}. */
export function ringSection(port: number, ring: "rx" | "tx", queue: number): string {
  return `port${port}/${ring}${queue}/ring`;
}

/** Descriptors of a ring, four words each. */
export function descriptorSection(port: number, ring: "rx" | "tx", queue: number): string {
  return `port${port}/${ring}${queue}/descriptors`;
}

/** Owner of each descriptor of a ring, see {@linkcode OWNER}. */
export function ownerSection(port: number, ring: "rx" | "tx", queue: number): string {
  return `port${port}/${ring}${queue}/owners`;
}

/** Buffer of each descriptor of a ring, or {@linkcode NONE}. */
export function slotSection(port: number, ring: "rx" | "tx", queue: number): string {
  return `port${port}/${ring}${queue}/slots`;
}

/** Who has each buffer of the pool, see {@linkcode BUFFER}. */
export const POOL_SECTION = "pool/owners";
/** Number of the frame in each buffer, or 0. */
export const FRAME_SECTION = "pool/frames";

/** Statistics registers of a port without side effects, in the order of {@linkcode Begin.statistics}. */
export function statisticsSection(port: number): string {
  return `port${port}/statistics`;
}

/** Whether the link is up (cell 0), and its speed in Mb/s (cell 1). */
export function linkSection(port: number): string {
  return `port${port}/link`;
}

/** Available ring or used ring of a virtqueue: flags, index, then the entries. */
export function virtqueueSection(
  port: number,
  ring: "rx" | "tx",
  queue: number,
  part: "available" | "used",
): string {
  return `port${port}/${ring}${queue}/${part}`;
}
