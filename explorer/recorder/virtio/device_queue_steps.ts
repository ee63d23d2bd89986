/**
 * The steps of a device on its virtqueues: what it takes, reads, writes and returns.
 *
 * @module
 */

import { BUFFER, NONE, OWNER, RING } from "../../recording/layout.ts";
import type { DescriptorAccess } from "../../recording/step.ts";
import type { RecorderContext } from "../context.ts";
import type { Entry } from "../journal.ts";
import type { DeviceQueue } from "./device/device_queue.ts";
import type { DeviceEvent, Frame } from "./device/events.ts";
import { PARTS, WHY } from "./buffer_parts.ts";
import { DEVICE_PLACES } from "./places.ts";
import { bytesText, descriptorText } from "./names.ts";
import type { VirtqueueCells } from "./virtqueue_cells.ts";

const NUM_BUFFERS = 10;

/** What the device side of a port has to be looked up in. */
export interface PortQueues {
  /** Cells by index on the device; undefined for the control queue. */
  cells(index: number): VirtqueueCells | undefined;
  /** The device's side of a queue. */
  device(index: number): DeviceQueue;
}

/** An event of one kind. */
export type EventOf<What extends DeviceEvent["what"]> = Extract<DeviceEvent, { what: What }>;

/** Makes steps of what a device does on its virtqueues. */
export class DeviceQueueSteps {
  /** The frame that the device receives. */
  frame: Frame | undefined;
  readonly #context: RecorderContext;
  readonly #port: number;
  readonly #queues: PortQueues;
  /** The buffer of the last frame that the device has read. */
  #read = NONE;
  /** Positions that the used index has passed, by queue. */
  readonly #passed = new Map<number, number>();

  constructor(context: RecorderContext, port: number, queues: PortQueues) {
    this.#context = context;
    this.#port = port;
    this.#queues = queues;
  }

  /** After a reset of the device. */
  reset(): void {
    this.#passed.clear();
  }

