/**
 * The driver's steps on a receive queue. No stack shows them, since they are loads and stores: they follow
 * from the queue's memory before and after.
 *
 * @module
 */

import { BUFFER, NONE, OWNER, RING } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import type { RecorderContext } from "../context.ts";
import { HEADER } from "./device/core.ts";
import { RX_PLACES } from "./places.ts";
import { lookAtUsed, publish, writeEntry } from "./publishing.ts";
import type { VirtqueueCells } from "./virtqueue_cells.ts";

/** Offset of num_buffers in the header. */
const NUM_BUFFERS = 10;

/** Follows a receive queue whose chains have one descriptor each, with the header in the buffer. */
export class RxSteps {
  readonly cells: VirtqueueCells;
  readonly #context: RecorderContext;
  readonly #port: number;
  /** Position of the next used entry; of the next chain to write; the available index. */
  #next = 0;
  #fill = 0;
  #published = 0;
  /** Whether the device knows of the chains. */
  #started = false;
  /** Buffers still to come of a frame that is dropped. */
  #dropping = 0;

  constructor(context: RecorderContext, cells: VirtqueueCells) {
    this.#context = context;
    this.cells = cells;
    this.#port = cells.ring.name.port;
  }

  /** Most chains that are with the device. */
  get #posted(): number {
    return this.cells.entries;
  }

  /** Adds the steps with which the driver has filled the queue, before the device knows it. */
  fill(): void {
    const { cells } = this;
    this.#next = this.#fill = 0;
    this.#published = this.#dropping = 0;
    this.#started = false;
    cells.takeAvailableFlags();
    for (let position = 0; position < this.#posted; position++) {
      cells.takeAvailable(position); // with the descriptor, in one step
      this.#arm(position, RX_PLACES.fill, RX_PLACES.available);
    }
  }

  /** Returns whether the device has used chains that the driver has not looked at. */
  get arrived(): boolean {
    return this.cells.usedIndex !== this.#next;
  }

  /** Adds the step of a look at the used index that finds nothing. */
  lookInVain(): void {
    this.#look("no chain is back: the driver reads one word of its own memory and returns");
  }

  /**
   * Adds the steps that the driver has made since the last call: at most one `receive`. It looks at the
   * index; drops frames, and posts chains; takes packets, and posts chains again.
   *
   * @param held Chains that the driver has posted and not looked at; all while it opens the device.
   */
  follow(held: number | undefined): void {
    const { cells } = this, now = cells.availableIndex;
    if (!cells.attached) return;
    if (!this.#started) {
      if (now === this.#published) return;
      this.#started = true;
      return this.#post(now);
    }
    const end = held === undefined ? this.#next : (now - held) & 0xffff;
    if (this.#next === end && this.#published === now) return;
    const arrived = (cells.usedIndex - this.#next) & 0xffff;
    this.#look(`${arrived} ${arrived === 1 ? "chain is" : "chains are"} back`);
    const dropped = this.#next;
    while (this.#next !== end && this.#isDropped()) this.#drop();
    const taken = (end - this.#next) & 0xffff;
    if (this.#next !== dropped) {
      // If the driver takes more than half of all chains after this, it posts these again, and else none.
      this.#post(2 * taken > this.#posted ? (now - taken) & 0xffff : now);
    }
    this.#receive(end);
    this.#post(now);
  }

  #look(found: string): void {
    const why = `The driver polls: ${found}.`;
    lookAtUsed(this.#context, this.cells, this.#next, why, RX_PLACES.index);
  }

  /** The driver gives chains buffers, up to a position, and makes them available. */
  #post(to: number): void {
    if (this.#published === to) return;
    while (this.#fill !== to) this.#arm(this.#fill, RX_PLACES.descriptor, RX_PLACES.available);
    publish(this.#context, this.cells, this.#published, to);
    this.#published = to;
  }

  /** The id of the next chain, its length, and its buffer. */
  #entry(): { id: number; length: number; buffer: number; place: number } {
    const { cells } = this,
      place = cells.placeOf(this.#next),
      { id, length } = cells.usedEntry(place);
    return { id, length, place, buffer: cells.ring.slot(id) };
  }

  /** Whether the program has not got the next packet. */
  #isDropped(): boolean {
    return this.#context.pool.mempool.lengths[this.#entry().buffer] === 0;
  }

  /** Packets that the batch gets. */
  #receive(end: number): void {
    const { pool } = this.#context, packets: number[] = [];
    while (this.#next !== end) {
      const { id, length, buffer, place } = this.#entry();
      this.cells.ring.setSlot(id, NONE);
      pool.setOwner(buffer, BUFFER.PROGRAM);
      this.#take(id, {
        title: `${this.cells.name}: used.ring[${place}] is chain ${id}, ${length} bytes`,
        why:
          `${HEADER} bytes are the header, ${length - HEADER} the packet. The batch gets buffer ` +
          `${buffer}, and the chain has none until a later call.`,
        source: RX_PLACES.entry,
      }, buffer);
      packets.push(buffer);
    }
    for (const buffer of packets) this.#strip(buffer);
  }

  /** The driver has looked at the next used entry. */
  #take(
    id: number,
    step: { readonly title: string; readonly why: string; readonly source: Place },
    buffer: number,
  ): void {
    const { cells } = this;
    cells.setOwner(id, OWNER.DRIVER);
    this.#next = (this.#next + 1) & 0xffff;
    cells.ring.set(RING.NEXT, cells.descriptorAt(this.#next));
    this.#context.journal.add({
      kind: "look",
      actor: "driver",
      port: this.#port,
      section: "VirtIO 2.7.8",
      descriptor: cells.look(id),
      ...step,
      ...this.#context.pool.about(buffer),
    });
  }

  /** The driver moves a packet to the start of its buffer. */
  #strip(buffer: number): void {
    const { pool } = this.#context, bytes = pool.mempool.packet(buffer).slice();
    this.#context.journal.add({
      kind: "touch",
      actor: "driver",
      port: this.#port,
      title: `buffer ${buffer}: ${bytes.length} bytes move over the header`,
      why:
        "The device has written the header and the packet into one buffer, and a packet has to " +
        "begin at the start of its buffer.",
      section: "VirtIO 5.1.6",
      source: RX_PLACES.strip,
      bytes,
      ...this.#context.pool.about(buffer),
    });
  }

  /** The driver drops the next chain's frame, or a part of it: the buffer is free. */
  #drop(): void {
    const { id, length, buffer } = this.#entry(), { cells } = this, { pool } = this.#context;
    const { bufferSize, bytes } = pool.mempool;
    const at = buffer * bufferSize + NUM_BUFFERS, first = this.#dropping === 0;
    const spread = first ? bytes[at] | bytes[at + 1] << 8 : this.#dropping;
    const tooLong = !first || spread > 1;
    const reason = tooLong
      ? `The frame is in several buffers (num_buffers), and this driver's packets are in one.`
      : "The pool has no free buffer to replace the packet's buffer with.";
    const about = pool.about(buffer);
    cells.setOwner(id, OWNER.DRIVER);
    cells.ring.setSlot(id, NONE);
    pool.release(buffer);
    this.#next = (this.#next + 1) & 0xffff;
    cells.ring.set(RING.NEXT, cells.descriptorAt(this.#next));
    this.#dropping = spread - 1;
    this.#context.journal.add({
      kind: "drop",
      actor: "driver",
      port: this.#port,
      title: !tooLong
        ? `${cells.name}: the packet in buffer ${buffer} is dropped`
        : first
        ? `${cells.name}: a frame in ${spread} buffers is dropped, ${length} bytes of it in the first`
        : `${cells.name}: ${length} further bytes of the frame are dropped`,
      why: `${reason} The buffer is free, for the next chain that is posted.`,
      section: tooLong ? "VirtIO 5.1.6.4" : "VirtIO 5.1.6.3",
      decision: {
        by: tooLong ? "rxTooLong" : "rxNoBuffer",
        reason,
        section: tooLong ? "VirtIO 5.1.6.4" : "VirtIO 5.1.6.3",
      },
      descriptor: cells.look(id),
      source: tooLong ? RX_PLACES.tooLong : RX_PLACES.noBuffer,
      ...about,
    });
  }

  /** The driver writes the chain at a position, with an empty buffer. */
  #arm(position: number, source: Place, entrySource: Place): void {
    const { cells } = this, id = cells.availableId(cells.placeOf(position));
    const descriptor = cells.takeDescriptor(id),
      buffer = this.#context.pool.bufferOf(descriptor.words);
    cells.setOwner(id, OWNER.ARMED);
    cells.ring.setSlot(id, buffer);
    this.#context.pool.setOwner(buffer, BUFFER.RECEIVE);
    this.#context.pool.setFrame(buffer, 0);
    this.#fill = (position + 1) & 0xffff;
    cells.ring.set(RING.FILL, cells.descriptorAt(this.#fill));
    this.#context.journal.add({
      kind: "arm",
      actor: "driver",
      port: this.#port,
      title: `${cells.name}: descriptor ${id} = buffer ${buffer}, WRITE`,
      why:
        "WRITE says that the device writes to the buffer. The device does not look at the descriptor " +
        "before the available index has passed its chain.",
      section: "VirtIO 2.7.13.1",
      descriptor,
      buffer,
      source,
    });
    writeEntry(this.#context, cells, position, entrySource);
  }
}
