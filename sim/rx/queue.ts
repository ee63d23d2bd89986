/**
 * A receive queue of the modelled device: its ring, its settings in SRRCTL, and the write-back of
 * descriptors (datasheet section 7.1.6).
 *
 * @module
 */

import { HLREG0, RDBAL, RDT, RFCTL, RSCCTL, RXDCTL, SRRCTL } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import { RX_STATUS } from "../rings/descriptors.ts";
import { type DeviceCore, RECEIVE, Ring } from "../rings/ring.ts";
import { Coalescer, DESCRIPTORS } from "./coalescing.ts";

const { EOP, LEGACY } = RX_STATUS;
/** SRRCTL.DESCTYPE: legacy, one buffer, header split, header buffer always used. */
const SPLIT = 2, ALWAYS_SPLIT = 5, TYPES: readonly number[] = [0, 1, SPLIT, ALWAYS_SPLIT];

// Indices into a queue's counts.
/** Frames, and their bytes in memory. */
export const QUEUE_PACKETS = 0;
export const QUEUE_BYTES = 1;
/** Frames that found no descriptor. */
export const QUEUE_DROPS = 2;

/** A receive queue. Its fields are public for the loop that moves frames. */
export class ReceiveQueue extends Ring {
  /** Bytes of each packet buffer in host memory. */
  bufferBytes = 2048;
  /** Whether a frame without descriptor is dropped. */
  dropEnable = false;
  /** Whether VLAN tags are stripped. */
  strips = false;
  /** Whether descriptors have the advanced format. */
  advanced = false;
  /** Bytes of each header buffer if headers are split, or 0; and whether it is always used. */
  headerBytes = 0;
  alwaysSplits = false;
  /** Coalesces packets, if the driver has enabled that. */
  coalescer: Coalescer | undefined;
  /** Most bytes of a packet (RXDCTL.RLPML), or 0. */
  limit = 0;
  /** Whether headers are split, packets coalesced, or their lengths limited. */
  special = false;
  readonly #limits: boolean;
  /** Number of descriptors from the head on whose buffers have been prefetched. */
  ahead = 0;
  /** The first filled descriptor that is not written back. */
  written = 0;
  /** Whether they are written back later. */
  postponed = false;
  /** Lengths and statuses of descriptors from `written` to the head. */
  lengths = new Uint16Array(0);
  statuses = new Uint32Array(0);
  /** Whether descriptors get results of the inspection: words 0 and 1, and the tag in word 3. */
  detailed = false;
  types = new Uint32Array(0);
  hashes = new Uint32Array(0);
  tags = new Uint16Array(0);
  /** Counts that are not in the statistics registers yet. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(3);

  /** @param limits Whether RXDCTL.RLPML works: not on the 82599. */
  constructor(index: number, core: DeviceCore, limits: boolean) {
    super(index, RECEIVE, core);
    this.#limits = limits;
  }

  /** Starts the queue with its registers' values. */
  override start(): void {
    this.#configure();
    super.start();
    this.written = this.head;
    this.ahead = 0;
    if (this.lengths.length < this.size) {
      this.lengths = new Uint16Array(this.size);
      this.statuses = new Uint32Array(this.size);
      this.types = new Uint32Array(this.size);
      this.hashes = new Uint32Array(this.size);
      this.tags = new Uint16Array(this.size);
    }
  }

  /** Moves the head; what was delivered must be written back. */
  override moveHead(head: number): void {
    super.moveHead(head);
    this.written = this.head;
    this.ahead = 0;
  }

  /** Loads the settings that may change while the queue runs: SRRCTL.DROP_EN and RXDCTL. */
  load(): void {
    const { file } = this.core;
    this.dropEnable = (file.get(SRRCTL, this.index) & SRRCTL.DROP_EN) !== 0;
    const control = file.get(RXDCTL, this.index);
    this.strips = (control & RXDCTL.VME) !== 0;
    const limited = this.#limits && (control & RXDCTL.RLPML_EN) !== 0;
    this.limit = limited ? control & RXDCTL.RLPML : 0;
    this.special = this.headerBytes > 0 || this.coalescer !== undefined || limited;
  }

