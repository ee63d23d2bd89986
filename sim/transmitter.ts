/**
 * The modelled device's transmit side: transmit queues, their descriptors, and frames to the wire
 * (datasheet section 7.2). What is done to frames on their way is `transmit_offloads.ts`'s.
 *
 * @module
 */

import { HLREG0, REGISTERS, TDWBAL, TXDCTL } from "../ixgbe/registers.ts";
import { hex, nameOf } from "../src/registers.ts";
import { copy } from "./copy.ts";
import { SENT_SIZES, sizeClass } from "./frame_sizes.ts";
import { Ring, type RingContext, TRANSMIT } from "./ring.ts";
import type { InterruptCauses } from "./interrupt_causes.ts";
import type { Statistics } from "./statistics.ts";
import {
  LargeBuffer,
  POPTS_IXSM,
  POPTS_TXSM,
  readContext,
  type TransmitContext,
  TransmitOffloads,
} from "./transmit_offloads.ts";
import { FrameBuffer } from "./wire.ts";

/** Most descriptors of a queue looked at in one round. */
const BUDGET = 64;
/** Bytes of a CRC. */
const CRC = 4;
/** Shortest frame without CRC. */
const SHORTEST = 60;
/** Longest frame without CRC: 15.5 KB with it (7.2.3.2.2). */
const LONGEST = 15_868;
// Word 2 of a descriptor: command bits in the legacy and the advanced format (7.2.3.2).
const COMMAND_EOP = 1 << 24;
const COMMAND_IFCS = 1 << 25;
const COMMAND_RS = 1 << 27;
const COMMAND_DEXT = 1 << 29;
const COMMAND_VLE = 1 << 30;
const COMMAND_TSE = 1 << 31;
const TYPE_SHIFT = 20;
const TYPE_CONTEXT = 2;
const TYPE_DATA = 3;
const DATA = COMMAND_DEXT | TYPE_DATA << TYPE_SHIFT;
const TYPE_AND_DEXT = COMMAND_DEXT | 0xf << TYPE_SHIFT;
// Word 3: payload length of the frame's first advanced data descriptor; DD once written back.
const PAYLEN_SHIFT = 14;
const IDX_SHIFT = 4;
const DD = 1;

/** A transmit queue: its ring, and the frame that its descriptors are in the middle of. */
class TransmitQueue extends Ring {
  /** Bytes of the frame gathered so far. */
  gathered = 0;
  /** Whether descriptors of a frame were seen and its EOP was not. */
  open = false;
  /** Words 2 and 3 of the frame's first descriptor. */
  command = 0;
  options = 0;
  /** Whether a descriptor was written back since the last look. */
  reported = false;
  /** The two contexts that a queue has (7.2.3.2.3), and whether each was given. */
  readonly contexts = new Uint32Array(8);
  readonly hasContext = [false, false];
  /** Takes the place of `frame` for what is to be segmented. */
  large: LargeBuffer | undefined;
  /** Whether the head is written to memory in place of DD to descriptors (TDWBAL). */
  headWriteBack = false;
  /** Whether TXDCTL.WTHRESH is not 0: then every frame's last descriptor has RS. */
  everyRs = false;
  /** The frame itself: a queue keeps it from one round to the next. */
  readonly frame = new FrameBuffer();

  constructor(index: number, context: RingContext) {
    super(index, TRANSMIT, context);
  }
}

/** Takes the frames that are sent. */
export interface Outlet {
  /** Sends a frame to the cable. */
  send(frame: FrameBuffer, length: number): void;
}

// Indices into the running totals; 0 to 5 are frames by size.
const MULTICASTS = 6;
const BROADCASTS = 7;
const BYTES = 8;
const TOTALS = 9;

/** Moves frames from host memory to the wire. */
export class Transmitter {
  /** Whether the device may access host memory. */
  dmaAllowed = true;
  /** Whether PCI configuration space lets the device access host memory. */
  busMaster = true;
  /** Whether frames leave: transmitter enabled and link up. */
  sending = false;
  readonly #context: RingContext;
  readonly #statistics: Statistics;
  readonly #outlet: Outlet;
  readonly #causes: InterruptCauses;
  readonly #offloads: TransmitOffloads;
  readonly #queues: (TransmitQueue | undefined)[] = [];
  readonly #running: TransmitQueue[] = [];
  readonly #new = new Float64Array(TOTALS);
  readonly #packets = new Float64Array(TRANSMIT.tail.count);
  readonly #bytes = new Float64Array(TRANSMIT.tail.count);
  #transmitted = 0;
  #pad = true;
  #appendCrc = true;

