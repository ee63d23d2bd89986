/**
 * A receive ring, as driver and device change it.
 *
 * @module
 */

import { MAX_EMPTY } from "../../../ixgbe/rx_queue.ts";
import { BUFFER, NONE, OWNER, RING } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import { emptyText, endsFrame, isReceived, receivedText } from "./descriptor_text.ts";
import { PLACES } from "./places.ts";
import { accessOf, descriptorName } from "./port.ts";
import { Ring } from "./ring.ts";

const FORMAT = "7.1.6.1", WRITE_BACK = "7.1.6.2", RING_SECTION = "7.1.9";

/** What the driver's queue says of itself, in descriptors: those read, and those that have a buffer again. */
export interface DriverRxQueue {
  readonly read: number;
  readonly refilled: number;
}

/** A receive ring. */
export class RxRing extends Ring {
  /** The driver has filled the ring in this memory: each descriptor has a buffer. */
  fill(memory: Uint32Array): void {
    this.locate(memory);
    const { cells } = this, { pool, journal } = this.context;
    const old = cells.words(0);
    for (let i = 0; i < cells.entries; i++) {
      this.#take(i);
      const buffer = cells.slot(i);
      if (buffer !== NONE) pool.setOwner(buffer, BUFFER.RECEIVE);
    }
    const last = cells.entries - 1;
    journal.add({
      kind: "arm",
      actor: "driver",
      port: this.context.port,
      title: `${descriptorName("rx", cells.name.queue, `0 to ${last}`)}: a buffer each`,
      why:
        "A descriptor tells the device where to write a frame. The driver takes a free buffer from " +
        "the pool for each one.",
      section: FORMAT,
      descriptor: accessOf(cells, 0, [old, cells.words(0)], false),
      source: PLACES.RX_FILL,
    });
  }

  /**
   * Records what the driver has done to the ring since it was looked at last: it looked at descriptors
   * that were done, and may have given some a buffer again.
   */
  driverWrote({ read, refilled }: DriverRxQueue): void {
    const { cells } = this;
    while (cells.get(RING.NEXT) !== (read & cells.mask)) this.#looked(cells.get(RING.NEXT));
    const count = (refilled - cells.get(RING.FILL)) & cells.mask;
    const source = count < Math.min(cells.entries / 8, MAX_EMPTY)
      ? PLACES.RX_ARM
      : PLACES.RX_ARM_BLOCK;
    while (cells.get(RING.FILL) !== (refilled & cells.mask)) {
      this.#armed(cells.get(RING.FILL), source);
    }
  }

