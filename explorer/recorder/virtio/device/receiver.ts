/**
 * The device's way of a received frame: filter, queue, chains, header, used ring (VirtIO 1.3, section
 * 5.1.6.4).
 *
 * @module
 */

import { Feature } from "../../../../virtio/features.ts";
import {
  type DeviceCore,
  HEADER,
  publishUsed,
  returnChain,
  suppressNotifications,
  takeChain,
} from "./core.ts";
import type { Frame } from "./events.ts";
import type { DeviceBuffer } from "./device_queue.ts";
import { steer } from "./frame_filter.ts";
import { RuleError } from "./rules.ts";

/** Offset of the header's field num_buffers. */
const NUM_BUFFERS = 10;
/** Most frames that a device keeps for one queue while no chains are available. */
const KEPT = 64;

/** Receives frames for a device. */
export class Receiver {
  readonly #device: DeviceCore;
  readonly #drops: boolean;
  /** Frames on the wire. */
  readonly #wire: Frame[] = [];
  /** Frames that wait for chains, by queue. */
  readonly #kept = new Map<number, Frame[]>();

  /**
   * Creates the receiver of a device.
   *
   * @param drops Whether frames without available chains are dropped at once.
   */
  constructor(device: DeviceCore, drops: boolean) {
    this.#device = device;
    this.#drops = drops;
  }

  /** Frames on the wire. */
  get arriving(): number {
    return this.#wire.length;
  }

  /** Puts a frame on the wire. */
  put(frame: Frame): void {
    this.#wire.push(frame);
  }

  /** Forgets the frames that wait. */
  reset(): void {
    this.#kept.clear();
  }

  /** After the driver's notification of new chains. */
  notified(index: number): void {
    if ((this.#kept.get(index)?.length ?? 0) === 0) {
      suppressNotifications(this.#device, index, true);
    }
  }

  /** Receives frames: first those that waited, then from the wire. Returns how many. */
  round(budget: number): number {
    const device = this.#device;
    let n = 0;
    for (const [index, frames] of device.running ? this.#kept : []) {
      while (n < budget && frames.length > 0 && this.#chains(index, frames[0]) > 0) {
        const frame = frames.shift()!;
        device.observe({ what: "resume", frame });
        this.#write(index, frame);
        n++;
      }
      if (frames.length === 0 && this.#kept.delete(index)) {
        suppressNotifications(this.#device, index, true);
      }
    }
    for (; n < budget && this.#wire.length > 0; n++) this.#arrive(this.#wire.shift()!);
    return n;
  }

  #arrive(frame: Frame): void {
    const device = this.#device;
    device.observe({ what: "arrive", frame });
    if (!device.running) {
      return this.#drop("device_status", "The driver has not set DRIVER_OK.", "VirtIO 3.1.1");
    }
    const { accepted, ...decision } = device.filter.decide(frame.bytes);
    if (!accepted) return device.observe({ what: "drop", decision });
    const index = 2 * steer(frame.bytes, device.activePairs);
    device.observe({ what: "decide", queue: index, decision });
    const kept = this.#kept.get(index);
    if (kept === undefined && this.#chains(index, frame) > 0) return this.#write(index, frame);
    this.#keep(index, frame);
  }

  /** Keeps a frame for which too few chains are available, or drops it. */
  #keep(index: number, frame: Frame): void {
    const kept = this.#kept.get(index) ?? [], section = "VirtIO 5.1.6.4";
    if (!this.#merges && this.#device.queues[index].waiting > 0) {
      return this.#drop("desc.len", "The frame does not fit the chain's buffers.", section);
    }
    if (this.#drops || kept.length === KEPT) {
      const reason = this.#drops
        ? "The available ring has no chains for the frame."
        : `The available ring has no chains, and ${KEPT} frames wait already.`;
      return this.#drop("avail.idx", reason, section);
    }
    kept.push(frame);
    this.#kept.set(index, kept);
    this.#device.observe({ what: "wait", queue: index });
    suppressNotifications(this.#device, index, false);
  }

  #drop(by: string, reason: string, section: string): void {
    this.#device.observe({ what: "drop", decision: { by, reason, section } });
  }

  get #merges(): boolean {
    return (this.#device.taken & Feature.MRG_RXBUF) !== 0n;
  }

  /** Returns how many chains a frame needs; 0 if not so many are available. */
  #chains(index: number, frame: Frame): number {
    const queue = this.#device.queues[index], most = this.#merges ? queue.waiting : 1;
    let room = -HEADER;
    for (let n = 0; n < Math.min(most, queue.waiting); n++) {
      for (const { bytes } of queue.chain(queue.peek(n))) room += bytes.length;
      if (room >= frame.bytes.length) return n + 1;
    }
    return 0;
  }

  /** Writes header and frame to chains, then all entries of the used ring, then the used index. */
  #write(index: number, frame: Frame): void {
    const device = this.#device;
    const chains = this.#chains(index, frame), header = new Uint8Array(HEADER);
    new DataView(header.buffer).setUint16(NUM_BUFFERS, chains, true);
    let headerDone = 0, frameDone = 0;
    const filled: [id: number, length: number][] = [];
    for (let n = 0; n < chains; n++) {
      const id = takeChain(device, index);
      let written = 0;
      for (const buffer of this.#fetch(index, id)) {
        let room = buffer.bytes;
        const first = header.subarray(headerDone, headerDone + room.length);
        this.#put(index, buffer, room, first, "header");
        headerDone += first.length;
        room = room.subarray(first.length);
        const part = frame.bytes.subarray(frameDone, frameDone + room.length);
        this.#put(index, buffer, room, part, "frame");
        frameDone += part.length;
        written += first.length + part.length;
      }
      filled.push([id, written]);
    }
    for (const [id, length] of filled) returnChain(device, index, id, length);
    publishUsed(device, index);
  }

  #fetch(index: number, id: number): DeviceBuffer[] {
    const buffers = this.#device.queues[index].chain(id);
    for (const buffer of buffers) {
      this.#device.observe({ what: "fetch", queue: index, index: buffer.index });
      if (buffer.writable) continue;
      throw new RuleError({
        register: `desc[${buffer.index}].flags`,
        section: "VirtIO 5.1.6.3",
        rule: "the device writes all buffers of a receive queue",
        detail: "VIRTQ_DESC_F_WRITE is not set",
      });
    }
    return buffers;
  }

  #put(
    index: number,
    { index: descriptor, address, bytes: all }: DeviceBuffer,
    room: Uint8Array,
    bytes: Uint8Array,
    part: "header" | "frame",
  ): void {
    if (bytes.length === 0) return;
    room.set(bytes);
    this.#device.observe({
      what: "dma-write",
      queue: index,
      index: descriptor,
      address: address + room.byteOffset - all.byteOffset,
      part,
      bytes: bytes.slice(),
    });
  }
}
