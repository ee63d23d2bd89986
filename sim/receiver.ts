/**
 * The modelled device's receive side: filters, packet buffer, receive queues and their descriptors
 * (datasheet section 7.1). What is found out about a frame is `receive_offloads.ts`'s.
 *
 * @module
 */

import { HLREG0, MAXFRS, REGISTERS, RXDCTL, RXPBSIZE, SRRCTL } from "../ixgbe/registers.ts";
import { hex, nameOf } from "../src/registers.ts";
import { copy } from "./copy.ts";
import { crc32 } from "./crc32.ts";
import { BROADCAST, Filters, REJECTED, UNICAST } from "./filters.ts";
import { RECEIVED_SIZES, sizeClass } from "./frame_sizes.ts";
import type { InterruptCauses } from "./interrupt_causes.ts";
import { PacketBuffer } from "./packet_buffer.ts";
import { ReceiveOffloads } from "./receive_offloads.ts";
import { DD, EOP, ReceiveQueue } from "./receive_queue.ts";
import { RECEIVE, type RingContext } from "./ring.ts";
import type { Statistics } from "./statistics.ts";
import { FrameBuffer } from "./wire.ts";

/** Bytes of a CRC. */
const CRC = 4;
/** Shortest frame without CRC. */
const SHORTEST = 60;
/** Longest frame with CRC and without VLAN tag unless HLREG0.JUMBOEN is set (8.2.3.22.8). */
const LONGEST_STANDARD = 1518;
/** Room for a VLAN tag beyond the longest frame. */
const VLAN_TAG = 4;
/** Bytes of both Ethernet addresses, behind which a VLAN tag stands. */
const ADDRESSES = 12;
const ETHERTYPE_VLAN = 0x0081; // 0x8100 as a little-endian halfword

/** Descriptors whose buffers' cache lines are fetched before frames arrive for them. */
const AHEAD = 64;

// Indices into the running totals.
const IGNORED = 6;
const FILTERED = 7;
const MULTICASTS = 8;
const BROADCASTS = 9;
const BYTES = 10;
const MISSED = 11;
const OVERSIZED = 12;
const UNDERSIZED = 13;
const TOTALS = 14;

/** Moves frames from the wire to host memory. */
export class Receiver {
  /** Whether frames are looked at: receiver enabled, data path open, link up. */
  receiving = false;
  /** Whether the device may access host memory. */
  dmaAllowed = true;
  /** Whether PCI configuration space lets the device access host memory. */
  busMaster = true;
  readonly filters: Filters;
  /** What is found out about frames. */
  readonly offloads: ReceiveOffloads;
  readonly #causes: InterruptCauses;
  readonly #stripped = new FrameBuffer();
  /** Whether frames are looked into, and the queue for the one that was. */
  #looks = false;
  #target = 0;
  readonly #context: RingContext;
  readonly #statistics: Statistics;
  readonly #queues: ReceiveQueue[];
  readonly #running: ReceiveQueue[] = [];
  readonly #buffer = new PacketBuffer();
  readonly #waiting = new FrameBuffer();
  // 0 to 5 are frames by size, see sizeClass(). What is new since the last settle() is in #new.
  readonly #new = new Float64Array(TOTALS);
  readonly #totals = new Float64Array(TOTALS);
  readonly #packets: Float64Array;
  readonly #bytes: Float64Array;
  readonly #drops: Float64Array;
  #longest = LONGEST_STANDARD - CRC;
  #stripCrc = true;

  constructor(context: RingContext, statistics: Statistics, causes: InterruptCauses) {
    const count = RECEIVE.tail.count;
    this.#context = context;
    this.#statistics = statistics;
    this.#causes = causes;
    this.filters = new Filters(context.file);
    this.offloads = new ReceiveOffloads(context.file, context.rules);
    this.#queues = Array.from({ length: count }, (_, index) => new ReceiveQueue(index, context));
    this.#packets = new Float64Array(count);
    this.#bytes = new Float64Array(count);
    this.#drops = new Float64Array(count);
  }

  /** Stops all queues, drops what waits, and takes the settings from the registers. */
  reset(): void {
    for (const queue of this.#queues) {
      queue.stop();
      queue.head = 0;
    }
    this.#running.length = 0;
    this.receiving = false;
    this.settle();
    this.#buffer.clear();
    this.filters.load();
    this.loadOffloads();
    this.load();
  }

