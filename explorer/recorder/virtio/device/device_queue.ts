/**
 * The device's side of a split virtqueue (VirtIO 1.3, section 2.7): takes chains from the available
 * ring, and puts them into the used ring. It looks at no more than the driver has made available, and
 * checks what it reads.
 *
 * @module
 */

import type { QueueAreas } from "../../../../virtio/transport.ts";
import { DESC_NEXT, DESC_WRITE } from "../../../../virtio/virtqueue.ts";
import type { DriverMemory } from "./driver_memory.ts";
import { RuleError } from "./rules.ts";

/** VIRTQ_AVAIL_F_NO_INTERRUPT: the driver needs no interrupts. */
const NO_INTERRUPT = 1;
/** VIRTQ_USED_F_NO_NOTIFY: the device needs no notifications. */
const NO_NOTIFY = 1;
/** Bytes of a descriptor, and of an entry of each ring; both rings begin with `flags` and `idx`. */
const DESCRIPTOR = 16, AVAILABLE_ENTRY = 2, USED_ENTRY = 8, RING = 4;

/** A descriptor, and the bytes of its buffer. */
export interface DeviceBuffer {
  /** Index of the descriptor. */
  readonly index: number;
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether the device writes the buffer, and does not read it. */
  readonly writable: boolean;
}

/** The device's side of a queue. The id of a chain is the index of its first descriptor. */
export class DeviceQueue {
  readonly entries: number;
  readonly areas: QueueAreas;
  /** The used index that the driver sees. */
  usedIndex = 0;
  readonly #memory: DriverMemory;
  readonly #table: DataView;
  readonly #available: DataView;
  readonly #used: DataView;
  #taken = 0;
  #put = 0;

  /**
   * Creates the device's side of an empty queue.
   *
   * @param areas Where the driver has placed the queue.
   * @param memory The driver's memory, which descriptors point to.
   */
  constructor(areas: QueueAreas, memory: DriverMemory) {
    const { memory: { buffer }, entries } = areas;
    this.entries = entries;
    this.areas = areas;
    this.#memory = memory;
    this.#table = new DataView(buffer, areas.descriptors, DESCRIPTOR * entries);
    this.#available = new DataView(buffer, areas.available, RING + AVAILABLE_ENTRY * entries);
    this.#used = new DataView(buffer, areas.used, RING + USED_ENTRY * entries);
  }

  /** Position of the next chain to take, modulo 2^16. */
  get taken(): number {
    return this.#taken;
  }

  /** The driver's index of the available ring: position after the last chain, modulo 2^16. */
  get availableIndex(): number {
    return this.#available.getUint16(2, true);
  }

  /** Available chains that were not taken. */
  get waiting(): number {
    return (this.availableIndex - this.#taken) & 0xffff;
  }

  /** Whether the driver has turned interrupts off. */
  get noInterrupt(): boolean {
    return (this.availableFlags & NO_INTERRUPT) !== 0;
  }

  /** The available ring's flags: 1 for no interrupts. */
  get availableFlags(): number {
    return this.#available.getUint16(0, true);
  }

  /** Whether the device has turned notifications off. */
  get noNotify(): boolean {
    return (this.#used.getUint16(0, true) & NO_NOTIFY) !== 0;
  }

  set noNotify(on: boolean) {
    this.#used.setUint16(0, on ? NO_NOTIFY : 0, true);
  }

  /**
   * Returns the id of an available chain.
   *
   * @param distance How many chains after the next one; less than
   * {@linkcode DeviceQueue.prototype.waiting}.
   * @throws {RuleError} if the driver has made more chains available than the queue has descriptors.
   */
  peek(distance = 0): number {
    const { waiting, entries } = this;
    if (waiting > entries) {
      throw new RuleError({
        register: "avail.idx",
        section: "VirtIO 2.7.13.3",
        rule: "the index counts the chains that the driver has made available",
        detail: `${waiting} chains are available in a queue of ${entries} descriptors`,
      });
    }
    if (distance >= waiting) throw new Error("the driver has made no chain available");
    const place = (this.#taken + distance) % entries;
    return this.#available.getUint16(RING + AVAILABLE_ENTRY * place, true);
  }

  /**
   * Takes the next chain; returns its id.
   *
   * @throws {RuleError} as {@linkcode DeviceQueue.prototype.peek} does.
   */
  take(): number {
    const id = this.peek();
    this.#taken = (this.#taken + 1) & 0xffff;
    return id;
  }

  /**
   * Returns the buffers of a chain.
   *
   * @throws {RuleError} if a descriptor does not exist, the chain has more descriptors than the queue,
   * a buffer to read follows one to write, or a buffer is not in the memory mapped.
   */
  chain(id: number): DeviceBuffer[] {
    const buffers: DeviceBuffer[] = [];
    for (let index = id, more = true; more;) {
      this.#check(index, buffers.length);
      const at = DESCRIPTOR * index, table = this.#table;
      const address = Number(table.getBigUint64(at, true)), length = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true), writable = (flags & DESC_WRITE) !== 0;
      if (!writable && buffers.at(-1)?.writable) {
        throw new RuleError({
          register: `desc[${index}].flags`,
          section: "VirtIO 2.7.4.2",
          rule: "buffers that the device writes follow those that it reads",
          detail: "a buffer to read follows one to write",
        });
      }
      const bytes = this.#memory.find(address, length);
      if (bytes === undefined) {
        throw new RuleError({
          register: `desc[${index}].addr`,
          section: "VirtIO 2.7.5",
          rule: "the address is that of a buffer in the driver's memory",
          detail: `${length} bytes at 0x${address.toString(16)} are not mapped for the device`,
        });
      }
      buffers.push({ index, address, bytes, writable });
      more = (flags & DESC_NEXT) !== 0;
      index = table.getUint16(at + 14, true);
    }
    return buffers;
  }

  #check(index: number, before: number): void {
    const { entries } = this;
    if (index >= entries) {
      throw new RuleError({
        register: before === 0 ? "avail.ring" : "desc.next",
        section: before === 0 ? "VirtIO 2.7.6" : "VirtIO 2.7.5",
        rule: `a queue of ${entries} descriptors has indices from 0 to ${entries - 1}`,
        detail: `index ${index}`,
      });
    }
    if (before === entries) {
      throw new RuleError({
        register: "desc.next",
        section: "VirtIO 2.7.5.2",
        rule: "a chain has no circle",
        detail: `the chain does not end after ${entries} descriptors`,
      });
    }
  }

  /**
   * Writes the next entry of the used ring, which the driver does not see before the index.
   *
   * @param length Bytes that the device has written to the chain.
   * @returns The entry's place in the ring.
   */
  write(id: number, length: number): number {
    const place = this.#put % this.entries, at = RING + USED_ENTRY * place;
    this.#used.setUint32(at, id, true);
    this.#used.setUint32(at + 4, length, true);
    this.#put = (this.#put + 1) & 0xffff;
    return place;
  }

  /** Moves the used index to the end of the entries written: the driver sees them. */
  publish(): void {
    this.usedIndex = this.#put;
    this.#used.setUint16(2, this.usedIndex, true);
  }

  /**
   * Writes an entry of the used ring, and moves the index.
   *
   * @param advance How far the index moves; default: to the end of the entry. Other values are for
   * IN_ORDER, and for tests of devices that are wrong.
   */
  put(id: number, length: number, advance = 1): void {
    this.write(id, length);
    this.#put = (this.usedIndex + advance) & 0xffff;
    this.publish();
  }
}
