/**
 * A transmit ring, as driver and device change it.
 *
 * @module
 */

import { BLOCK } from "../../../ixgbe/tx_queue.ts";
import { descriptorFormat } from "../../recording/descriptor_format.ts";
import { BUFFER, NONE, OWNER, RING } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import { isSent, reportsStatus, toSendText } from "./descriptor_text.ts";
import { PLACES } from "./places.ts";
import { accessOf, descriptorName } from "./port.ts";
import { Ring } from "./ring.ts";

const FORMAT = "7.2.3.2.4", REPORT = "7.2.3.5";

/** What the driver's queue says of itself: packets in all, and those not reclaimed yet. */
export interface DriverQueue {
  readonly packets: number;
  readonly pending: number;
}

/** A transmit ring. */
export class TxRing extends Ring {
  /** The descriptor whose packet is being sent. */
  #leaving: number | undefined;

  /** Records what the driver has done to the ring since it was looked at last. */
  driverWrote(queue: DriverQueue): void {
    const { cells } = this, fill = queue.packets & cells.mask;
    const held = (cells.get(RING.FILL) - cells.get(RING.NEXT)) & cells.mask;
    const next = cells.get(RING.NEXT);
    this.driverReclaimed(queue);
    // transmit() reclaims if half of the ring is full.
    const reclaims = cells.get(RING.FILL) !== fill && held >= cells.entries / 2;
    if (reclaims && cells.get(RING.NEXT) === next) this.lookedInVain();
    const count = (fill - cells.get(RING.FILL)) & cells.mask;
    const source = count < BLOCK ? PLACES.TX_ARM : PLACES.TX_ARM_MANY;
    while (cells.get(RING.FILL) !== fill) this.#armed(cells.get(RING.FILL), source);
  }

  /** Records the buffers that the driver has returned to the pool since the ring was looked at last. */
  driverReclaimed({ packets, pending }: DriverQueue): void {
    const { cells } = this, clean = (packets - pending) & cells.mask;
    while (cells.get(RING.NEXT) !== clean) this.#reclaimed(clean);
  }

