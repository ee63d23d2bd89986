/**
 * A transmit queue of the modelled device (datasheet section 7.2.3).
 *
 * @module
 */

import { TDWBAL, TXDCTL } from "../../ixgbe/registers.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { type DeviceCore, Ring, TRANSMIT } from "../rings/ring.ts";
import type { LargeBuffer } from "./offloads.ts";

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

  constructor(index: number, core: DeviceCore) {
    super(index, TRANSMIT, core);
  }

  /**
   * Starts the queue as its registers say.
   *
   * @param control The value of its TXDCTL, which the register does not have yet.
   */
  begin(control: number): void {
    this.everyRs = (control & TXDCTL.WTHRESH) !== 0;
    this.headWriteBack = (this.core.file.get(TDWBAL, this.index) & TDWBAL.HEAD_WB_EN) !== 0;
    this.gathered = 0;
    this.open = false;
    this.hasContext.fill(false);
    this.start();
  }

  /** Counts frames that were sent, and their bytes on the wire: of many at once, since it takes time. */
  count(frames: number, bytes: number): void {
    this.counts[QUEUE_PACKETS] += frames;
    this.counts[QUEUE_BYTES] += bytes;
  }
}
