/**
 * A receive queue of the modelled device: its ring, how SRRCTL says buffers are filled, and the
 * write-back of descriptors (datasheet section 7.1.6).
 *
 * @module
 */

import { SRRCTL } from "../ixgbe/registers.ts";
import { nameOf } from "../src/registers.ts";
import { RECEIVE, Ring, type RingContext } from "./ring.ts";

// Word 2 of an advanced descriptor and word 3 of a legacy one, once written back (7.1.5, 7.1.6.2).
/** Descriptor done. */
export const DD: number = 1 << 0;
/** End of packet. */
export const EOP: number = 1 << 1;

/** What a legacy descriptor has of the status. */
const LEGACY = 0xff;

/** A receive queue. Its fields are public for the loop that moves frames. */
export class ReceiveQueue extends Ring {
  /** Bytes of a packet buffer in host memory. */
  bufferBytes = 2048;
  /** Whether frames are dropped when there is no descriptor. */
  dropEnable = false;
  /** Whether descriptors are advanced ones. */
  advanced = false;
  /** Descriptors from the head on whose buffers' cache lines have been fetched. */
  ahead = 0;
  /** The first descriptor that is filled and not written back. */
  written = 0;
  /** Bytes, and status, of descriptors from `written` to the head. */
  lengths = new Uint16Array(0);
  statuses = new Uint32Array(0);
  /** Whether descriptors say more of their frames: words 0 and 1, and the tag in word 3. */
  detailed = false;
  types = new Uint32Array(0);
  hashes = new Uint32Array(0);
  tags = new Uint16Array(0);

  readonly #context: RingContext;

  constructor(index: number, context: RingContext) {
    super(index, RECEIVE, context);
    this.#context = context;
  }

  /** Starts the queue as its registers say. */
  override start(): void {
    this.#configure();
    super.start();
    this.written = this.head;
    this.ahead = 0;
    this.detailed = false;
    if (this.lengths.length < this.size) {
      this.lengths = new Uint16Array(this.size);
      this.statuses = new Uint32Array(this.size);
      this.types = new Uint32Array(this.size);
      this.hashes = new Uint32Array(this.size);
      this.tags = new Uint16Array(this.size);
    }
  }

  /** Takes buffer size and descriptor type from SRRCTL. */
  #configure(): void {
    const { file, rules } = this.#context;
    const control = file.get(SRRCTL, this.index);
    const kilobytes = control & SRRCTL.BSIZEPACKET;
    const type = (control & SRRCTL.DESCTYPE) >>> 25;
    const name = nameOf(SRRCTL, this.index);
    if (kilobytes === 0 || kilobytes > 16) {
      rules.violate(name, "8.2.3.8.7", "BSIZEPACKET is 1 to 16 KB", `${kilobytes} KB`);
    }
    if (type > 1) {
      const found = `DESCTYPE ${type}: the model has 0 (legacy) and 1 (advanced, one buffer)`;
      rules.violate(name, "8.2.3.8.7", "a descriptor type that exists and is modelled", found);
    }
    this.bufferBytes = Math.max(kilobytes, 1) * 1024;
    this.dropEnable = (control & SRRCTL.DROP_EN) !== 0;
    this.advanced = type !== 0;
  }

  /** Writes back the descriptors from `written` to the head, the word with DD last. */
  writeBack(): void {
    const { words, first, size, head, lengths, statuses, advanced } = this;
    if (advanced && this.detailed) {
      this.#writeBackDetailed();
      return;
    }
    let i = this.written;
    while (i !== head) {
      const at = first + i * 4;
      if (advanced) {
        words[at] = 0;
        words[at + 1] = 0;
        words[at + 3] = lengths[i];
        words[at + 2] = statuses[i];
      } else {
        words[at + 2] = lengths[i];
        words[at + 3] = statuses[i] & LEGACY | this.tags[i] << 16;
      }
      if (++i === size) i = 0;
    }
    this.written = head;
  }

  // Apart, since the other loop is what the model's speed hangs on.
  #writeBackDetailed(): void {
    const { words, first, size, head, lengths, statuses, types, hashes, tags } = this;
    let i = this.written;
    while (i !== head) {
      const at = first + i * 4;
      words[at] = types[i];
      words[at + 1] = hashes[i];
      words[at + 3] = lengths[i] | tags[i] << 16;
      words[at + 2] = statuses[i];
      if (++i === size) i = 0;
    }
    this.written = head;
  }
}
