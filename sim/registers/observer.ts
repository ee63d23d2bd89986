/**
 * What the modelled device does by itself, told to someone who looks on: accesses to host memory,
 * frames that wait, interrupts. Register accesses are not here, since who looks on makes them or can
 * stand before the model, as a trace does.
 *
 * @module
 */

/** Kinds of transmit descriptors (82599 datasheet, section 7.2.3.2); `unknown` breaks a rule. */
export type TransmitKind = "data" | "context" | "legacy" | "unknown";

/**
 * Is told what the device does, at once and by the code that does it, so that a stack shows where.
 * It may look at registers with `Nic.view32()`, at frames with `Nic.explain()` and at memory, but must
 * change nothing. Numbers of queues and descriptors count from 0. `bytes` are a view of memory that is
 * valid until the method returns.
 */
export interface DeviceObserver {
  /**
   * Bytes of a received frame were written to a buffer of a descriptor.
   *
   * @param address Bus address of the first byte.
   */
  bufferWritten(queue: number, descriptor: number, address: number, bytes: Uint8Array): void;
  /** A transmit descriptor was read. */
  descriptorRead(queue: number, descriptor: number, kind: TransmitKind): void;
  /**
   * The buffer of a transmit descriptor was read.
   *
   * @param address Bus address of the first byte.
   */
  bufferRead(queue: number, descriptor: number, address: number, bytes: Uint8Array): void;
  /**
   * Descriptors were written back, the word with DD last.
   *
   * @param first The first of them; `count` of them follow each other, and may go round the ring.
   */
  writtenBack(ring: "rx" | "tx", queue: number, first: number, count: number): void;
  /** The head of a transmit queue was written to memory, instead of DD to a descriptor (TDWBAL). */
  headWritten(queue: number, head: number): void;
  /**
   * A received frame waits in the packet buffer for descriptors of a queue, or has left it.
   *
   * @param length Bytes of the frame.
   */
  frameKept(queue: number, length: number): void;
  frameReleased(queue: number, length: number): void;
  /**
   * An interrupt cause was raised.
   *
   * @param bits The cause in EICR; 0 for a queue whose vector is above 15, which EICR does not show.
   * @param vector The vector of a queue's cause; -1 for other causes.
   */
  causeRaised(bits: number, vector: number): void;
  /** The message of a vector is sent. */
  messageSent(vector: number): void;
  /**
   * The message of a vector is held back by EITR. This is told each time that the device tries.
   *
   * @param milliseconds Until it may be sent.
   */
  messageHeld(vector: number, milliseconds: number): void;
}