  /** Loads buffer size and descriptor type from SRRCTL. */
  #configure(): void {
    const { file, rules } = this.core;
    const control = file.get(SRRCTL, this.index);
    const kilobytes = control & SRRCTL.BSIZEPACKET;
    const type = (control & SRRCTL.DESCTYPE) >>> 25;
    const name = nameOf(SRRCTL, this.index);
    if (kilobytes === 0 || kilobytes > 16) {
      rules.violate(name, "8.2.3.8.7", "BSIZEPACKET is 1 to 16 KB", `${kilobytes} KB`);
    }
    if (!TYPES.includes(type)) {
      rules.violate(name, "8.2.3.8.7", "a descriptor type that exists", `DESCTYPE ${type}`);
    }
    this.#configureSplit(control, type);
    this.bufferBytes = Math.max(kilobytes, 1) * 1024;
    this.advanced = type !== 0;
    this.#configureCoalescing();
    this.load();
  }

  #configureSplit(control: number, type: number): void {
    const splits = type === SPLIT || type === ALWAYS_SPLIT;
    this.headerBytes = splits ? ((control & SRRCTL.BSIZEHEADER) >>> 8) * 64 : 0;
    this.alwaysSplits = type === ALWAYS_SPLIT;
    if (!splits || this.headerBytes > 0 && this.headerBytes <= 1024) return;
    const rule = "BSIZEHEADER is 64 to 1024 bytes if headers are split";
    const name = nameOf(SRRCTL, this.index);
    this.core.rules.violate(name, "8.2.3.8.7", rule, `${this.headerBytes} bytes`);
  }

  // The model does not coalesce packets whose headers are split.
  #configureCoalescing(): void {
    const { file, rules, dma, observer } = this.core, control = file.get(RSCCTL, this.index);
    this.coalescer = undefined;
    if ((control & RSCCTL.RSCEN) === 0 || file.get(RFCTL) & RFCTL.RSC_DIS) return;
    const name = nameOf(RSCCTL, this.index);
    const most = DESCRIPTORS[(control & RSCCTL.MAXDESC) >>> 2] * this.bufferBytes;
    if (!this.advanced || this.bufferBytes < 2048) {
      const rule = "RSCEN is set only with advanced descriptors and buffers of 2 KB or more";
      const detail = `${this.bufferBytes} bytes`;
      rules.violate(name, "8.2.3.8.7", rule, detail);
    }
    if (most > 0xffff) {
      const rule = "MAXDESC times BSIZEPACKET is less than 64 KB";
      rules.violate(name, "8.2.3.8.13", rule, `${most} bytes`);
    }
    if ((file.get(HLREG0) & HLREG0.RXCRCSTRP) === 0) {
      rules.violate(name, "4.6.7.2", "RXCRCSTRP is set while a queue coalesces", "HLREG0");
    }
    if (this.advanced && this.headerBytes === 0) {
      this.coalescer = new Coalescer(this, dma, control, observer);
    }
  }

  /**
   * Keeps results for the write-back of the frame that ends at the head. Every descriptor of a
   * frame has type, hash and tag; the last one has status and errors (7.1.6.2).
   *
   * @param from The frame's first descriptor.
   */
  describe(from: number, type: number, hash: number, tag: number, status: number): void {
    let last = from;
    for (let at = from; at !== this.head; at = at + 1 === this.size ? 0 : at + 1) {
      this.types[at] = type;
      this.hashes[at] = hash;
      this.tags[at] = tag;
      last = at;
    }
    if (this.statuses[last] & EOP) this.statuses[last] |= status;
  }

  /** Writes back the descriptors from `written` to the head, the word with DD last. */
  writeBack(): void {
    this.coalescer?.close();
    if (!this.advanced) this.#writeBackLegacy();
    else if (this.detailed) this.#writeBackDetailed();
    else this.#writeBackPlain();
    this.#count();
    this.written = this.head;
  }

  /** Adds packets and bytes to the counts that write-back does not see. */
  add(packets: number, bytes: number): void {
    this.counts[QUEUE_PACKETS] += packets;
    this.counts[QUEUE_BYTES] += bytes;
  }

  // Counts what is written back: many frames at once, to save time.
  #count(): void {
    const { size, head, lengths, statuses } = this;
    let packets = 0, bytes = 0;
    for (let i = this.written; i !== head; i = i + 1 === size ? 0 : i + 1) {
      if (statuses[i] & EOP) packets++;
      bytes += lengths[i];
    }
    this.counts[QUEUE_PACKETS] += packets;
    this.counts[QUEUE_BYTES] += bytes;
  }

  // Three loops, since the plain one decides the model's speed.
  #writeBackPlain(): void {
    const { words, first, size, head, lengths, statuses } = this;
    for (let i = this.written; i !== head; i = i + 1 === size ? 0 : i + 1) {
      const at = first + i * 4;
      words[at] = 0;
      words[at + 1] = 0;
      words[at + 3] = lengths[i];
      words[at + 2] = statuses[i];
    }
  }

  #writeBackDetailed(): void {
    const { words, first, size, head, lengths, statuses, types, hashes, tags } = this;
    for (let i = this.written; i !== head; i = i + 1 === size ? 0 : i + 1) {
      const at = first + i * 4;
      words[at] = types[i];
      words[at + 1] = hashes[i];
      words[at + 3] = lengths[i] | tags[i] << 16;
      words[at + 2] = statuses[i];
    }
  }

  #writeBackLegacy(): void {
    const { words, first, size, head, lengths, statuses, tags } = this;
    for (let i = this.written; i !== head; i = i + 1 === size ? 0 : i + 1) {
      const at = first + i * 4;
      words[at + 2] = lengths[i];
      words[at + 3] = statuses[i] & LEGACY | tags[i] << 16;
    }
  }

  // The rules for receive descriptors are here and not in the receiver's loop, which must be short
  // to be fast.

  /**
   * Records that the buffer of a descriptor cannot be written, and stops the queue.
   *
   * @param index The descriptor, by default the one at the head.
   * @param word Word of the address in it: 2 for the header buffer.
   */
  stopAtBadBuffer(index = this.head, word = 0): void {
    const at = this.first + index * 4 + word;
    const bytes = word === 0 ? this.bufferBytes : this.headerBytes;
    const address = `${hex(this.words[at + 1])}:${hex(this.words[at])}`;
    this.core.rules.violate(
      nameOf(RDBAL, this.index),
      "7.1.6.1",
      `buffers of ${
        word === 0 ? "BSIZEPACKET" : "BSIZEHEADER"
      } bytes in memory the device may write`,
      `descriptor ${index}: ${bytes} bytes at ${address}`,
    );
    this.running = false;
  }

  /** Records that a frame arrived for the enabled queue while bus master is off. */
  violateBusMaster(): void {
    this.core.rules.violate(
      nameOf(RDT, this.index),
      "9.3.3.3",
      "bus master is on before DMA is requested",
      "a frame arrived while bus master is off",
    );
  }

  /** Records that the driver gave the descriptor at the head with DD set. */
  violateDd(): void {
    this.core.rules.violate(
      nameOf(RDT, this.index),
      "7.1.6.1",
      "DD is 0 in a descriptor given to the device",
      `descriptor ${this.head}`,
    );
  }
}
