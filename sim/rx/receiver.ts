/**
 * The receive side of the modelled device: from the wire through filters and packet buffer to
 * receive queues and host memory (datasheet section 7.1). The inspection of frames is in
 * `offloads.ts`, descriptors are in `queue.ts`, statistics in `counts.ts`.
 *
 * `receive` and its callees are the hot path. They are short, so that the compiler inlines them;
 * rare cases have functions of their own. Frames that are inspected take another path: time stamps,
 * traffic classes, header split and coalescing cost nothing while they are off.
 *
 * @module
 */

import { CTRL_EXT, HLREG0, MAXFRS, PSRTYPE, RXPBSIZE } from "../../ixgbe/registers.ts";
import { FlowDirector } from "../flow/director.ts";
import { copy } from "../frames/copy.ts";
import { appendCrc, FRAME, FrameBuffer, sizeClass } from "../frames/frame.ts";
import { RX_STATUS } from "../rings/descriptors.ts";
import { addressAt } from "../rings/dma_map.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { AddressFilters, KIND } from "./address_filters.ts";
import { RECEIVED } from "./counts.ts";
import { FlowControl, PAUSE_ADDRESS } from "./flow_control.ts";
import { HeaderSplit } from "./header_split.ts";
import { ReceiveOffloads } from "./offloads.ts";
import { PacketBuffer } from "./packet_buffer.ts";
import { QUEUE_DROPS, type ReceiveQueue } from "./queue.ts";
import { ReceiveQueues } from "./queues.ts";
import { ReceiveStamps, STAMP_BYTES } from "./time_stamps.ts";
import { MAX_CLASSES } from "./traffic_classes.ts";

const { DD, EOP, TSIP } = RX_STATUS, { UNICAST, BROADCAST, REJECTED } = KIND;
const { CRC, MIN: MIN_FRAME } = FRAME;
const { SHORT, BYTES, BROADCASTS, MULTICASTS } = RECEIVED;
const { IGNORED, FILTERED, FILTERED_BYTES, MISSED, OVERSIZED, UNDERSIZED } = RECEIVED;
/** Longest frame without HLREG0.JUMBOEN, with CRC and without VLAN tag (8.2.3.22.8). */
const MAX_STANDARD_FRAME = 1518;
/** Bytes of a VLAN tag, by which a frame may exceed the longest one. */
const VLAN_TAG = 4;
const ETHERTYPE_VLAN = 0x0081; // 0x8100 as a little-endian halfword

/** Shifts TS and TSIP to the lowest bits, for the packet buffer. */
const NOTE_SHIFT = 15;

/** Moves frames from the wire to host memory. */
export class Receiver extends ReceiveQueues {
  /** Whether frames are received: receiver enabled, data path open, link up. */
  receiving = false;
  readonly filters: AddressFilters;
  /** The inspection of frames. */
  readonly offloads: ReceiveOffloads;
  /** Filters that direct flows to queues. */
  readonly director: FlowDirector;
  /** Time stamps. */
  readonly stamps: ReceiveStamps;
  /** Pause frames. */
  readonly flow: FlowControl;
  readonly #fresh: Float64Array;
  /** The packet buffers of traffic classes; without classes, the first one is for all packets. */
  readonly #buffers = Array.from({ length: MAX_CLASSES }, (_, i) => new PacketBuffer(i));
  readonly #buffer = this.#buffers[0];
  /** Number of buffers in use. */
  #used = 1;
  readonly #waiting = new FrameBuffer();
  readonly #stripped = new FrameBuffer();
  readonly #split = new HeaderSplit();
  /** Whether frames are inspected. */
  #looks = false;
  #maxFrame = MAX_STANDARD_FRAME - CRC;
  #stripCrc = true;

  /**
   * Creates a receive side.
   *
   * @param x550 Whether it is an X550: its redirection table is larger, for example.
   * @param limits Whether RXDCTL.RLPML works: not on the 82599.
   */
  constructor(core: DeviceCore, x550: boolean, limits: boolean) {
    super(core, limits);
    this.filters = new AddressFilters(core.file);
    this.director = new FlowDirector(core);
    this.offloads = new ReceiveOffloads(core, x550, this.director);
    this.stamps = new ReceiveStamps(core, x550);
    this.flow = new FlowControl(core);
    this.#fresh = this.counts.fresh;
  }