  /** Takes frame sizes and the packet buffer's size from the registers. */
  load(): void {
    const { file } = this.#context;
    const control = file.get(HLREG0);
    const jumbo = (control & HLREG0.JUMBOEN) !== 0;
    this.#longest = (jumbo ? file.get(MAXFRS) >>> 16 : LONGEST_STANDARD) - CRC;
    this.#stripCrc = (control & HLREG0.RXCRCSTRP) !== 0;
  }

  /** Takes from the registers what is to be found out about frames. */
  loadOffloads(): void {
    this.offloads.load();
    this.#looks = this.offloads.active;
    if (this.#looks) return;
    this.#target = 0;
    for (const queue of this.#queues) if (queue.written === queue.head) queue.detailed = false;
  }

  /** Gives the packet buffer the size that RXPBSIZE[0] says. */
  resizeBuffer(): void {
    this.#buffer.resize(Math.min(this.#context.file.get(RXPBSIZE) & RXPBSIZE.SIZE, 512 * 1024));
  }

  /** Starts a queue as its registers say. */
  startQueue(index: number): void {
    const queue = this.#queues[index];
    queue.start();
    if (queue.running && !this.#running.includes(queue)) this.#running.push(queue);
  }

  /** Takes SRRCTL.DROP_EN, which a driver may change while queues run. */
  loadDropEnable(): void {
    for (const queue of this.#running) {
      const control = this.#context.file.get(SRRCTL, queue.index);
      queue.dropEnable = (control & SRRCTL.DROP_EN) !== 0;
    }
  }

  /** Stops a queue. */
  stopQueue(index: number): void {
    const queue = this.#queues[index];
    this.writeBack();
    queue.stop();
    const place = this.#running.indexOf(queue);
    if (place >= 0) this.#running.splice(place, 1);
  }

  /** Whether the first queue is enabled: all or most frames go to it. */
  get hasQueue(): boolean {
    return this.#queues[0].running;
  }

  /** Looks at a tail that was just written, so that two writes are not seen as one. */
  checkTail(index: number): void {
    const queue = this.#queues[index];
    if (queue.running) queue.refresh();
  }

  /** Head of a queue. */
  headOf(index: number): number {
    return this.#queues[index].head;
  }

  /** Begins a round: reads tails, and delivers frames that waited for descriptors. */
  poll(): number {
    for (const queue of this.#running) {
      if (!queue.running) continue;
      const room = queue.refresh();
      const ahead = room < AHEAD ? room : AHEAD;
      if (queue.ahead >= ahead || !this.dmaAllowed) continue;
      this.#context.dma.readAhead(queue, queue.ahead, ahead, true);
      queue.ahead = ahead;
    }
    if (this.#buffer.frames === 0) return 0;
    return this.#drain();
  }

  /**
   * Takes a frame from the wire.
   *
   * @returns false if there was no descriptor, or no room to wait for one.
   */
  receive(frame: FrameBuffer, length: number): boolean {
    const count = this.#new;
    if (!this.receiving) {
      count[IGNORED]++;
      return true;
    }
    if ((length < SHORTEST || length > this.#longest) && !this.#hasLegalLength(frame, length)) {
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
    if (this.#looks && this.#refuses(frame, length)) return true;
    count[length <= 60 ? 0 : sizeClass(length)]++;
    count[BYTES] += length + CRC;
    if (!this.#stripCrc) {
      crc32(frame.bytes, length);
      length += CRC;
    }
    const queue = this.#queues[this.#target];
    if (this.#buffer.frames === 0 && this.dmaAllowed && !this.#looks) {
      let room = queue.tail - queue.head;
      if (room < 0) room += queue.size;
      if (
        room * queue.bufferBytes >= length && queue.running &&
        queue.generation === this.#context.dma.generation
      ) {
        this.#deliver(queue, frame, length);
        return true;
      }
    }
    return this.#wait(queue, frame, length);
  }

  // The frame cannot go to host memory now.
  #wait(queue: ReceiveQueue, frame: FrameBuffer, length: number): boolean {
    if (queue.running && !this.busMaster) this.#blocked(queue);
    if (queue.running && this.dmaAllowed && this.#buffer.frames === 0) {
      if (queue.refresh() * queue.bufferBytes >= length) {
        if (this.#looks) this.#deliverLooked(queue, frame, length);
        else this.#deliver(queue, frame, length);
        return true;
      }
    }
    if (queue.running && !queue.dropEnable) {
      if (this.#buffer.push(frame, length, queue.index)) return true;
      this.#statistics.add(REGISTERS.RXMPC, 1);
    } else {
      this.#drops[queue.index]++;
    }
    this.#new[MISSED]++;
    return false;
  }

  #drain(): number {
    let moved = 0;
    while (this.#buffer.frames > 0 && this.dmaAllowed && moved < 64) {
      // As in the device, a frame waits for its queue, and those behind it for that frame.
      const queue = this.#queues[this.#buffer.peekQueue()];
      let room = queue.tail - queue.head;
      if (room < 0) room += queue.size;
      if (!queue.running || room * queue.bufferBytes < this.#buffer.peek()) break;
      const length = this.#buffer.pop(this.#waiting);
      if (this.#looks) {
        this.offloads.inspect(this.#waiting.bytes, length);
        this.#deliverLooked(queue, this.#waiting, length);
      } else {
        this.#deliver(queue, this.#waiting, length);
      }
      moved++;
    }
    this.writeBack();
    return moved;
  }

  // Writes a frame to as many buffers as it takes. Descriptors follow in `writeBack`.
  #deliver(queue: ReceiveQueue, frame: FrameBuffer, length: number): void {
    const dma = this.#context.dma;
    const words = queue.words;
    const bufferBytes = queue.bufferBytes;
    let head = queue.head;
    let from = 0;
    do {
      const at = queue.first + head * 4;
      const to = dma.follow(words, at, bufferBytes);
      if (to < 0 || !dma.writable) {
        this.#badBuffer(queue, words[at], words[at + 1]);
        return;
      }
      if (queue.advanced && (words[at + 2] & DD) !== 0) this.#notCleared(queue, head);
      const left = length - from;
      const part = left < bufferBytes ? left : bufferBytes;
      copy(dma, to, frame, from, part);
      from += part;
      queue.lengths[head] = part;
      queue.statuses[head] = from === length ? DD | EOP : DD;
      head = head + 1 === queue.size ? 0 : head + 1;
      queue.head = head;
      if (queue.ahead > 0) queue.ahead--;
    } while (from < length);
    this.#packets[queue.index]++;
    this.#bytes[queue.index] += length;
  }

  // Looks into a frame, and chooses its queue; returns whether the VLAN filter refuses it.
  #refuses(frame: FrameBuffer, length: number): boolean {
    this.offloads.inspect(frame.bytes, length);
    this.#target = this.offloads.queue;
    if (this.offloads.refused) this.#new[FILTERED]++;
    return this.offloads.refused;
  }

  // Delivers a frame that was looked into. Type, hash and tag stand in every descriptor of it, status
  // and errors in the last (7.1.6.2).
  #deliverLooked(queue: ReceiveQueue, frame: FrameBuffer, length: number): void {
    const { offloads } = this;
    const vme = (this.#context.file.get(RXDCTL, queue.index) & RXDCTL.VME) !== 0;
    const tagged = offloads.tag >= 0 && vme;
    queue.detailed = true;
    let at = queue.head, last = at;
    if (tagged) this.#deliver(queue, this.#strip(frame, length), length - VLAN_TAG);
    else this.#deliver(queue, frame, length);
    while (at !== queue.head) {
      queue.types[at] = offloads.type;
      queue.hashes[at] = offloads.hash;
      queue.tags[at] = tagged ? offloads.tag : 0;
      last = at;
      at = at + 1 === queue.size ? 0 : at + 1;
    }
    if (queue.statuses[last] & EOP) queue.statuses[last] |= offloads.status;
  }

  // The frame without its VLAN tag.
  #strip(frame: FrameBuffer, length: number): FrameBuffer {
    const to = this.#stripped.bytes;
    to.set(frame.bytes.subarray(0, ADDRESSES));
    to.set(frame.bytes.subarray(ADDRESSES + VLAN_TAG, length), ADDRESSES);
    this.offloads.strip();
    return this.#stripped;
  }

  /**
   * Writes back the descriptors of all frames delivered since the last call, the word with DD last.
   * In a burst, as the device does: a driver that polls would take each cache line away in between.
   */
  writeBack(): void {
    for (let i = 0; i < this.#running.length; i++) {
      const queue = this.#running[i];
      if (queue.written === queue.head) continue;
      queue.writeBack();
      const vector = this.#causes.receiveVectors[queue.index];
      if (vector >= 0) this.#causes.raise(vector);
    }
  }

  #badBuffer(queue: ReceiveQueue, low: number, high: number): void {
    this.#context.rules.violate(
      nameOf(REGISTERS.RDBAL, queue.index),
      "7.1.6.1",
      "buffers of BSIZEPACKET bytes in memory the device may write",
      `descriptor ${queue.head}: ${queue.bufferBytes} bytes at ${hex(high)}:${hex(low)}`,
    );
    queue.running = false;
  }

  #blocked(queue: ReceiveQueue): void {
    this.#context.rules.violate(
      nameOf(REGISTERS.RDT, queue.index),
      "9.3.3.3",
      "bus master is on before DMA is asked for",
      "a frame arrived while bus master is off",
    );
  }

  #notCleared(queue: ReceiveQueue, head: number): void {
    this.#context.rules.violate(
      nameOf(REGISTERS.RDT, queue.index),
      "7.1.6.1",
      "the DD bit of a descriptor that is handed over is 0",
      `descriptor ${head}`,
    );
  }

