/**
 * The device's way of a frame to send: chain, header, frame, wire, used ring (VirtIO 1.3, section
 * 5.1.6.2), and when it needs notifications (section 2.7.10).
 *
 * @module
 */

import type { DeviceBuffer } from "./device_queue.ts";
import {
  type DeviceCore,
  HEADER,
  publishUsed,
  returnChain,
  suppressNotifications,
  takeChain,
} from "./core.ts";
import { type BrokenRule, RuleError } from "./rules.ts";

/** Sends frames for a device. */
export class Transmitter {
  readonly #device: DeviceCore;

  /** Creates the transmitter of a device. */
  constructor(device: DeviceCore) {
    this.#device = device;
  }

  /**
   * Sends frames of a queue, and returns their chains with one change of the used index. The device
   * needs no notifications while it has chains to send; it turns them on when it has none left.
   *
   * @param notified Whether the driver has sent a notification since the last round.
   * @param budget Most frames of the round.
   * @returns The number of frames.
   */
  round(index: number, notified: boolean, budget: number): number {
    const device = this.#device, queue = device.queues[index];
    if (queue.waiting === 0 || budget <= 0) return 0;
    if (!notified && !queue.noNotify) {
      device.report({
        register: "queue_notify",
        section: "VirtIO 2.7.13.4.1",
        rule: "the driver notifies the device of new chains while the used ring's flags are 0",
        detail: `queue ${index} has chains without a notification`,
      });
    }
    suppressNotifications(device, index, true);
    let n = 0;
    for (; n < budget && queue.waiting > 0; n++) this.#send(index);
    publishUsed(device, index);
    // A device with a thread of its own has to look once more after this: the driver may have made a
    // chain available meanwhile, and seen the old flags.
    if (queue.waiting === 0) suppressNotifications(device, index, false);
    return n;
  }

  /** Sends one frame, and puts its chain into the used ring. */
  #send(index: number): void {
    const device = this.#device, queue = device.queues[index];
    const id = takeChain(device, index), buffers = queue.chain(id);
    for (const { index: descriptor, writable } of buffers) {
      device.observe({ what: "fetch", queue: index, index: descriptor });
      if (writable) throw unreadable(descriptor);
    }
    const frame = this.#read(index, buffers);
    device.observe({ what: "send", queue: index, bytes: frame });
    returnChain(device, index, id, 0);
  }

  /** Reads the header and the frame after it; returns the frame. */
  #read(index: number, buffers: readonly DeviceBuffer[]): Uint8Array {
    const frame = new Uint8Array(lengthOf(buffers));
    let header = HEADER, at = 0;
    for (const { index: descriptor, address, bytes } of buffers) {
      const split = Math.min(header, bytes.length);
      header -= split;
      const parts = [["header", 0, split], ["frame", split, bytes.length]] as const;
      for (const [part, from, to] of parts) {
        if (from === to) continue;
        const read = bytes.slice(from, to);
        if (part === "frame") frame.set(read, at), at += read.length;
        this.#device.observe({
          what: "dma-read",
          queue: index,
          index: descriptor,
          address: address + from,
          part,
          bytes: read,
        });
      }
    }
    if (header > 0) throw new RuleError(tooShort(buffers[0].index, HEADER - header));
    return frame;
  }
}

/** Returns the bytes of the frame in a chain. */
function lengthOf(buffers: readonly DeviceBuffer[]): number {
  return Math.max(0, buffers.reduce((sum, { bytes }) => sum + bytes.length, -HEADER));
}

function unreadable(descriptor: number): RuleError {
  return new RuleError({
    register: `desc[${descriptor}].flags`,
    section: "VirtIO 5.1.6.2",
    rule: "the device reads all buffers of a transmit queue",
    detail: "VIRTQ_DESC_F_WRITE is set",
  });
}

function tooShort(descriptor: number, bytes: number): BrokenRule {
  return {
    register: `desc[${descriptor}].len`,
    section: "VirtIO 5.1.6.2",
    rule: `a chain to send begins with a header of ${HEADER} bytes`,
    detail: `the chain has ${bytes} bytes`,
  };
}
