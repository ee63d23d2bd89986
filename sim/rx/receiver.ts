/**
 * The receive side of the modelled device: from the wire through filters and packet buffer to
 * receive queues and host memory (datasheet section 7.1). The inspection of frames is in
 * `offloads.ts`, descriptors are in `queue.ts`, statistics in `counts.ts`.
 *
 * `receive` and its callees are the hot path. They are short, so that the compiler inlines them;
 * rare cases have functions of their own.
 *
 * @module
 */

import { CTRL_EXT, HLREG0, MAXFRS, RXPBSIZE } from "../../ixgbe/registers.ts";
import { FlowDirector } from "../flow/director.ts";
import { copy } from "../frames/copy.ts";
import { appendCrc, FRAME, FrameBuffer, sizeClass } from "../frames/frame.ts";
import { RX_STATUS } from "../rings/descriptors.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { AddressFilters, KIND } from "./address_filters.ts";
import { RECEIVED } from "./counts.ts";
import { ReceiveOffloads } from "./offloads.ts";
import { PacketBuffer } from "./packet_buffer.ts";
import { QUEUE_DROPS, type ReceiveQueue } from "./queue.ts";
import { ReceiveQueues } from "./queues.ts";

const { DD, EOP } = RX_STATUS, { UNICAST, BROADCAST, REJECTED } = KIND;
const { CRC, MIN: MIN_FRAME } = FRAME;
const { SHORT, BYTES, BROADCASTS, MULTICASTS } = RECEIVED;
const { IGNORED, FILTERED, MISSED, OVERSIZED, UNDERSIZED } = RECEIVED;
/** Longest frame without HLREG0.JUMBOEN, with CRC and without VLAN tag (8.2.3.22.8). */
const MAX_STANDARD_FRAME = 1518;
/** Bytes of a VLAN tag, by which a frame may exceed the longest one. */
const VLAN_TAG = 4;
/** Bytes of both Ethernet addresses, which precede a VLAN tag. */
const ADDRESSES = 12;
const ETHERTYPE_VLAN = 0x0081; // 0x8100 as a little-endian halfword

/** Maximum number of frames that leave the packet buffer in one round. */
const DRAIN_BUDGET = 64;

/** Moves frames from the wire to host memory. */
export class Receiver extends ReceiveQueues {
  /** Whether frames are received: receiver enabled, data path open, link up. */
  receiving = false;
  readonly filters: AddressFilters;
  /** The inspection of frames. */
  readonly offloads: ReceiveOffloads;
  /** Filters that direct flows to queues. */
  readonly director: FlowDirector;
  readonly #fresh: Float64Array;
  readonly #buffer = new PacketBuffer();
  readonly #waiting = new FrameBuffer();
  readonly #stripped = new FrameBuffer();
  /** Whether frames are inspected. */
  #looks = false;
  #maxFrame = MAX_STANDARD_FRAME - CRC;
  #stripCrc = true;

  /** @param largeTable Whether the redirection table is the X550's. */
  constructor(core: DeviceCore, largeTable: boolean) {
    super(core);
    this.filters = new AddressFilters(core.file);
    this.director = new FlowDirector(core);
    this.offloads = new ReceiveOffloads(core, largeTable, this.director);
    this.#fresh = this.counts.fresh;
  }

  /** Stops all queues, drops waiting frames, and loads the settings from the registers. */
  reset(): void {
    this.stopAll();
    this.receiving = false;
    this.settle();
    this.#buffer.clear();
    this.filters.load();
    this.director.reset();
    this.loadOffloads();
    this.load();
  }

  /** Loads the limit of frame sizes and CRC stripping from the registers. */
  load(): void {
    const { file } = this.core;
    const control = file.get(HLREG0);
    const jumbo = (control & HLREG0.JUMBOEN) !== 0;
    const doubleVlan = (file.get(CTRL_EXT) & CTRL_EXT.EXTENDED_VLAN) !== 0;
    this.#maxFrame = (jumbo ? file.get(MAXFRS) >>> 16 : MAX_STANDARD_FRAME) - CRC +
      (doubleVlan ? 2 * VLAN_TAG : 0); // X550 datasheet, section 8.2.2.16.6
    this.#stripCrc = (control & HLREG0.RXCRCSTRP) !== 0;
  }