  /**
   * The driver has found a block done, and returned its buffers; or, in `reclaim`, found a part of it done.
   *
   * @param clean The first descriptor whose buffer the driver has not returned.
   */
  #reclaimed(clean: number): void {
    const { cells } = this, next = cells.get(RING.NEXT), block = this.#endOfBlock();
    const part = ((clean - next) & cells.mask) <= ((block - next) & cells.mask);
    const end = part ? (clean - 1) & cells.mask : block;
    if (part) this.#lookBack(end);
    this.#look(end, "DD is set: the packet is sent, and all before it.");
    for (let i = cells.get(RING.NEXT);; i = (i + 1) & cells.mask) {
      this.#free(i);
      if (i === end) return;
    }
  }

  /** The driver looks at the last descriptor of the oldest block, and finds it not done. */
  lookedInVain(): void {
    const { cells } = this;
    if (cells.get(RING.NEXT) === cells.get(RING.FILL)) return;
    const end = this.#endOfBlock();
    if (isSent(cells.words(end))) return;
    this.#look(
      end,
      "DD is 0: the device has not reported the packet as sent. The buffers up to it stay in the ring.",
    );
  }

  /**
   * Records the looks of `reclaim` at a block of whose packets none is sent, after what it returned.
   *
   * @param returned Buffers that it has returned.
   */
  reclaimed(returned: number): void {
    const { cells } = this, next = cells.get(RING.NEXT);
    const partly = returned > 0 && next % BLOCK !== 0;
    if (!partly && next !== cells.get(RING.FILL)) this.#lookBack((next - 1) & cells.mask);
  }

  /** `reclaim` looks from the end of the oldest block back to a descriptor that is done. */
  #lookBack(done: number): void {
    const { cells } = this;
    for (let i = this.#endOfBlock(); i !== done; i = (i - 1) & cells.mask) {
      this.#look(
        i,
        "DD is 0: the device has not reported the packet as sent. The driver looks at the one before it.",
        PLACES.TX_LOOK_BACK,
      );
    }
  }

  #look(i: number, why: string, source: Place = PLACES.TX_LOOK): void {
    const { cells } = this, { pool, journal, port } = this.context, words = cells.words(i);
    journal.add({
      kind: "look",
      actor: "driver",
      port,
      title: `${descriptorName("tx", cells.name.queue, i)}: ${isSent(words) ? "DD" : "not done"}`,
      why,
      section: REPORT,
      ...pool.about(cells.slot(i)),
      descriptor: accessOf(cells, i, [words, words], isSent(words), descriptorFormat("tx", words)),
      source,
    });
  }

  #free(i: number): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const buffer = cells.slot(i), words = cells.words(i), about = pool.about(buffer);
    this.#release(i);
    cells.set(RING.NEXT, (i + 1) & cells.mask);
    journal.add({
      kind: "free",
      actor: "driver",
      port,
      title: `buffer ${buffer} of ${descriptorName("tx", cells.name.queue, i)} to the pool`,
      why: "The packet is sent, so its buffer is free for the next one.",
      section: REPORT,
      ...about,
      descriptor: accessOf(cells, i, [words, words], isSent(words), descriptorFormat("tx", words)),
      source: PLACES.TX_FREE,
    });
  }

  #armed(i: number, source: Place): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const old = cells.words(i);
    cells.setWords(i, this.inMemory(i));
    const words = cells.words(i), buffer = this.context.pool.bufferOf(words);
    cells.setSlot(i, buffer);
    cells.setOwner(i, OWNER.ARMED);
    cells.set(RING.FILL, (i + 1) & cells.mask);
    if (buffer !== NONE) pool.setOwner(buffer, BUFFER.TRANSMIT);
    journal.add({
      kind: "arm",
      actor: "driver",
      port,
      title: `${descriptorName("tx", cells.name.queue, i)}: ${toSendText(words, buffer)}`,
      why: reportsStatus(words)
        ? "RS asks the device to set DD once the packet is sent. That stands for all packets before it."
        : "The descriptor tells the device where the packet is. Without RS the device does not report it.",
      section: FORMAT,
      ...pool.about(buffer),
      descriptor: accessOf(cells, i, [old, words], false, descriptorFormat("tx", words)),
      source,
    });
  }

  /** The device reads a descriptor and its buffer. Returns the number of the frame, if it has one. */
  read(index: number, bytes: Uint8Array, stack: string): number | undefined {
    const { cells } = this, { pool, journal, port } = this.context;
    const words = cells.words(index), buffer = cells.slot(index), about = pool.about(buffer);
    const descriptor = accessOf(cells, index, [words, words], false, descriptorFormat("tx", words));
    const common = { actor: "device", port, ...about, descriptor, stack } as const;
    journal.add({
      ...common,
      kind: "fetch",
      title: `${descriptorName("tx", cells.name.queue, index)}: ${toSendText(words, buffer)}`,
      why: "The device reads the descriptor at the head to learn where the packet is.",
      section: "7.2.3.3",
    });
    journal.add({
      ...common,
      kind: "dma-read",
      title: `${bytes.length} bytes from ${buffer === NONE ? "memory" : `buffer ${buffer}`}`,
      why: "The device reads the packet from host memory as a bus master, without the processor.",
      section: "7.2.1.1",
      bytes,
    });
    this.#leaving = index;
    return about.frame;
  }

  /** The device has sent what it has read last, if it was from this ring. Belongs to the next step. */
  sent(): void {
    const i = this.#leaving, { cells } = this;
    if (i === undefined) return;
    this.#leaving = undefined;
    const buffer = cells.slot(i);
    if (buffer !== NONE) this.context.pool.setOwner(buffer, BUFFER.SENT);
    cells.set(RING.HEAD, (i + 1) & cells.mask);
  }

  deviceWrote(stack?: string): void {
    const { cells } = this;
    for (let i = cells.get(RING.NEXT); i !== cells.get(RING.FILL); i = (i + 1) & cells.mask) {
      if (cells.owner(i) === OWNER.DEVICE && this.differs(i)) this.#writtenBack(i, stack);
    }
  }

  #writtenBack(i: number, stack: string | undefined): void {
    const { cells } = this, { pool, journal, port } = this.context;
    const old = cells.words(i);
    cells.setWords(i, this.inMemory(i));
    let done = 0;
    // The device sends in order: DD in one descriptor stands for all before it.
    for (let at = cells.get(RING.NEXT);; at = (at + 1) & cells.mask) {
      if (cells.owner(at) === OWNER.DEVICE) {
        cells.setOwner(at, OWNER.DONE);
        done++;
      }
      if (at === i) break;
    }
    const words = cells.words(i);
    journal.add({
      kind: "write-back",
      actor: "device",
      port,
      title: `${descriptorName("tx", cells.name.queue, i)}: DD`,
      why: done === 1
        ? "The descriptor has RS: the device sets DD, which tells the driver that the packet is sent."
        : `The descriptor has RS: the device sets DD, which stands for ${done} descriptors.`,
      section: REPORT,
      ...pool.about(cells.slot(i)),
      descriptor: accessOf(cells, i, [old, words], true, descriptorFormat("tx", words)),
      ...stack === undefined ? {} : { stack },
    });
  }

  /** The driver has closed the queue, and returned its buffers. Belongs to the next step. */
  closed(): void {
    const { cells } = this;
    for (let i = 0; i < cells.entries; i++) this.#release(i);
    cells.set(RING.NEXT, 0);
    cells.set(RING.FILL, 0);
    this.memory = undefined;
  }

  /** Empties a descriptor's place: its buffer is free. */
  #release(i: number): void {
    const { cells } = this, { pool } = this.context, buffer = cells.slot(i);
    if (buffer !== NONE) {
      pool.release(buffer);
    }
    cells.setSlot(i, NONE);
    cells.setOwner(i, OWNER.DRIVER);
  }

  /** Returns the last descriptor of the oldest block: where the block ends, or the last that was filled. */
  #endOfBlock(): number {
    const { cells } = this, next = cells.get(RING.NEXT);
    const filled = (cells.get(RING.FILL) - next) & cells.mask;
    return (next + Math.min(BLOCK - next % BLOCK, filled) - 1) & cells.mask;
  }
}
