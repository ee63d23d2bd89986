/**
 * The control queue: sends commands to the device, one at a time, and waits for the acknowledgement
 * of each (VirtIO 1.3, section 5.1.6.5).
 *
 * @module
 */

import { spinUntil } from "../native/clock.ts";
import type { DmaMemory } from "../src/dma.ts";
import { DeviceError } from "../src/errors.ts";
import type { Transport } from "./transport.ts";
import { DESC_NEXT, DESC_WRITE, LAYOUT, type Virtqueue } from "./virtqueue.ts";

/** Commands that the driver uses, each as class and command. */
export const Control = {
  PROMISCUOUS: [0, 0],
  ALL_MULTICAST: [0, 1],
  MAC_TABLE_SET: [1, 0],
  MAC_ADDR_SET: [1, 1],
  MQ_VQ_PAIRS_SET: [4, 0],
} as const;

const ACK_OK = 0;
/** Marks an acknowledgement that the device has not written yet. */
const NO_ACK = 0xff;
/** Longest that a device may take for a command. */
const DEADLINE_MS = 1000;

/** Offsets in the page of commands; the class and the command are at 0. */
const DATA = 16, ACK = 8;
const PAGE = 4096;
/** Most bytes of data that a command can have. */
export const MAX_DATA: number = PAGE - DATA;

/** A control queue. */
export class ControlQueue {
  readonly #transport: Transport;
  readonly #queue: Virtqueue;
  readonly #memory: DmaMemory;
  readonly #offset: number;
  readonly #bytes: Uint8Array;
  #position = 0;

  /**
   * Creates a control queue.
   *
   * @param memory Memory that the device can reach.
   * @param offset Offset of a free page in it, for commands.
   */
  constructor(transport: Transport, queue: Virtqueue, memory: DmaMemory, offset: number) {
    this.#transport = transport;
    this.#queue = queue;
    this.#memory = memory;
    this.#offset = offset;
    this.#bytes = new Uint8Array(memory.buffer, offset, PAGE);
  }

  /**
   * Sends a command and waits until the device has executed it.
   *
   * @throws {DeviceError} if the device refuses, or does not answer in time.
   */
  command([group, number]: readonly [number, number], data: Uint8Array): void {
    const queue = this.#queue, bytes = this.#bytes;
    const address = (at: number) => this.#memory.busAddress(this.#offset + at, queue.addressing);
    bytes.set([group, number]);
    bytes.set(data, DATA);
    bytes[ACK] = NO_ACK;
    queue.describe(0, address(0), 2, DESC_NEXT, 1);
    queue.describe(1, address(DATA), data.length, DESC_NEXT, 2);
    queue.describe(2, address(ACK), 1, DESC_WRITE);
    const { entries } = queue.areas, position = this.#position;
    queue.available[LAYOUT.AVAILABLE_RING + position % entries] = 0;
    this.#position = (position + 1) & 0xffff;
    queue.publish(this.#position);
    this.#await(position, `command ${group}.${number}`);
    if (queue.used[LAYOUT.USED_RING + 2 * (position % entries)] !== 0) {
      throw queue.malformed(position, "an id that it does not have");
    }
    if (bytes[ACK] !== ACK_OK) {
      throw new DeviceError(
        this.#transport.address,
        `the device refused command ${group}.${number} of the control queue (acknowledgement ` +
          `${bytes[ACK]}): see the log of its back-end`,
      );
    }
  }

  #await(position: number, what: string): void {
    const arrived = spinUntil(DEADLINE_MS, () => {
      const count = (this.#queue.usedIndex[1] - position) & 0xffff;
      if (count > 1) throw this.#queue.overrun(position, 1);
      return count === 1;
    });
    if (arrived) return;
    throw new DeviceError(
      this.#transport.address,
      `no answer to ${what} of the control queue within ${DEADLINE_MS} ms: open the device again`,
    );
  }
}