  /** The driver has looked at a descriptor, and found it done. */
  #looked(i: number): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const words = cells.words(i), buffer = cells.slot(i);
    const taken = pool.mempool.lengths[buffer] > 0, about = pool.about(buffer);
    if (taken) pool.setOwner(buffer, BUFFER.PROGRAM);
    else if (buffer !== NONE) pool.release(buffer);
    cells.setSlot(i, NONE);
    cells.setOwner(i, OWNER.DRIVER);
    cells.set(RING.NEXT, (i + 1) & cells.mask);
    journal.add({
      kind: "look",
      actor: "driver",
      port,
      title: `${descriptorName("rx", cells.name.queue, i)}: ${receivedText(words)}`,
      why: taken
        ? "DD is set: the device is done with the descriptor. The packet goes to the program's batch."
        : endsFrame(words)
        ? "DD is set, but the driver cannot keep the packet: it drops it, and the buffer is free."
        : "DD is set without EOP: the frame goes on in the next buffer. This driver drops such frames.",
      section: WRITE_BACK,
      ...about,
      descriptor: accessOf(cells, i, [words, words], true),
      source: taken ? PLACES.RX_LOOK : PLACES.RX_DROP,
    });
  }

  /** The driver has given a descriptor a free buffer. */
  #armed(i: number, source: Place): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const old = cells.words(i);
    this.#take(i);
    const buffer = cells.slot(i);
    if (buffer !== NONE) {
      pool.setOwner(buffer, BUFFER.RECEIVE);
      pool.setFrame(buffer, 0);
    }
    cells.set(RING.FILL, (i + 1) & cells.mask);
    journal.add({
      kind: "arm",
      actor: "driver",
      port,
      title: `${descriptorName("rx", cells.name.queue, i)}: ${emptyText(buffer)}`,
      why:
        "The descriptor gets a free buffer from the pool, and DD is cleared. The device does not have " +
        "it before the tail is written.",
      section: FORMAT,
      ...buffer === NONE ? {} : { buffer },
      descriptor: accessOf(cells, i, [old, cells.words(i)], false),
      source,
    });
  }

  /** The driver looks at the next descriptor; returns whether it finds it not done. */
  lookedInVain(): boolean {
    const { cells } = this, { journal, port } = this.context;
    const i = cells.get(RING.NEXT), words = cells.words(i);
    if (isReceived(words)) return false;
    journal.add({
      kind: "look",
      actor: "driver",
      port,
      title: `${descriptorName("rx", cells.name.queue, i)}: not done`,
      why:
        "DD is 0: no further packet is there. The driver reads memory, not a register, to know that.",
      section: WRITE_BACK,
      descriptor: accessOf(cells, i, [words, words], false),
      source: PLACES.RX_LOOK,
    });
    return true;
  }

  /** Whether the next descriptor for the driver is not done. */
  get nextIsEmpty(): boolean {
    return !isReceived(this.cells.words(this.cells.get(RING.NEXT)));
  }

  /** The device writes a part of a frame to the buffer of a descriptor. */
  filled(index: number, frame: number, bytes: Uint8Array, stack: string): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const words = cells.words(index), buffer = cells.slot(index);
    const name = descriptorName("rx", cells.name.queue, index);
    const common = { actor: "device", port, frame, stack } as const;
    journal.add({
      ...common,
      kind: "fetch",
      title: `${name}: ${emptyText(buffer)}`,
      why: "The device reads the descriptor at the head to learn where the frame's buffer is.",
      section: RING_SECTION,
      ...buffer === NONE ? {} : { buffer },
      descriptor: accessOf(cells, index, [words, words], false),
    });
    if (buffer !== NONE) {
      pool.setOwner(buffer, BUFFER.FILLED);
      pool.setFrame(buffer, frame);
    }
    cells.set(RING.HEAD, (index + 1) & cells.mask);
    journal.add({
      ...common,
      kind: "dma-write",
      title: `${bytes.length} bytes to ${emptyText(buffer)}`,
      why: "The device writes the frame to host memory as a bus master, without the processor.",
      section: "7.1.3",
      ...buffer === NONE ? {} : { buffer },
      bytes,
      descriptor: accessOf(cells, index, [words, words], false),
    });
  }

  deviceWrote(stack?: string): void {
    const { cells } = this;
    for (let n = 0, i = this.#firstOfDevice(); n < cells.entries && i >= 0; n++) {
      if (cells.owner(i) !== OWNER.DEVICE || !this.differs(i)) return;
      this.#writtenBack(i, stack);
      i = (i + 1) & cells.mask;
    }
  }

  #writtenBack(i: number, stack: string | undefined): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const old = cells.words(i);
    cells.setWords(i, this.inMemory(i));
    cells.setOwner(i, OWNER.DONE);
    const words = cells.words(i);
    journal.add({
      kind: "write-back",
      actor: "device",
      port,
      title: `${descriptorName("rx", cells.name.queue, i)}: ${receivedText(words)}`,
      why:
        "The device overwrites the descriptor with the result. DD tells the driver that descriptor " +
        "and buffer are its own again.",
      section: WRITE_BACK,
      ...pool.about(cells.slot(i)),
      descriptor: accessOf(cells, i, [old, words], true),
      ...stack === undefined ? {} : { stack },
    });
  }

  /** The driver writes an address to the descriptor at the head, which the device has already. */
  corrupt([low, high]: readonly [number, number]): void {
    const { cells } = this, { journal, port } = this.context, i = cells.get(RING.HEAD);
    if (this.memory === undefined) return;
    const old = cells.words(i), memory = this.inMemory(i);
    memory.set([low, high, 0, 0]);
    cells.setWords(i, memory);
    journal.add({
      kind: "arm",
      actor: "driver",
      port,
      title: `${descriptorName("rx", cells.name.queue, i)}: an address that is not mapped`,
      why: "The driver writes a bus address that it has not mapped for the device.",
      section: FORMAT,
      descriptor: accessOf(cells, i, [old, cells.words(i)], false),
    });
  }

  /** The driver has closed the queue, and returned its buffers. Belongs to the next step. */
  closed(): void {
    const { cells } = this, { pool } = this.context;
    for (let i = 0; i < cells.entries; i++) {
      const buffer = cells.slot(i);
      if (buffer !== NONE) {
        pool.release(buffer);
      }
      cells.setSlot(i, NONE);
      cells.setOwner(i, OWNER.DRIVER);
    }
    cells.set(RING.NEXT, 0);
    cells.set(RING.FILL, 0);
    this.memory = undefined;
  }

  /** Takes over a descriptor that the driver wrote. */
  #take(i: number): void {
    const words = this.inMemory(i);
    this.cells.setWords(i, words);
    this.cells.setSlot(i, this.context.pool.bufferOf(words));
    this.cells.setOwner(i, OWNER.ARMED);
  }

  #firstOfDevice(): number {
    const { cells } = this, next = cells.get(RING.NEXT);
    for (let n = 0; n < cells.entries; n++) {
      const i = (next + n) & cells.mask;
      if (cells.owner(i) === OWNER.DEVICE) return i;
    }
    return -1;
  }
}
