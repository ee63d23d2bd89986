/**
 * The transmit side of the modelled device: from transmit queues and their descriptors to frames on
 * the wire (datasheet section 7.2). Frames with offloads are in `offload_requests.ts`, statistics
 * in `counts.ts`.
 *
 * Most frames have one descriptor and no offload. `#pollQueue` sends them itself, and calls `#step`
 * for all others, and for each one while someone looks on.
 *
 * @module
 */

import { HLREG0 } from "../../ixgbe/registers.ts";
import { hex } from "../../src/registers.ts";
import { copy } from "../frames/copy.ts";
import { FRAME, sizeClass } from "../frames/frame.ts";
import type { FrameBuffer } from "../frames/frame.ts";
import type { TransmitKind } from "../registers/observer.ts";
import { TX_COMMAND, TX_OPTIONS } from "../rings/descriptors.ts";
import { addressAt } from "../rings/dma_map.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { BROADCASTS, MULTICASTS } from "./counts.ts";
import { OffloadRequests } from "./offload_requests.ts";
import { type Emit, LargeBuffer } from "./offloads.ts";
import type { TransmitQueue } from "./queue.ts";
import { TransmitQueues } from "./queues.ts";

const { LENGTH, TYPE, TYPE_CONTEXT, TYPE_DATA, TSTAMP, EOP, IFCS, IC, RS, DEXT, VLE, TSE } =
  TX_COMMAND;
const { IXSM, TXSM, PAYLEN_SHIFT } = TX_OPTIONS;
const { CRC, MIN: MIN_FRAME, MIN_PAYLEN, MAX: MAX_FRAME } = FRAME;
const DATA = DEXT | TYPE_DATA;
const TYPE_AND_DEXT = DEXT | TYPE;
/** A descriptor of a whole frame without offloads and time stamp. */
const PLAIN = DATA | EOP | IFCS;
const PLAIN_MASK = TYPE_AND_DEXT | TSTAMP | EOP | IFCS | VLE | TSE;
/** Bits of a legacy descriptor's CMD that mean nothing there (7.2.3.2.2). TSE is one of them. */
const LEGACY_RESERVED = 1 << 28 | TSE;

/** Takes the sent frames. */
export interface Outlet {
  /** Sends a frame to the cable. */
  send(frame: FrameBuffer, length: number): void;
}

/** Moves frames from host memory to the wire. */
export class Transmitter extends TransmitQueues {
  /** Whether the device may access host memory. */
  dmaAllowed = true;
  /** Whether frames leave: transmitter enabled and link up. */
  sending = false;
  readonly #outlet: Outlet;
  readonly #requests: OffloadRequests;
  readonly #fresh: Float64Array;
  /** When the pause ends, in milliseconds of `performance.now()`; 0 without one. */
  #pausedUntil = 0;
  #pad = true;
  #appendCrc = true;

  constructor(core: DeviceCore, outlet: Outlet) {
    super(core);
    this.#outlet = outlet;
    this.#requests = new OffloadRequests(core);
    this.#fresh = this.counts.fresh;
  }

  /** Stops all queues, and loads the settings from the registers. */
  reset(): void {
    this.stopAll();
    this.sending = false;
    this.#pausedUntil = 0;
    this.settle();
    this.load();
  }

  /** Loads padding and CRC from HLREG0. */
  load(): void {
    const control = this.core.file.get(HLREG0);
    this.#pad = (control & HLREG0.TXPADEN) !== 0;
    this.#appendCrc = (control & HLREG0.TXCRCEN) !== 0;
  }

