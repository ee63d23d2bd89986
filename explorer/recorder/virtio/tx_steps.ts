/**
 * The driver's steps on a transmit queue. No stack shows them, since they are loads and stores: they
 * follow from the queue's memory before and after.
 *
 * @module
 */

import { BUFFER, NONE, OWNER, RING } from "../../recording/layout.ts";
import type { RecorderContext } from "../context.ts";
import { TX_PLACES } from "./places.ts";
import { lookAtUsed, publish, writeEntry } from "./publishing.ts";
import type { VirtqueueCells } from "./virtqueue_cells.ts";

/** Follows a transmit queue whose chains have two descriptors: the header, and the packet. */
export class TxSteps {
  readonly cells: VirtqueueCells;
  readonly #context: RecorderContext;
  readonly #port: number;
  /** Position of the next chain to write, and of the next one to reclaim. */
  #tail = 0;
  #clean = 0;

  constructor(context: RecorderContext, cells: VirtqueueCells) {
    this.#context = context;
    this.cells = cells;
    this.#port = cells.ring.name.port;
  }

  /** Adds the step with which the driver has written what all chains have in common. */
  fill(): void {
    const { cells } = this;
    this.#tail = this.#clean = 0;
    cells.takeAvailableFlags();
    for (let index = 1; index < cells.entries; index++) cells.takeDescriptor(index);
    this.#context.journal.add({
      kind: "arm",
      actor: "driver",
      port: this.#port,
      title: `${cells.name}: ${cells.entries / 2} chains of a header and a packet`,
      why:
        "A packet to send takes two descriptors: 2i leads to the header, which is all zeros and the " +
        "same for all packets, and 2i + 1 to the packet. Only the second one changes from here on.",
      section: "VirtIO 5.1.6.2",
      descriptor: cells.takeDescriptor(0),
      source: TX_PLACES.fill,
    });
  }

  /** Whether the device has used chains that the driver has not reclaimed. */
  get done(): boolean {
    return this.cells.usedIndex !== this.#clean;
  }

  /** Packets in the queue. */
  get pending(): number {
    return (this.#tail - this.#clean) & 0xffff;
  }

  /** Whether `transmit` reclaims: the queue is half full. */
  get reclaims(): boolean {
    return this.pending >= this.cells.entries / this.cells.perChain / 2;
  }

  /** Adds the step of a look at the used index that finds nothing. */
  lookInVain(): void {
    this.#look("no chain is back");
  }

  /**
   * Adds the steps that the driver has made since the last call.
   *
   * @param pending Packets that the driver has in the queue now.
   * @param broken Whether the experiment has written the available index, and not the driver.
   */
  follow(pending: number, broken: boolean): void {
    const { cells } = this;
    if (!cells.attached) return;
    const tail = broken ? this.#tail : cells.availableIndex;
    this.#reclaim((tail - pending) & 0xffff);
    if (tail === this.#tail) return;
    const from = this.#tail;
    while (this.#tail !== tail) this.#arm();
    publish(this.#context, cells, from, tail);
  }

  #look(found: string): void {
    const why = `The driver reclaims: ${found}.`;
    lookAtUsed(this.#context, this.cells, this.#clean, why, TX_PLACES.index);
  }

  /** The driver returns buffers of sent packets to the pool, up to a position. */
  #reclaim(end: number): void {
    const { cells } = this;
    const count = (end - this.#clean) & 0xffff;
    if (count === 0) return;
    this.#look(`${count} ${count === 1 ? "chain is" : "chains are"} back`);
    while (this.#clean !== end) {
      const place = cells.placeOf(this.#clean), { id } = cells.usedEntry(place);
      const index = id + 1, buffer = cells.ring.slot(index);
      const about = this.#context.pool.about(buffer);
      cells.ring.setSlot(index, NONE);
      cells.setOwner(id, OWNER.DRIVER);
      this.#context.pool.release(buffer);
      this.#clean = (this.#clean + 1) & 0xffff;
      cells.ring.set(RING.NEXT, cells.descriptorAt(this.#clean));
      this.#context.journal.add({
        kind: "free",
        actor: "driver",
        port: this.#port,
        title: `${cells.name}: used.ring[${place}] is chain ${id}: buffer ${buffer} is free`,
        why: "The device no longer needs the buffer. The chain can be used for another packet.",
        section: "VirtIO 2.7.14",
        descriptor: cells.look(index),
        source: TX_PLACES.free,
        ...about,
      });
    }
  }

  /** The driver writes the chain of the next packet. */
  #arm(): void {
    const { cells } = this, id = cells.availableId(cells.placeOf(this.#tail));
    const descriptor = cells.takeDescriptor(id + 1);
    const buffer = this.#context.pool.bufferOf(descriptor.words), [, , length] = descriptor.words;
    cells.setOwner(id, OWNER.ARMED);
    cells.ring.setSlot(id + 1, buffer);
    this.#context.pool.setOwner(buffer, BUFFER.TRANSMIT);
    const position = this.#tail;
    this.#tail = (position + 1) & 0xffff;
    cells.ring.set(RING.FILL, cells.descriptorAt(this.#tail));
    this.#context.journal.add({
      kind: "arm",
      actor: "driver",
      port: this.#port,
      title: `${cells.name}: descriptor ${id + 1} = buffer ${buffer}, ${length} bytes`,
      why: `Descriptor ${id} before it leads to the header, as always: the chain is complete.`,
      section: "VirtIO 2.7.13.1",
      descriptor,
      source: TX_PLACES.descriptor,
      ...this.#context.pool.about(buffer),
    });
    writeEntry(this.#context, cells, position, TX_PLACES.available);
  }
}
