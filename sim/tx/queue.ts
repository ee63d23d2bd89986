/**
 * A transmit queue of the modelled device (datasheet section 7.2.3).
 *
 * @module
 */

import { TDWBAL, TXDCTL } from "../../ixgbe/registers.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { type DeviceCore, Ring, TRANSMIT } from "../rings/ring.ts";
import type { Cut, LargeBuffer } from "./offloads.ts";

// Indices into a queue's counts.
/** Frames, and their bytes on the wire with CRC. */
export const QUEUE_PACKETS = 0;
export const QUEUE_BYTES = 1;

/** A transmit queue: its ring, and the frame that its descriptors have begun. */
export class TransmitQueue extends Ring {
  /** Bytes of the frame gathered so far. */
  gathered = 0;
  /** Whether each descriptor takes the long way: a frame is open, or someone looks on. */
  careful = false;
  #open = false;
  /** Words 2 and 3 of the frame's first descriptor. */
  command = 0;
  options = 0;
  /** Whether descriptors were written back since the last interrupt cause. */
  reported = false;
  /** Descriptors that are written back later, each as its word and its command. */
  readonly unwritten: number[] = [];
  /** The queue's two contexts (7.2.3.2.3), and whether the driver has set each. */
  readonly contexts: Uint32Array<ArrayBuffer> = new Uint32Array(8);
  readonly hasContext: boolean[] = [false, false];
  /** Buffer for a transmission to segment, in place of `frame`. */
  large: LargeBuffer | undefined;
  /** The transmission in `large` whose segments are being sent. Its last descriptor is not done yet. */
  cut: Cut | undefined;
  /** Whether to write the head to memory instead of DD to descriptors (TDWBAL). */
  headWriteBack = false;
  /** Whether TXDCTL.WTHRESH is not 0, which requires RS in every frame's last descriptor. */
  everyRs = false;
  /** The frame, which a queue keeps from one round to the next. */
  readonly frame: FrameBuffer = new FrameBuffer();
  /** Counts that are not in the statistics registers yet. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(2);

  constructor(index: number, core: DeviceCore) {
    super(index, TRANSMIT, core);
  }

  /**
   * Starts the queue with its registers' values.
   *
   * @param control Value of its TXDCTL, which the register does not hold yet.
   */
  begin(control: number): void {
    this.everyRs = (control & TXDCTL.WTHRESH) !== 0;
    this.headWriteBack = (this.core.file.get(TDWBAL, this.index) & TDWBAL.HEAD_WB_EN) !== 0;
    this.drop();
    this.hasContext.fill(false);
    this.start();
  }

  /** Whether a frame has begun and its EOP has not come. */
  get open(): boolean {
    return this.#open;
  }

  set open(open: boolean) {
    this.#open = open;
    this.careful = open || this.core.observer !== undefined;
  }

  /** Drops the frame or transmission that has begun. */
  drop(): void {
    this.gathered = 0;
    this.open = false;
    this.cut = undefined;
  }

  /** Counts sent frames and their bytes on the wire: many at once, to save time. */
  count(frames: number, bytes: number): void {
    this.counts[QUEUE_PACKETS] += frames;
    this.counts[QUEUE_BYTES] += bytes;
  }
}