  /**
   * Sends the frames of all queues.
   *
   * @param budget Most descriptors of each queue, and segments of its transmissions.
   * @returns Number of descriptors done.
   */
  poll(budget: number): number {
    if (!this.sending || this.#pausedUntil > 0 && this.#isPaused()) return 0;
    const limited = this.limited;
    if (limited) this.nextRound();
    let done = 0;
    for (let i = 0; i < this.running.length; i++) {
      const queue = this.running[i];
      if (!queue.running || limited && this.rests(queue)) continue;
      const ready = queue.refresh();
      if (ready === 0) continue;
      if (this.dmaAllowed) done += this.#pollQueue(queue, ready, budget);
      else if (!this.busMaster) this.#blocked(queue);
    }
    return done;
  }

  /** Pauses all queues, or ends the pause with 0: a pause frame has arrived (section 3.7.7). */
  pause(milliseconds: number): void {
    this.#pausedUntil = milliseconds > 0 ? performance.now() + milliseconds : 0;
  }

  #isPaused(): boolean {
    if (performance.now() < this.#pausedUntil) return true;
    this.#pausedUntil = 0;
    return false;
  }

  #pollQueue(queue: TransmitQueue, ready: number, budget: number): number {
    const most = ready < budget ? ready : budget;
    const { words, first, size, frame } = queue;
    const dma = this.core.dma;
    let head = queue.head, frames = 0, bytes = 0, segments = 0;
    dma.readAhead(queue, 0, most, false);
    for (let done = 0; done < most; done++) {
      const at = first + head * 4;
      const command = words[at + 2];
      const length = command & LENGTH;
      let from = -1;
      if (
        (command & PLAIN_MASK) === PLAIN && !queue.careful && length >= MIN_PAYLEN &&
        length <= MAX_FRAME &&
        (words[at + 3] & (IXSM | TXSM)) === 0 &&
        words[at + 3] >>> PAYLEN_SHIFT === length
      ) {
        from = dma.follow(words, at, length);
      }
      if (from >= 0 && dma.readable) {
        copy(frame, 0, dma, from, length);
        bytes += this.#emit(queue, command, frame, length);
        frames++;
      } else if (queue.cut === undefined && !this.#step(queue, at, command)) {
        queue.running = false;
        break;
      } else if (queue.cut !== undefined) {
        segments += this.#segment(queue, command, budget - segments);
        if (queue.open) break; // the rest follows in the next rounds
      }
      if (command & RS) this.writeBack(queue, at, command);
      else if (queue.everyRs && command & EOP) this.#rsMissing(queue);
      head = head + 1 === size ? 0 : head + 1;
      queue.head = head;
    }
    queue.count(frames, bytes);
    if (queue.reported) this.raise(queue);
    if (queue.open && head === queue.tail) {
      this.violate(queue, "7.2.3.3", "the tail is moved by whole frames", "no EOP before it");
    }
    return most;
  }

  // Handles any descriptor; returns false if the queue has to stop.
  #step(queue: TransmitQueue, at: number, command: number): boolean {
    this.core.observer?.descriptorRead(queue.index, queue.head, kindOf(command));
    if ((command & TYPE_AND_DEXT) === DATA || (command & DEXT) === 0) {
      if (!queue.open) {
        queue.open = true;
        queue.command = command | 0; // signed integers, which are not allocated
        if ((command & DEXT) === 0 && command & LEGACY_RESERVED) this.#reservedSet(queue, command);
        queue.options = queue.words[at + 3] | 0;
      }
      if (!this.#gather(queue, at, command & LENGTH)) return false;
      if (command & EOP) {
        this.#finish(queue, command);
        if (queue.cut === undefined) this.#stamp(queue);
      }
    } else if ((command & TYPE) === TYPE_CONTEXT) {
      this.#requests.keepContext(queue, at);
    } else {
      this.violate(queue, "7.2.3.2.4", "DTYP is 2 (context) or 3 (data)", hex(command));
    }
    return true;
  }

  // Appends a buffer to the queue's frame.
  #gather(queue: TransmitQueue, at: number, length: number): boolean {
    const dma = this.core.dma;
    const frame = queue.command & TSE ? queue.large ??= new LargeBuffer() : queue.frame;
    const to = queue.gathered;
    if (length === 0) {
      this.violate(queue, "7.2.3.2", "a descriptor's length is not 0", `descriptor ${queue.head}`);
      return true;
    }
    const from = dma.follow(queue.words, at, length);
    if (from < 0 || !dma.readable) {
      const address = `${hex(queue.words[at + 1])}:${hex(queue.words[at])}`;
      const detail = `descriptor ${queue.head}: ${length} bytes at ${address}`;
      this.violate(queue, "7.2.3.2", "buffers in memory the device may read", detail);
      return false;
    }
    if (to + length > MAX_FRAME && this.#requests.isTooLong(queue, to + length)) return true;
    copy(frame, to, dma, from, length);
    this.core.observer?.bufferRead(
      queue.index,
      queue.head,
      addressAt(queue.words, at),
      dma.bytes.subarray(from, from + length),
    );
    queue.gathered = to + length;
    return true;
  }