  /** Stops all queues, drops waiting frames, and loads the settings from the registers. */
  reset(): void {
    this.stopAll();
    this.receiving = false;
    this.settle();
    for (const buffer of this.#buffers) buffer.clear();
    this.filters.load();
    this.director.reset();
    this.loadOffloads();
    this.load();
    this.flow.reset();
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
    this.loadDropEnable();
    this.offloads.load();
    this.stamps.load();
    this.#looks = this.offloads.active || this.stamps.enabled || this.hasSpecial;
    this.setDetailed(this.#looks);
    const used = this.offloads.classes.count || 1;
    if (used === this.#used) return;
    this.#used = used;
    this.resizeBuffers();
  }

  /** Gives the packet buffers in use the sizes in RXPBSIZE, and all others 0 bytes. */
  resizeBuffers(): void {
    for (const buffer of this.#buffers) {
      const size = this.core.file.get(RXPBSIZE, buffer.index) & RXPBSIZE.SIZE;
      buffer.resize(buffer.index < this.#used ? Math.min(size, 512 * 1024) : 0);
    }
  }

  /**
   * Begins a round: reads tails, and delivers frames that wait for descriptors.
   *
   * @param budget Most frames that leave each packet buffer.
   */
  poll(budget: number): number {
    this.refresh();
    if (this.flow.stopped) this.flow.look(this.#buffer.bytes);
    if (this.#used === 1 && this.#buffer.frames === 0) return 0;
    return this.#drainAll(budget);
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
      if (frame.words[0] === PAUSE_ADDRESS && this.flow.takes(frame)) return true;
      if (kind === REJECTED) return this.#refuse(length);
      count[kind === BROADCAST ? BROADCASTS : MULTICASTS]++;
    }
    if (this.#looks) return this.#receiveLooked(frame, length);
    const queue = this.first;
    this.#countGood(length);
    if (!this.#stripCrc) {
      appendCrc(frame.bytes, length);
      length += CRC;
    }
    if (this.#buffer.frames === 0 && this.#hasRoom(queue, length)) {
      this.#deliver(queue, frame, 0, length);
      return true;
    }
    return this.#wait(queue, this.#buffer, frame, length, 0);
  }

  // Takes a frame that is inspected.
  #receiveLooked(frame: FrameBuffer, length: number): boolean {
    const { offloads } = this;
    offloads.inspect(frame.bytes, length);
    if (offloads.refused) return this.#refuse(length);
    const queue = this.queues[offloads.queue];
    let note = 0;
    this.#countGood(length);
    if (this.stamps.enabled) {
      note = this.stamps.take(frame, length, offloads);
      offloads.status |= note;
      if (note & TSIP) {
        frame = this.stamps.frame;
        length += STAMP_BYTES;
      }
    }
    if (!this.#stripCrc) {
      appendCrc(frame.bytes, length);
      length += CRC;
    }
    if (queue.special && queue.limit > 0 && length > queue.limit) return this.#drop(queue);
    const buffer = this.#buffers[offloads.trafficClass];
    if (buffer.frames === 0 && this.#hasRoom(queue, length)) {
      this.#deliverLooked(queue, frame, length);
      return true;
    }
    return this.#wait(queue, buffer, frame, length, note);
  }

  #refuse(length: number): true {
    this.#fresh[FILTERED]++;
    this.#fresh[FILTERED_BYTES] += length + CRC;
    return true;
  }

  #countGood(length: number): void {
    if (length === MIN_FRAME) this.#fresh[SHORT]++;
    else this.#countLonger(length);
  }

  // Whether a frame can go to a queue's descriptors, as far as is known without a look at its tail.
  #hasRoom(queue: ReceiveQueue, length: number): boolean {
    return this.dmaAllowed && queue.running && queue.generation === this.core.dma.generation &&
      queue.room * queue.bufferBytes >= length;
  }

  /** Counts a frame as arrived while nothing is received from the wire; returns true. */
  ignore(): true {
    this.#fresh[IGNORED]++;
    return true;
  }

  // Keeps or drops a frame that cannot go to host memory now.
  #wait(
    queue: ReceiveQueue,
    buffer: PacketBuffer,
    frame: FrameBuffer,
    length: number,
    note: number,
  ): boolean {
    if (queue.running && !this.busMaster) queue.violateBusMaster();
    if (queue.running && this.dmaAllowed && buffer.frames === 0) {
      if (queue.refresh() * queue.bufferBytes >= length) {
        if (this.#looks) this.#deliverLooked(queue, frame, length);
        else this.#deliver(queue, frame, 0, length);
        return true;
      }
    }
    if (queue.running && !queue.dropEnable) {
      const kept = buffer.push(frame, length, queue.index, note >>> NOTE_SHIFT);
      if (this.flow.sends && buffer === this.#buffer) this.flow.level(buffer.bytes);
      if (kept) {
        this.core.observer?.frameKept(queue.index, length);
        return true;
      }
      this.counts.bufferFull(buffer.index);
    } else {
      return this.#drop(queue);
    }
    this.#fresh[MISSED]++;
    return false;
  }

  #drop(queue: ReceiveQueue): false {
    queue.counts[QUEUE_DROPS]++;
    this.#fresh[MISSED]++;
    return false;
  }

  #drainAll(budget: number): number {
    let moved = 0;
    for (let i = 0; i < this.#used; i++) {
      if (this.#buffers[i].frames > 0) moved += this.#drain(this.#buffers[i], budget);
    }
    return moved;
  }

  #drain(buffer: PacketBuffer, budget: number): number {
    let moved = 0;
    while (buffer.frames > 0 && this.dmaAllowed && moved < budget) {
      // As on the device, a frame that waits for its queue blocks all frames behind it.
      const queue = this.queues[buffer.peekQueue()];
      if (!queue.running || queue.room * queue.bufferBytes < buffer.peek()) break;
      const note = buffer.peekNote() << NOTE_SHIFT;
      const length = buffer.pop(this.#waiting);
      this.core.observer?.frameReleased(queue.index, length);
      if (this.#looks) {
        this.offloads.inspect(this.#waiting.bytes, length, true);
        this.offloads.status |= note;
        this.#deliverLooked(queue, this.#waiting, length);
      } else {
        this.#deliver(queue, this.#waiting, 0, length);
      }
      moved++;
    }
    this.writeBack();
    return moved;
  }

  // Writes a frame, from a byte on, to as many buffers as it needs; `writeBack` writes the descriptors.
  #deliver(queue: ReceiveQueue, frame: FrameBuffer, from: number, length: number): void {
    const bufferBytes = queue.bufferBytes;
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
    if (queue.ahead > 0) {
      queue.ahead--;
    } else { // always so while someone looks on, see refresh(): other frames ask for no observer
      this.core.observer?.bufferWritten(
        queue.index,
        head,
        addressAt(words, at),
        dma.bytes.subarray(to, to + length),
      );
    }
    return true;
  }

  // Delivers a frame that was inspected.
  #deliverLooked(queue: ReceiveQueue, frame: FrameBuffer, length: number): void {
    const { offloads } = this;
    const from = queue.head;
    const strips = queue.strips && offloads.tag >= 0;
    if (strips) {
      frame = this.#strip(frame, length);
      length -= VLAN_TAG;
    }
    const tag = strips ? offloads.tag : 0;
    if (queue.special) return this.#deliverSpecial(queue, frame, length, tag);
    this.#deliver(queue, frame, 0, length);
    queue.describe(from, offloads.type, offloads.hash, tag, offloads.status);
  }

  // Delivers a frame to a queue that splits headers or coalesces packets.
  #deliverSpecial(queue: ReceiveQueue, frame: FrameBuffer, length: number, tag: number): void {
    const { offloads } = this, { type, hash, status } = offloads, split = this.#split;
    if (queue.coalescer?.take(frame, length, tag, offloads)) return;
    const from = queue.head;
    if (queue.headerBytes === 0) {
      this.#deliver(queue, frame, 0, length);
      queue.describe(from, type, hash, tag, status);
      return;
    }
    split.measure({ bytes: frame.bytes, length }, this.core.file.get(PSRTYPE), offloads, queue);
    if (split.bytes > 0 && !this.#fillHeader(queue, frame, split.bytes)) return;
    this.#deliver(queue, frame, split.bytes, length);
    queue.describe(from, type | split.split, hash, tag, status | split.status);
    queue.types[from] |= split.length;
    queue.add(0, split.bytes);
  }

  // Writes the first bytes of a frame to the header buffer of the descriptor at the head.
  #fillHeader(queue: ReceiveQueue, frame: FrameBuffer, length: number): boolean {
    const { dma } = this.core, { words, head } = queue, at = queue.first + head * 4 + 2;
    const to = dma.follow(words, at, queue.headerBytes);
    if (to < 0 || !dma.writable) {
      queue.stopAtBadBuffer(head, 2);
      return false;
    }
    copy(dma, to, frame, 0, length);
    this.core.observer?.bufferWritten(
      queue.index,
      head,
      addressAt(words, at),
      dma.bytes.subarray(to, to + length),
    );
    return true;
  }

  // Returns the frame without its VLAN tag; an outer tag stays.
  #strip(frame: FrameBuffer, length: number): FrameBuffer {
    const to = this.#stripped.bytes, at = this.offloads.tagAt;
    to.set(frame.bytes.subarray(0, at));
    to.set(frame.bytes.subarray(at + VLAN_TAG, length), at);
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
    if (length <= this.longest(frame)) return true;
    this.#fresh[OVERSIZED]++;
    return false;
  }

  /** Returns the most bytes that a frame may have, without CRC: more with a VLAN tag. */
  longest(frame: FrameBuffer): number {
    const tagged = (frame.words[3] & 0xffff) === ETHERTYPE_VLAN;
    return this.#maxFrame + (tagged ? VLAN_TAG : 0);
  }

  /** Returns the packet buffer of a traffic class, to look at. */
  bufferOf(trafficClass: number): PacketBuffer {
    return this.#buffers[trafficClass];
  }

  /** Whether the CRC is not written to memory. */
  get stripsCrc(): boolean {
    return this.#stripCrc;
  }
}
