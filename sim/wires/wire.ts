/**
 * What stands at the other end of a port's cable, and the frame buffer in which frames change hands.
 *
 * @module
 */

/** Room for one frame, CRC not included, seen as bytes and as words of 32 and 64 bits. */
export class FrameBuffer {
  /** Largest frame in bytes: what fits the packet buffers with room to spare. */
  static readonly CAPACITY = 16384;
  readonly words: Uint32Array = new Uint32Array(FrameBuffer.CAPACITY / 4);
  readonly bytes: Uint8Array = new Uint8Array(this.words.buffer);
  readonly longs: BigUint64Array = new BigUint64Array(this.words.buffer);
}

/** The port as a wire sees it. */
export interface WirePort {
  /**
   * A frame arrives from the wire. The port copies it, or counts why it did not.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC: 14 to 15,868.
   * @returns false if the port had no free descriptor (or no buffer space) for it: `missed`.
   */
  receive(frame: FrameBuffer, length: number): boolean;
  /** Whether the port's receiver and its first queue are enabled: a frame would be looked at. */
  readonly receiving: boolean;
}

/** What stands at the other end of a port's cable: a generator, a file, a TAP device, a port. */
export interface Wire {
  /** What it is, for messages and statistics: `generator`, `pcap`, `tap`, … */
  readonly kind: string;
  /**
   * The port sends a frame. The wire copies what it keeps.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC.
   */
  transmit(frame: FrameBuffer, length: number): void;
  /**
   * Hands waiting frames to the port; called in every round of the model's loop.
   *
   * @param budget The most frames to hand over.
   * @returns Frames handed over, missed ones included; 0 lets the model rest.
   */
  poll(port: WirePort, budget: number): number;
  /** Counts to print, by name. */
  statistics(): Record<string, number>;
  /** A descriptor that becomes readable when frames wait, or -1: for a model that has nothing to do. */
  readonly fd: number;
  /** Ends it: files complete, devices and sockets removed. */
  close(): void;
}