  #hasLegalLength(frame: FrameBuffer, length: number): boolean {
    if (length < SHORTEST) {
      this.#new[UNDERSIZED]++;
      return false;
    }
    const tagged = (frame.words[3] & 0xffff) === ETHERTYPE_VLAN;
    if (length <= this.#longest + (tagged ? VLAN_TAG : 0)) return true;
    this.#new[OVERSIZED]++;
    return false;
  }

  /** Running totals by name. */
  get totals(): { received: number; missed: number; filtered: number; ignored: number } {
    this.settle();
    const total = this.#totals;
    return {
      received: total[0] + total[1] + total[2] + total[3] + total[4] + total[5] - total[MISSED],
      missed: total[MISSED],
      filtered: total[FILTERED] + total[OVERSIZED] + total[UNDERSIZED],
      ignored: total[IGNORED],
    };
  }

  /** Moves what was counted since the last call to the statistics registers. */
  settle(): void {
    const count = this.#new;
    const statistics = this.#statistics;
    let good = 0;
    for (let size = 0; size < RECEIVED_SIZES.length; size++) {
      good += count[size];
      if (count[size] > 0) statistics.add(RECEIVED_SIZES[size], count[size]);
    }
    const filtered = count[FILTERED];
    const malformed = count[OVERSIZED] + count[UNDERSIZED];
    if (good + filtered + malformed > 0) {
      // Good packets are those that pass the filters, whether or not there is room for them.
      statistics.add(REGISTERS.GPRC, good);
      statistics.add(REGISTERS.GORCL, count[BYTES]);
      statistics.add(REGISTERS.TORL, count[BYTES]);
      statistics.add(REGISTERS.TPR, good + filtered + malformed);
      statistics.add(REGISTERS.RXNFGPC, good + filtered);
      statistics.add(REGISTERS.RXNFGBCL, count[BYTES]);
      statistics.add(REGISTERS.BPRC, count[BROADCASTS]);
      statistics.add(REGISTERS.MPRC, count[MULTICASTS]);
      statistics.add(REGISTERS.ROC, count[OVERSIZED]);
      statistics.add(REGISTERS.RUC, count[UNDERSIZED]);
    }
    for (let i = 0; i < TOTALS; i++) this.#totals[i] += count[i];
    count.fill(0);
    for (let queue = 0; queue < this.#packets.length; queue++) this.#settleQueue(queue);
  }

  #settleQueue(queue: number): void {
    const packets = this.#packets[queue];
    const drops = this.#drops[queue];
    if (packets === 0 && drops === 0) return;
    const statistics = this.#statistics;
    const map = this.#context.file.get(REGISTERS.RQSMR, queue >>> 2) >>> (8 * (queue & 3)) & 0xf;
    statistics.add(REGISTERS.QPRC, packets, map);
    statistics.add(REGISTERS.QBRC_L, this.#bytes[queue], map);
    statistics.add(REGISTERS.QPRDC, drops, map);
    statistics.add(REGISTERS.RXDGPC, packets);
    statistics.add(REGISTERS.RXDGBCL, this.#bytes[queue]);
    this.#packets[queue] = 0;
    this.#bytes[queue] = 0;
    this.#drops[queue] = 0;
  }
}