  /** Loads from the registers what the inspection of frames has to find. */
  loadOffloads(): void {
    this.offloads.load();
    this.#looks = this.offloads.active;
    this.setDetailed(this.#looks);
    this.loadDropEnable();
  }

  /** Gives the packet buffer the size in RXPBSIZE[0]. */
  resizeBuffer(): void {
    this.#buffer.resize(Math.min(this.core.file.get(RXPBSIZE) & RXPBSIZE.SIZE, 512 * 1024));
  }

  /** Begins a round: reads tails, and delivers frames that wait for descriptors. */
  poll(): number {
    this.refresh();
    if (this.#buffer.frames === 0) return 0;
    return this.#drain();
  }

  /**
   * Takes a frame from the wire.
   *
   * @returns false if there was neither a descriptor nor room to wait for one.
   */
  receive(frame: FrameBuffer, length: number): boolean {
    const count = this.#fresh;
    if (!this.receiving) {
      count[IGNORED]++;
      return true;
    }
    if ((length < MIN_FRAME || length > this.#maxFrame) && !this.#hasLegalLength(frame, length)) {
      return true;
    }
    const kind = this.filters.classify(frame.words[0], frame.words[1]);
    if (kind !== UNICAST) {
      if (kind === REJECTED) {
        count[FILTERED]++;
        return true;
      }
      count[kind === BROADCAST ? BROADCASTS : MULTICASTS]++;
    }
    let queue = this.first;
    if (this.#looks) {
      this.offloads.inspect(frame.bytes, length);
      if (this.offloads.refused) {
        count[FILTERED]++;
        return true;
      }
      queue = this.queues[this.offloads.queue];
    }
    if (length === MIN_FRAME) count[SHORT]++;
    else this.#countLonger(length);
    if (!this.#stripCrc) {
      appendCrc(frame.bytes, length);
      length += CRC;
    }
    if (
      this.#buffer.frames === 0 && this.dmaAllowed && queue.running &&
      queue.generation === this.core.dma.generation && queue.room * queue.bufferBytes >= length
    ) {
      if (this.#looks) this.#deliverLooked(queue, frame, length);
      else this.#deliver(queue, frame, length);
      return true;
    }
    return this.#wait(queue, frame, length);
  }

  // Keeps or drops a frame that cannot go to host memory now.
  #wait(queue: ReceiveQueue, frame: FrameBuffer, length: number): boolean {
    if (queue.running && !this.busMaster) queue.violateBusMaster();
    if (queue.running && this.dmaAllowed && this.#buffer.frames === 0) {
      if (queue.refresh() * queue.bufferBytes >= length) {
        if (this.#looks) this.#deliverLooked(queue, frame, length);
        else this.#deliver(queue, frame, length);
        return true;
      }
    }
    if (queue.running && !queue.dropEnable) {
      if (this.#buffer.push(frame, length, queue.index)) return true;
      this.counts.bufferFull();
    } else {
      queue.counts[QUEUE_DROPS]++;
    }
    this.#fresh[MISSED]++;
    return false;
  }

  #drain(): number {
    let moved = 0;
    while (this.#buffer.frames > 0 && this.dmaAllowed && moved < DRAIN_BUDGET) {
      // As on the device, a frame that waits for its queue blocks all frames behind it.
      const queue = this.queues[this.#buffer.peekQueue()];
      if (!queue.running || queue.room * queue.bufferBytes < this.#buffer.peek()) break;
      const length = this.#buffer.pop(this.#waiting);
      if (this.#looks) {
        this.offloads.inspect(this.#waiting.bytes, length, true);
        this.#deliverLooked(queue, this.#waiting, length);
      } else {
        this.#deliver(queue, this.#waiting, length);
      }
      moved++;
    }
    this.writeBack();
    return moved;
  }

  // Writes a frame to as many buffers as it needs; `writeBack` writes the descriptors.
  #deliver(queue: ReceiveQueue, frame: FrameBuffer, length: number): void {
    const bufferBytes = queue.bufferBytes;
    let from = 0;
    while (length - from > bufferBytes) {
      if (!this.#fill(queue, frame, from, bufferBytes, DD)) return;
      from += bufferBytes;
    }
    this.#fill(queue, frame, from, length - from, DD | EOP);
  }

  // Writes part of a frame to the buffer of the descriptor at the head.
  #fill(
    queue: ReceiveQueue,
    frame: FrameBuffer,
    from: number,
    length: number,
    status: number,
  ): boolean {
    const { dma } = this.core;
    const { words, head } = queue;
    const at = queue.first + head * 4;
    const to = dma.follow(words, at, queue.bufferBytes);
    if (to < 0 || !dma.writable) {
      queue.stopAtBadBuffer();
      return false;
    }
    if (queue.advanced && (words[at + 2] & DD) !== 0) queue.violateDd();
    copy(dma, to, frame, from, length);
    queue.lengths[head] = length;
    queue.statuses[head] = status;
    queue.head = head + 1 === queue.size ? 0 : head + 1;
    if (queue.ahead > 0) queue.ahead--;
    return true;
  }

  // Delivers a frame that was inspected.
  #deliverLooked(queue: ReceiveQueue, frame: FrameBuffer, length: number): void {
    const { offloads } = this;
    const from = queue.head;
    const strips = queue.strips && offloads.tag >= 0;
    if (strips) this.#deliver(queue, this.#strip(frame, length), length - VLAN_TAG);
    else this.#deliver(queue, frame, length);
    queue.describe(from, offloads.type, offloads.hash, strips ? offloads.tag : 0, offloads.status);
  }

  // Returns the frame without its VLAN tag.
  #strip(frame: FrameBuffer, length: number): FrameBuffer {
    const to = this.#stripped.bytes;
    to.set(frame.bytes.subarray(0, ADDRESSES));
    to.set(frame.bytes.subarray(ADDRESSES + VLAN_TAG, length), ADDRESSES);
    this.offloads.strip();
    return this.#stripped;
  }

  #countLonger(length: number): void {
    this.#fresh[sizeClass(length)]++;
    this.#fresh[BYTES] += length + CRC;
  }

  #hasLegalLength(frame: FrameBuffer, length: number): boolean {
    if (length < MIN_FRAME) {
      this.#fresh[UNDERSIZED]++;
      return false;
    }
    const tagged = (frame.words[3] & 0xffff) === ETHERTYPE_VLAN;
    if (length <= this.#maxFrame + (tagged ? VLAN_TAG : 0)) return true;
    this.#fresh[OVERSIZED]++;
    return false;
  }
}
