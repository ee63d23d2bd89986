/**
 * A transmit queue of the modelled device, and the fields of its descriptors (datasheet section 7.2.3).
 *
 * @module
 */

import { TDWBAL, TXDCTL } from "../ixgbe/registers.ts";
import { Ring, type RingContext, TRANSMIT } from "./ring.ts";
import type { LargeBuffer } from "./transmit_offloads.ts";
import { FrameBuffer } from "./wire.ts";

// Word 2 of a descriptor: command bits in the legacy and the advanced format (7.2.3.2).
/** End of packet. */
export const COMMAND_EOP: number = 1 << 24;
/** The device appends the CRC. */
export const COMMAND_IFCS: number = 1 << 25;
/** Report status. */
export const COMMAND_RS: number = 1 << 27;
/** Advanced format. */
export const COMMAND_DEXT: number = 1 << 29;
/** Insert a VLAN tag. */
export const COMMAND_VLE: number = 1 << 30;
/** Segment. */
export const COMMAND_TSE: number = 1 << 31;
/** Bytes of the buffer. */
export const COMMAND_LENGTH = 0xffff;
/** DTYP of an advanced descriptor. */
export const TYPE_SHIFT = 20;
export const TYPE_CONTEXT = 2;
export const TYPE_DATA = 3;
// Word 3.
/** Payload length of the frame's first advanced data descriptor. */
export const PAYLEN_SHIFT = 14;
/** Which of the queue's two contexts. */
export const IDX_SHIFT = 4;
/** Descriptor done, once written back. */
export const DD = 1;

// Indices into a queue's counts.
/** Frames, and their bytes on the wire with CRC. */
export const QUEUE_PACKETS = 0;
export const QUEUE_BYTES = 1;

/** A transmit queue: its ring, and the frame that its descriptors are in the middle of. */
export class TransmitQueue extends Ring {
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
  readonly contexts: Uint32Array<ArrayBuffer> = new Uint32Array(8);
  readonly hasContext: boolean[] = [false, false];
  /** Takes the place of `frame` for what is to be segmented. */
  large: LargeBuffer | undefined;
  /** Whether the head is written to memory in place of DD to descriptors (TDWBAL). */
  headWriteBack = false;
  /** Whether TXDCTL.WTHRESH is not 0: then every frame's last descriptor has RS. */
  everyRs = false;
  /** The frame itself: a queue keeps it from one round to the next. */
  readonly frame: FrameBuffer = new FrameBuffer();
  /** Counts since they were looked at last. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(2);
  readonly #context: RingContext;

  constructor(index: number, context: RingContext) {
    super(index, TRANSMIT, context);
    this.#context = context;
  }

  /**
   * Starts the queue as its registers say.
   *
   * @param control The value of its TXDCTL, which the register does not have yet.
   */
  begin(control: number): void {
    this.everyRs = (control & TXDCTL.WTHRESH) !== 0;
    this.headWriteBack = (this.#context.file.get(TDWBAL, this.index) & TDWBAL.HEAD_WB_EN) !== 0;
    this.gathered = 0;
    this.open = false;
    this.hasContext.fill(false);
    this.start();
  }
}