  #step(entry: Omit<Entry, "actor" | "port">): void {
    this.#context.journal.add({ actor: "device", port: this.#port, ...entry });
  }

  /** Returns a queue's name. */
  name(index: number): string {
    return this.#queues.cells(index)?.name ?? "controlq";
  }

  /** The frame of a step on a queue: only receive queues know it by themselves. */
  #received(index: number): { readonly frame?: number } {
    const rx = this.#queues.cells(index)?.ring.name.ring === "rx";
    return rx && this.frame ? { frame: this.frame.number } : {};
  }

  /** Returns what a step of a frame that was sent is about: its chain and its buffer. */
  sent(queue: number): Pick<Entry, "descriptor" | "buffer" | "frame"> {
    const { taken } = this.#queues.device(queue);
    return {
      ...this.#about(queue, (cells) => cells.lookAt(taken - 1)),
      ...this.#context.pool.about(this.#read),
    };
  }

  /** Returns a descriptor for a step on a queue that has cells. */
  #about(
    queue: number,
    look: (cells: VirtqueueCells) => DescriptorAccess,
  ): { readonly descriptor?: DescriptorAccess } {
    const cells = this.#queues.cells(queue);
    return cells ? { descriptor: look(cells) } : {};
  }

  /** The chain that the device has used last. */
  #last(queue: number): { readonly descriptor?: DescriptorAccess } {
    return this.#about(queue, (cells) => cells.lookAt(this.#queues.device(queue).usedIndex - 1));
  }

  /** The device has read an entry of the available ring. */
  take({ queue, position, id }: EventOf<"take">): void {
    const cells = this.#queues.cells(queue), { entries } = this.#queues.device(queue);
    cells?.ring.set(RING.HEAD, cells.descriptorAt(position + 1));
    this.#step({
      kind: "fetch",
      title: `${this.name(queue)}: avail.ring[${position % entries}] is chain ${id}`,
      why: "The device takes chains in the order in which they were made available, up to the " +
        "available index.",
      section: "VirtIO 2.7.6",
      source: DEVICE_PLACES.take,
      ...cells && { descriptor: cells.look(id) },
      ...this.#received(queue),
    });
  }

  /** The device has read a descriptor. */
  fetch(queue: number, index: number): void {
    const cells = this.#queues.cells(queue);
    const descriptor = cells?.takeDescriptor(index);
    const buffer = descriptor ? this.#context.pool.bufferOf(descriptor.words) : NONE;
    this.#step({
      kind: "fetch",
      title: descriptor
        ? `${this.name(queue)}: descriptor ${index}: ${descriptorText(descriptor.words)}`
        : `${this.name(queue)}: descriptor ${index}`,
      why:
        "Address, length and flags of the buffer. NEXT says that the chain goes on, WRITE that the " +
        "device writes the buffer.",
      section: "VirtIO 2.7.5",
      source: DEVICE_PLACES.fetch,
      ...descriptor && { descriptor },
      ...this.#context.pool.about(buffer),
      ...this.#received(queue),
    });
  }

  /** The device has moved bytes. */
  move(event: EventOf<"dma-write" | "dma-read">): void {
    const { what, queue, index, address, part, bytes } = event, writes = what === "dma-write";
    const buffer = this.#context.pool.bufferAt(address);
    if (writes && buffer !== NONE && this.frame) {
      this.#context.pool.setFrame(buffer, this.frame.number);
    }
    if (!writes && part === "frame") this.#read = buffer;
    const place = buffer === NONE ? `the buffer of descriptor ${index}` : `buffer ${buffer}`;
    const buffers = part === "header" && writes ? `, num_buffers ${bytes[NUM_BUFFERS]}` : "";
    this.#step({
      kind: what,
      title: `${bytesText(bytes.length)} ${writes ? "to" : "from"} ${place}: ${
        PARTS[part]
      }${buffers}`,
      why: WHY[`${what} ${part}`],
      section: part === "frame" || part === "header" ? "VirtIO 5.1.6" : "VirtIO 5.1.6.5",
      bytes,
      source: part === "command" ? DEVICE_PLACES.read : DEVICE_PLACES[what],
      ...this.#about(queue, (cells) => cells.look(index)),
      ...this.#context.pool.about(buffer),
      ...this.#received(queue),
    });
  }

  /** The device has written an entry of the used ring. */
  used({ queue, place, id, length }: EventOf<"used">): void {
    this.#queues.cells(queue)?.takeUsed(place);
    this.#step({
      kind: "write-back",
      title: `${this.name(queue)}: used.ring[${place}] = chain ${id}, ${bytesText(length)}`,
      why:
        "The entry says which chain the device has used, and how much it has written to it. The " +
        "driver does not look at it before the used index has passed it.",
      section: "VirtIO 2.7.8",
      source: DEVICE_PLACES.used,
      ...this.#about(queue, (cells) => cells.look(id)),
      ...this.#received(queue),
    });
  }

  /** The device has moved the used index. */
  publish(queue: number): void {
    const cells = this.#queues.cells(queue), { usedIndex } = this.#queues.device(queue);
    const from = this.#passed.get(queue) ?? 0, count = (usedIndex - from) & 0xffff;
    this.#passed.set(queue, usedIndex);
    for (let i = 0; cells && i < count; i++) this.#done(cells, from + i);
    cells?.setUsedIndex(usedIndex);
    this.#step({
      kind: "write-back",
      title: `${this.name(queue)}: used.idx = ${usedIndex}`,
      why: `The index passes ${count} ${count === 1 ? "entry" : "entries"}: the driver sees ` +
        `${count === 1 ? "it" : "them"}, and has the ${count === 1 ? "chain" : "chains"} back.`,
      section: "VirtIO 2.7.8",
      source: DEVICE_PLACES.publish,
      ...this.#about(queue, (cells) => cells.lookAt(usedIndex - 1)),
      ...this.#received(queue),
    });
  }

  /** The driver has a chain back: its descriptors are done, its buffers filled or sent. */
  #done(cells: VirtqueueCells, position: number): void {
    const { id } = cells.usedEntry(cells.placeOf(position));
    cells.setOwner(id, OWNER.DONE);
    const buffer = cells.ring.slot(id + cells.perChain - 1);
    this.#context.pool.setOwner(
      buffer,
      cells.ring.name.ring === "rx" ? BUFFER.FILLED : BUFFER.SENT,
    );
  }

  /** The device has looked at the driver's flags. */
  interrupt(queue: number, suppressed: boolean): void {
    this.#step({
      kind: suppressed ? "look" : "interrupt",
      title: suppressed
        ? `${this.name(queue)}: avail.flags is NO_INTERRUPT: no interrupt`
        : `${this.name(queue)}: interrupt`,
      why: suppressed
        ? "The driver polls, and has told the device that it needs no interrupts."
        : "The driver's flags of the available ring ask for an interrupt.",
      section: "VirtIO 2.7.7",
      source: DEVICE_PLACES.interrupt,
      ...this.#last(queue),
      ...this.#received(queue),
    });
  }

  /** The device has changed its flags. */
  flags(queue: number, noNotify: boolean): void {
    const rx = this.#queues.cells(queue)?.ring.name.ring === "rx";
    this.#queues.cells(queue)?.takeUsedFlags();
    this.#step({
      kind: "write-back",
      title: `${this.name(queue)}: used.flags = ${noNotify ? "NO_NOTIFY" : "0"}`,
      why: noNotify
        ? rx
          ? "The device looks at the queue when a frame arrives, so it needs no notifications."
          : "The device looks at the queue until it is empty, so it needs no notifications meanwhile."
        : rx
        ? "The device waits for chains: it wants to be told when there are some."
        : "The queue is empty, and the device stops looking at it: it wants to be told of more.",
      section: "VirtIO 2.7.10",
      source: DEVICE_PLACES.flags,
      ...this.#last(queue),
    });
  }
}
