/**
 * Traffic classes of received packets (DCB; 82599 datasheet, section 7.7; X550: 7.6): the priority
 * in a packet's VLAN tag leads to a class, which has a packet buffer and receive queues of its own.
 *
 * @module
 */

import { MRQC, RQTC, RTRUP2TC } from "../../ixgbe/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";

/** Modes of MRQC.MRQE: 8 or 4 classes, without or with receive side scaling (8.2.3.7.12). */
const EIGHT = 2, FOUR = 3, EIGHT_RSS = 4, FOUR_RSS = 5;
const MODES: readonly number[] = [EIGHT, FOUR, EIGHT_RSS, FOUR_RSS];
/** Receive queues, which the classes share equally. */
const QUEUES = 128;
const PRIORITY_SHIFT = 13, PRIORITIES = 8;

/** Number of packet buffers. */
export const MAX_CLASSES = 8;

/** Returns whether an MRQC.MRQE hashes packets: receive side scaling, alone or in each class. */
export function hashes(mode: number): boolean {
  return mode === 1 || mode === EIGHT_RSS || mode === FOUR_RSS;
}

/** The classes. */
export class TrafficClasses {
  /** Number of classes; 0 while the driver has not enabled them. */
  count = 0;
  readonly #classes = new Uint8Array(PRIORITIES);
  /** Bits of the hash's queue that count in each class. */
  readonly #masks = new Uint8Array(MAX_CLASSES);

  /** Loads the settings from the registers. */
  load(file: RegisterFile): void {
    const mode = file.get(MRQC) & MRQC.MRQE;
    this.count = !MODES.includes(mode) ? 0 : mode === EIGHT || mode === EIGHT_RSS ? 8 : 4;
    const map = file.get(RTRUP2TC), bits = file.get(RQTC);
    for (let i = 0; i < MAX_CLASSES; i++) {
      this.#classes[i] = (map >>> 3 * i & 7) % (this.count || 1);
      const width = bits >>> 4 * i & 7;
      this.#masks[i] = hashes(mode) && width < 7 ? (1 << width) - 1 : 0;
    }
  }

  /** Returns the class of a packet with a VLAN tag, or -1 without one: its priority is 0 then. */
  classOf(tag: number): number {
    return this.#classes[tag < 0 ? 0 : tag >>> PRIORITY_SHIFT];
  }

  /** Returns the queue of a packet, by its class and the queue that its hash leads to. */
  queueOf(trafficClass: number, hashed: number): number {
    const queues = QUEUES / this.count;
    return trafficClass * queues + (hashed & this.#masks[trafficClass] & queues - 1);
  }
}
