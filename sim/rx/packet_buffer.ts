/**
 * The receive packet buffer: accepted frames that wait for descriptors.
 *
 * @module
 */

import type { FrameBuffer } from "../frames/frame.ts";

/** The word before a frame: its length, the number of its queue, and bits of the caller's. */
const LENGTH = 0xffff, QUEUE_SHIFT = 16, QUEUE = 0x7f, NOTE_SHIFT = 23;

/** A first-in first-out queue of frames in a ring of words; allocates nothing per frame. */
export class PacketBuffer {
  /** Its number, which is that of its traffic class. */
  readonly index: number;
  /** Number of waiting frames. */
  frames = 0;
  #words = new Uint32Array(0);
  #read = 0;
  #used = 0;

  /** Creates a packet buffer of 0 bytes. */
  constructor(index: number) {
    this.index = index;
  }

  /** Bytes that waiting frames occupy. */
  get bytes(): number {
    return this.#used << 2;
  }

  /** Sets the size in bytes, and drops waiting frames. */
  resize(bytes: number): void {
    if (this.#words.length !== bytes >>> 2) this.#words = new Uint32Array(bytes >>> 2);
    this.clear();
  }

  /** Drops waiting frames. */
  clear(): void {
    this.frames = 0;
    this.#read = 0;
    this.#used = 0;
  }

  /** Whether there is room for a frame. */
  fits(length: number): boolean {
    return this.#used + ((length + 3) >>> 2) + 1 <= this.#words.length;
  }

  /**
   * Copies a frame in.
   *
   * @param queue The queue that it waits for.
   * @param note Up to 9 bits to keep with it.
   * @returns false if there is no room.
   */
  push(frame: FrameBuffer, length: number, queue: number, note: number): boolean {
    const ring = this.#words;
    const count = (length + 3) >>> 2;
    const capacity = ring.length;
    if (!this.fits(length)) return false;
    let write = this.#read + this.#used;
    if (write >= capacity) write -= capacity;
    const words = frame.words;
    ring[write] = length | queue << QUEUE_SHIFT | note << NOTE_SHIFT;
    for (let i = 0; i < count; i++) {
      if (++write === capacity) write = 0;
      ring[write] = words[i];
    }
    this.#used += count + 1;
    this.frames++;
    return true;
  }

  /**
   * Returns the length in bytes of the oldest frame; {@linkcode PacketBuffer.prototype.frames} must
   * not be 0.
   */
  peek(): number {
    return this.#words[this.#read] & LENGTH;
  }

  /**
   * Returns the queue of the oldest frame; {@linkcode PacketBuffer.prototype.frames} must not be 0.
   */
  peekQueue(): number {
    return this.#words[this.#read] >>> QUEUE_SHIFT & QUEUE;
  }

  /**
   * Returns what was kept with the oldest frame; {@linkcode PacketBuffer.prototype.frames} must not
   * be 0.
   */
  peekNote(): number {
    return this.#words[this.#read] >>> NOTE_SHIFT;
  }

  /** Moves the oldest frame to a frame buffer; returns its length in bytes. */
  pop(frame: FrameBuffer): number {
    const ring = this.#words;
    const capacity = ring.length;
    const words = frame.words;
    let read = this.#read;
    const length = ring[read] & LENGTH;
    const count = (length + 3) >>> 2;
    for (let i = 0; i < count; i++) {
      if (++read === capacity) read = 0;
      words[i] = ring[read];
    }
    this.#read = read + 1 === capacity ? 0 : read + 1;
    this.#used -= count + 1;
    this.frames--;
    return length;
  }
}