  #finish(queue: TransmitQueue, command: number): void {
    const length = queue.gathered;
    queue.gathered = 0;
    queue.open = false;
    if (length < MIN_PAYLEN) {
      this.#tooShort(queue, length);
      return;
    }
    const { command: first, options } = queue;
    if (first & DEXT) {
      if (first & (TSE | VLE) || options & (IXSM | TXSM)) {
        const emit: Emit = (frame, bytes) => this.#sendOne(queue, command, frame, bytes);
        this.#requests.serve(queue, length, emit);
        queue.open = queue.cut !== undefined;
        return;
      }
      this.#requests.checkPayload(queue, length);
    } else if (first & (IC | VLE)) {
      this.#finishLegacy(queue, command, length);
      return;
    }
    this.#sendOne(queue, command, queue.frame, length);
  }

  // Sends segments, up to a number of them; the frame stays open until the last. Returns how many.
  #segment(queue: TransmitQueue, command: number, most: number): number {
    const emit: Emit = (frame, bytes) => this.#sendOne(queue, command, frame, bytes);
    const sent = this.#requests.segment(queue, most, emit);
    queue.open = queue.cut !== undefined;
    if (!queue.open) this.#stamp(queue);
    return sent;
  }

  #stamp({ command }: TransmitQueue): void {
    if (command & TSTAMP && command & DEXT) this.core.time.stampTransmit();
  }

  #finishLegacy(queue: TransmitQueue, command: number, gathered: number): void {
    const length = this.#requests.serveLegacy(queue, gathered);
    this.#sendOne(queue, command, queue.frame, length);
  }

  // Sends a frame of any descriptors. Its length is checked here, whatever they requested: wires hand
  // frames to system calls, which would read beyond the buffer.
  #sendOne(queue: TransmitQueue, command: number, frame: FrameBuffer, length: number): void {
    if (length > MAX_FRAME) this.#requests.refuseLength(queue, length);
    else queue.count(1, this.#emit(queue, command, frame, length));
  }

  // Sends a complete frame; returns its bytes on the wire.
  #emit(queue: TransmitQueue, command: number, frame: FrameBuffer, length: number): number {
    if ((command & IFCS) === 0 || !this.#appendCrc) {
      this.#noCrc(queue, command);
      if (length > CRC) length -= CRC; // the last four bytes are the CRC then
    }
    if (length < MIN_FRAME) {
      if (!this.#pad) {
        const rule = "a frame has 60 bytes or more, or TXPADEN is set";
        this.violate(queue, "8.2.3.22.8", rule, `${length} bytes`);
      }
      frame.bytes.fill(0, length, MIN_FRAME);
      length = MIN_FRAME;
    }
    const first = frame.words[0];
    const count = this.#fresh;
    if (first & 1) {
      const broadcast = first === 0xffff_ffff && (frame.words[1] & 0xffff) === 0xffff;
      count[broadcast ? BROADCASTS : MULTICASTS]++;
    }
    count[length <= MIN_FRAME ? 0 : sizeClass(length)]++;
    this.#outlet.send(frame, length);
    return length + CRC;
  }

  // Records and drops a short frame. Intel's driver for Linux pads frames to 17 bytes, "the minimum
  // packet size for olinfo paylen"; what a card does with shorter ones is not known.
  #tooShort(queue: TransmitQueue, length: number): void {
    const rule = "a frame has 17 bytes or more, before padding";
    this.violate(queue, "7.2.3.2.4", rule, `${length} bytes`);
  }

  // Records reserved bits, and ignores them: TSE must not choose the buffer of a transmission to segment.
  #reservedSet(queue: TransmitQueue, command: number): void {
    queue.command &= ~LEGACY_RESERVED;
    const rule = "reserved bits of a legacy descriptor are 0";
    this.violate(queue, "7.2.3.2.2", rule, hex(command));
  }

  #rsMissing(queue: TransmitQueue): void {
    const rule = "RS is set in every frame's last descriptor while TXDCTL.WTHRESH is not 0";
    this.violate(queue, "8.2.3.9.10", rule, `descriptor ${queue.head}`);
  }

  #noCrc(queue: TransmitQueue, command: number): void {
    if (!this.#appendCrc) {
      const detail = "TXCRCEN is 0";
      const rule = "TXCRCEN is set for frames without CRC";
      this.core.rules.violate("HLREG0", "8.2.3.22.8", rule, detail);
    }
    if ((command & IFCS) === 0) {
      this.violate(queue, "7.2.3.2.4", "IFCS is set: the device appends the CRC", hex(command));
    }
  }

  #blocked(queue: TransmitQueue): void {
    const detail = "descriptors wait while bus master is off";
    this.violate(queue, "9.3.3.3", "bus master is on before DMA is requested", detail);
  }
}

/** Returns the kind of a descriptor, by its word 2. */
function kindOf(command: number): TransmitKind {
  if ((command & DEXT) === 0) return "legacy";
  if ((command & TYPE) === TYPE_DATA) return "data";
  return (command & TYPE) === TYPE_CONTEXT ? "context" : "unknown";
}