  constructor(
    context: RingContext,
    statistics: Statistics,
    outlet: Outlet,
    causes: InterruptCauses,
  ) {
    this.#causes = causes;
    this.#offloads = new TransmitOffloads(context.file);
    this.#context = context;
    this.#statistics = statistics;
    this.#outlet = outlet;
  }

  /** Stops all queues, and takes the settings from the registers. */
  reset(): void {
    for (const queue of this.#queues) {
      if (!queue) continue;
      queue.stop();
      queue.head = 0;
    }
    this.#running.length = 0;
    this.sending = false;
    this.settle();
    this.load();
  }

  /** Takes padding and CRC from HLREG0. */
  load(): void {
    const control = this.#context.file.get(HLREG0);
    this.#pad = (control & HLREG0.TXPADEN) !== 0;
    this.#appendCrc = (control & HLREG0.TXCRCEN) !== 0;
  }

  /**
   * Starts a queue as its registers say.
   *
   * @param index Which queue.
   * @param control The value of its TXDCTL.
   */
  startQueue(index: number, control: number): void {
    const queue = this.#queues[index] ??= new TransmitQueue(index, this.#context);
    queue.everyRs = (control & TXDCTL.WTHRESH) !== 0;
    queue.headWriteBack = (this.#context.file.get(TDWBAL, index) & TDWBAL.HEAD_WB_EN) !== 0;
    queue.gathered = 0;
    queue.open = false;
    queue.hasContext.fill(false);
    queue.start();
    if (queue.running && !this.#running.includes(queue)) this.#running.push(queue);
  }

  /** Stops a queue. */
  stopQueue(index: number): void {
    const queue = this.#queues[index];
    if (!queue) return;
    queue.stop();
    const place = this.#running.indexOf(queue);
    if (place >= 0) this.#running.splice(place, 1);
  }

  /** Looks at a tail that was just written, so that two writes are not seen as one. */
  checkTail(index: number): void {
    const queue = this.#queues[index];
    if (queue?.running) queue.refresh();
  }

  /** Head of a queue. */
  headOf(index: number): number {
    return this.#queues[index]?.head ?? 0;
  }

  /** Sends what waits in the queues, up to a budget each. @returns Descriptors done. */
  poll(): number {
    if (!this.sending) return 0;
    let done = 0;
    for (const queue of this.#running) {
      if (!queue.running) continue;
      const ready = queue.refresh();
      if (ready === 0) continue;
      if (this.dmaAllowed) done += this.#pollQueue(queue, ready < BUDGET ? ready : BUDGET);
      else if (!this.busMaster) this.#blocked(queue);
    }
    return done;
  }

  #pollQueue(queue: TransmitQueue, budget: number): number {
    const words = queue.words;
    const size = queue.size;
    let head = queue.head;
    this.#context.dma.readAhead(queue, 0, budget, false);
    for (let done = 0; done < budget; done++) {
      const at = queue.first + head * 4;
      const command = words[at + 2];
      if ((command & TYPE_AND_DEXT) === DATA || (command & COMMAND_DEXT) === 0) {
        const length = command & 0xffff;
        if (!queue.open) {
          queue.open = true;
          queue.command = command | 0; // as integers of 32 bits, which take no memory of their own
          queue.options = words[at + 3] | 0;
        }
        if (!this.#gather(queue, at, length)) {
          queue.running = false;
          break;
        }
        if (command & COMMAND_EOP) this.#finish(queue, command);
      } else if ((command >>> TYPE_SHIFT & 0xf) === TYPE_CONTEXT) {
        const index = words[at + 3] >>> IDX_SHIFT & 1;
        queue.contexts.set(words.subarray(at, at + 4), index * 4);
        queue.hasContext[index] = true;
      } else {
        this.#violate(queue, "7.2.3.2.4", "DTYP is 2 (context) or 3 (data)", hex(command));
      }
      if (command & COMMAND_RS) this.#writeBack(queue, at, command);
      else if (queue.everyRs && command & COMMAND_EOP) this.#rsMissing(queue, head);
      head = head + 1 === size ? 0 : head + 1;
      queue.head = head;
    }
    if (queue.reported) this.#raise(queue);
    if (queue.open && head === queue.tail) {
      this.#violate(queue, "7.2.3.3", "the tail is moved by whole frames", "no EOP before it");
    }
    return budget;
  }

  // Copies a buffer's bytes to the end of the queue's frame.
  #gather(queue: TransmitQueue, at: number, length: number): boolean {
    const dma = this.#context.dma;
    const frame = queue.command & COMMAND_TSE ? queue.large ??= new LargeBuffer() : queue.frame;
    const to = queue.gathered;
    if (length === 0) {
      this.#violate(queue, "7.2.3.2", "a descriptor's length is not 0", `descriptor ${queue.head}`);
      return true;
    }
    const from = dma.follow(queue.words, at, length);
    if (from < 0 || !dma.readable) {
      const address = `${hex(queue.words[at + 1])}:${hex(queue.words[at])}`;
      const detail = `descriptor ${queue.head}: ${length} bytes at ${address}`;
      this.#violate(queue, "7.2.3.2", "buffers in memory the device may read", detail);
      return false;
    }
    if (to + length > LONGEST && this.#tooLong(queue, to + length)) return true;
    copy(frame, to, dma, from, length);
    queue.gathered = to + length;
    return true;
  }

  #tooLong(queue: TransmitQueue, bytes: number): boolean {
    const segmented = (queue.command & COMMAND_TSE) !== 0;
    if (segmented && bytes <= queue.large!.bytes.length) return false;
    const rule = segmented ? "PAYLEN is less than 256 KB" : "a frame is at most 15.5 KB";
    this.#violate(queue, "7.2.3.2.2", rule, `${bytes} bytes`);
    return true;
  }

  #finish(queue: TransmitQueue, command: number): void {
    const length = queue.gathered;
    queue.gathered = 0;
    queue.open = false;
    const { command: first, options } = queue;
    if (first & COMMAND_DEXT) {
      if (first & (COMMAND_TSE | COMMAND_VLE) || options & (POPTS_IXSM | POPTS_TXSM)) {
        this.#offload(queue, command, length);
        return;
      }
      if (options >>> PAYLEN_SHIFT !== length) this.#wrongPayload(queue, length);
    }
    this.#emit(queue, command, queue.frame, length);
  }

  #wrongPayload(queue: TransmitQueue, length: number): void {
    const detail = `PAYLEN ${queue.options >>> PAYLEN_SHIFT}, descriptors ${length} bytes`;
    this.#violate(queue, "7.2.3.2.4", "PAYLEN is the frame's length", detail);
  }

  // A frame for which the driver has asked for more than to be sent.
  #offload(queue: TransmitQueue, command: number, length: number): void {
    const { command: first, options } = queue;
    const index = options >>> IDX_SHIFT & 1;
    if (!queue.hasContext[index]) {
      const detail = `IDX ${index}`;
      this.#violate(queue, "7.2.3.2.3", "a context descriptor comes before its use", detail);
      return;
    }
    const context = readContext(queue.contexts, index * 4);
    if (context.l4 === "other" && (options & POPTS_TXSM || first & COMMAND_TSE)) {
      this.#violate(
        queue,
        "7.2.5",
        "checksums are those of TCP and UDP (SCTP: not modelled)",
        "L4T",
      );
      return;
    }
    const send = (frame: FrameBuffer, bytes: number) => {
      const tagged = (first & COMMAND_VLE) !== 0;
      const all = tagged ? this.#offloads.insertTag(frame, bytes, context.tag) : bytes;
      this.#emit(queue, command, frame, all);
    };
    if (first & COMMAND_TSE) {
      this.#segment(queue, context, length, send);
    } else {
      if (options >>> PAYLEN_SHIFT !== length) this.#wrongPayload(queue, length);
      this.#offloads.insertChecksums(queue.frame, length, context, options);
      send(queue.frame, length);
    }
  }

  #segment(
    queue: TransmitQueue,
    context: TransmitContext,
    length: number,
    send: (frame: FrameBuffer, bytes: number) => void,
  ): void {
    const header = context.macLength + context.ipLength + context.l4Length;
    if (queue.options >>> PAYLEN_SHIFT !== length - header) {
      this.#wrongPayload(queue, length - header);
    }
    if (context.mss === 0 || header >= length || header + context.mss > LONGEST) {
      const detail = `MSS ${context.mss}, header ${header}, in all ${length} bytes`;
      this.#violate(queue, "7.2.4.3", "MSS and lengths are those of the transmission", detail);
      return;
    }
    this.#offloads.segment(queue.large!, length, context, queue.options, send);
  }

  // A frame as it leaves, whoever has put it together.
  #emit(queue: TransmitQueue, command: number, frame: FrameBuffer, length: number): void {
    if ((command & COMMAND_IFCS) === 0 || !this.#appendCrc) {
      this.#noCrc(queue, command);
      if (length > CRC) length -= CRC; // the last four bytes are the CRC then
    }
    if (length < SHORTEST) {
      if (!this.#pad) {
        this.#violate(queue, "8.2.3.22.8", "60 bytes at least, or TXPADEN", `${length} bytes`);
      }
      frame.bytes.fill(0, length, SHORTEST);
      length = SHORTEST;
    }
    const first = frame.words[0];
    const count = this.#new;
    if (first & 1) {
      const broadcast = first === 0xffff_ffff && (frame.words[1] & 0xffff) === 0xffff;
      count[broadcast ? BROADCASTS : MULTICASTS]++;
    }
    count[length <= SHORTEST ? 0 : sizeClass(length)]++;
    count[BYTES] += length + CRC;
    this.#packets[queue.index]++;
    this.#bytes[queue.index] += length + CRC;
    this.#outlet.send(frame, length);
  }

  #raise(queue: TransmitQueue): void {
    queue.reported = false;
    const vector = this.#causes.transmitVectors[queue.index];
    if (vector >= 0) this.#causes.raise(vector);
  }

  // Reports a descriptor as done, the word with DD last.
  #writeBack(queue: TransmitQueue, at: number, command: number): void {
    queue.reported = true;
    if (queue.headWriteBack) {
      this.#writeHead(queue);
      return;
    }
    const words = queue.words;
    if (command & COMMAND_DEXT) {
      words[at] = 0;
      words[at + 1] = 0;
      words[at + 2] = 0;
      words[at + 3] = DD;
    } else {
      words[at + 3] |= DD;
    }
  }

  // Reports the head, where the driver asked for that instead (7.2.3.5.2).
  #writeHead(queue: TransmitQueue): void {
    const { file, dma } = this.#context;
    const low = (file.get(TDWBAL, queue.index) & TDWBAL.ADDRESS) >>> 0;
    const high = file.get(REGISTERS.TDWBAH, queue.index);
    if (dma.resolve(low, high, 4) && dma.writable) {
      dma.words[dma.base / 4] = queue.head + 1 === queue.size ? 0 : queue.head + 1;
    } else {
      const detail = `${hex(high)}:${hex(low)}`;
      this.#violate(queue, "7.2.3.5.2", "head write-back to memory the device may write", detail);
    }
  }

  #rsMissing(queue: TransmitQueue, head: number): void {
    const rule = "RS in every frame's last descriptor while TXDCTL.WTHRESH is not 0";
    this.#violate(queue, "8.2.3.9.10", rule, `descriptor ${head}`);
  }

  #noCrc(queue: TransmitQueue, command: number): void {
    if (!this.#appendCrc) {
      const detail = "TXCRCEN is 0";
      this.#context.rules.violate("HLREG0", "8.2.3.22.8", "TXCRCEN for frames without CRC", detail);
    }
    if ((command & COMMAND_IFCS) === 0) {
      this.#violate(queue, "7.2.3.2.4", "IFCS: the device appends the CRC", hex(command));
    }
  }

  #blocked(queue: TransmitQueue): void {
    const detail = "descriptors wait while bus master is off";
    this.#violate(queue, "9.3.3.3", "bus master is on before DMA is asked for", detail);
  }

  #violate(queue: TransmitQueue, section: string, rule: string, detail: string): void {
    this.#context.rules.violate(nameOf(REGISTERS.TDT, queue.index), section, rule, detail);
  }

  /** Frames sent since the model was made. */
  get transmitted(): number {
    this.settle();
    return this.#transmitted;
  }

  /** Moves what was counted since the last call to the statistics registers. */
  settle(): void {
    const count = this.#new;
    const statistics = this.#statistics;
    let good = 0;
    for (let size = 0; size < SENT_SIZES.length; size++) {
      good += count[size];
      if (count[size] > 0) statistics.add(SENT_SIZES[size], count[size]);
    }
    if (good === 0) return;
    this.#transmitted += good;
    statistics.add(REGISTERS.GPTC, good);
    statistics.add(REGISTERS.TPT, good);
    statistics.add(REGISTERS.TXDGPC, good);
    statistics.add(REGISTERS.GOTCL, count[BYTES]);
    statistics.add(REGISTERS.TXDGBCL, count[BYTES]);
    statistics.add(REGISTERS.BPTC, count[BROADCASTS]);
    statistics.add(REGISTERS.MPTC, count[MULTICASTS]);
    count.fill(0);
    for (let queue = 0; queue < this.#packets.length; queue++) {
      if (this.#packets[queue] === 0) continue;
      const map = this.#context.file.get(REGISTERS.TQSM, queue >>> 2) >>> (8 * (queue & 3)) & 0xf;
      statistics.add(REGISTERS.QPTC, this.#packets[queue], map);
      statistics.add(REGISTERS.QBTC_L, this.#bytes[queue], map);
      this.#packets[queue] = 0;
      this.#bytes[queue] = 0;
    }
  }
}
