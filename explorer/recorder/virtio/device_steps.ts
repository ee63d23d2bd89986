/**
 * The steps of a device: from its events.
 *
 * @module
 */

import { BUFFER, OWNER, RING } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import type { Entry } from "../journal.ts";
import type { DeviceEvent, Frame, Part } from "./device/events.ts";
import type { DeviceQueue } from "./device/device_queue.ts";
import { bytesText, commandText, descriptorText } from "./names.ts";
import type { Scribe } from "./scribe.ts";
import type { VirtqueueCells } from "./virtqueue_cells.ts";

const DEVICE = "explorer/recorder/virtio/device/";
const RECEIVER = `${DEVICE}receiver.ts`, TRANSMITTER = `${DEVICE}transmitter.ts`;
const CORE = `${DEVICE}core.ts`, QUEUE = `${DEVICE}device_queue.ts`;
/** Source of the steps, by event; of two for receive and transmit queues. */
export const DEVICE_SOURCES: Readonly<Record<Exclude<DeviceEvent["what"], "violation">, Place>> & {
  readonly read: Place;
} = {
  arrive: { file: RECEIVER, text: "#arrive(frame: Frame): void {" },
  decide: { file: RECEIVER, text: "device.filter.decide(frame.bytes);" },
  drop: { file: RECEIVER, text: "#drop(by: string, reason: string, section: string): void {" },
  wait: { file: RECEIVER, text: "kept.push(frame);" },
  resume: { file: RECEIVER, text: "const frame = frames.shift()!;" },
  take: { file: CORE, text: "id = queue.take();" },
  fetch: { file: QUEUE, text: "const address = Number(table.getBigUint64(at, true))" },
  "dma-write": { file: RECEIVER, text: "room.set(bytes);" },
  "dma-read": { file: TRANSMITTER, text: "const read = bytes.slice(from, to);" },
  used: { file: QUEUE, text: "this.#used.setUint32(at, id, true);" },
  publish: { file: QUEUE, text: "this.#used.setUint16(2, this.usedIndex, true);" },
  interrupt: { file: QUEUE, text: "return (this.availableFlags & NO_INTERRUPT) !== 0;" },
  flags: { file: QUEUE, text: "this.#used.setUint16(0, on ? NO_NOTIFY : 0, true);" },
  send: {
    file: TRANSMITTER,
    text: 'device.observe({ what: "send", queue: index, bytes: frame });',
  },
  command: { file: `${DEVICE}commands.ts`, text: "= this.#execute(bytes);" },
  read: { file: `${DEVICE}commands.ts`, text: "const { index: descriptor, address } = buffer" },
};

/** What a part of a buffer is called. */
const PARTS: Readonly<Record<Part, string>> = {
  header: "virtio_net_hdr",
  frame: "the frame",
  command: "a part of the command",
  acknowledgement: "the acknowledgement",
};
const NUM_BUFFERS = 10;

/** What the device side of a port has to be looked up in. */
export interface PortQueues {
  /** Cells by index on the device; undefined for the control queue. */
  cells(index: number): VirtqueueCells | undefined;
  /** The device's side of a queue. */
  device(index: number): DeviceQueue;
}

/** Makes steps of the events of one device. */
export class DeviceSteps {
  readonly #scribe: Scribe;
  readonly #port: number;
  readonly #queues: PortQueues;
  /** The frame that the device receives. */
  #frame: Frame | undefined;
  /** Positions that the used index has passed, by queue. */
  readonly #passed = new Map<number, number>();
  /** The buffer of the last frame that was read. */
  #read: number | undefined;

  constructor(scribe: Scribe, port: number, queues: PortQueues) {
    this.#scribe = scribe;
    this.#port = port;
    this.#queues = queues;
  }

  /** After a reset of the device. */
  reset(): void {
    this.#passed.clear();
  }

  /** Adds the step of an event. */
  add(event: DeviceEvent): void {
    switch (event.what) {
      case "arrive":
        return this.#arrive(event.frame);
      case "resume":
        this.#frame = event.frame;
        return;
      case "decide":
      case "drop":
      case "wait":
        return this.#decide(event);
      case "take":
        return this.#take(event);
      case "fetch":
        return this.#fetch(event.queue, event.index);
      case "dma-write":
      case "dma-read":
        return this.#move(event);
      case "used":
        return this.#used(event);
      case "publish":
        return this.#publish(event.queue);
      case "interrupt":
        return this.#interrupt(event.queue, event.suppressed);
      case "flags":
        return this.#flags(event.queue, event.noNotify);
      case "send":
        return this.#send(event.queue, event.bytes);
      case "command":
        return this.#step({
          kind: "configuration",
          title: `executes ${commandText(event.group, event.number)}: ${
            event.accepted ? "OK" : "refused"
          }`,
          why: "The command changes how the device works. The driver waits for its end.",
          section: "VirtIO 5.1.6.5",
          source: DEVICE_SOURCES.command,
        });
      case "violation": {
        const { register, section, rule, detail } = event.broken;
        return this.#step({
          kind: "violation",
          title: `broken rule: ${register}: ${detail}`,
          why: `The rule: ${rule}.`,
          section,
          rule: { register, section, rule, detail },
        });
      }
    }
  }

  #step(entry: Omit<Entry, "actor" | "port"> & { actor?: Entry["actor"] }): void {
    this.#scribe.add({ actor: "device", port: this.#port, ...entry });
  }

  #name(index: number): string {
    return this.#queues.cells(index)?.name ?? "controlq";
  }

  /** The frame of a step on a queue: only receive queues know it by themselves. */
  #received(index: number): { readonly frame?: number } {
    const rx = this.#queues.cells(index)?.ring.name.ring === "rx";
    return rx && this.#frame ? { frame: this.#frame.number } : {};
  }

  #arrive(frame: Frame): void {
    this.#frame = frame;
    this.#step({
      kind: "arrive",
      actor: "wire",
      title: `frame ${frame.number} arrives: ${frame.bytes.length} bytes`,
      section: "VirtIO 5.1.6.4",
      frame: frame.number,
      bytes: frame.bytes,
      source: DEVICE_SOURCES.arrive,
    });
  }

  #decide(event: Extract<DeviceEvent, { what: "decide" | "drop" | "wait" }>): void {
    const frame = this.#frame!, about = { frame: frame.number, bytes: frame.bytes };
    const source = DEVICE_SOURCES[event.what], kind = event.what;
    if (event.what === "wait") {
      return this.#step({
        kind,
        title: `frame ${frame.number} waits for chains of ${this.#name(event.queue)}`,
        why:
          "All chains are in the driver's hands: the driver has to receive, so that chains become " +
          "available again.",
        section: "VirtIO 5.1.6.4",
        source,
        ...about,
      });
    }
    const { decision } = event, { by, reason, section } = decision;
    this.#step({
      kind,
      title: event.what === "drop"
        ? `frame ${frame.number} is dropped: ${by}`
        : `frame ${frame.number} is for ${this.#name(event.queue)}: ${by}`,
      why: reason,
      section,
      decision,
      source,
      ...about,
    });
  }

  #take({ queue, position, id }: Extract<DeviceEvent, { what: "take" }>): void {
    const cells = this.#queues.cells(queue), { entries } = this.#queues.device(queue);
    cells?.ring.set(RING.HEAD, cells.descriptorAt(position + 1));
    this.#step({
      kind: "fetch",
      title: `${this.#name(queue)}: avail.ring[${position % entries}] is chain ${id}`,
      why: "The device takes chains in the order in which they were made available, up to the " +
        "available index.",
      section: "VirtIO 2.7.6",
      source: DEVICE_SOURCES.take,
      ...this.#received(queue),
    });
  }

  #fetch(queue: number, index: number): void {
    const cells = this.#queues.cells(queue);
    const descriptor = cells?.takeDescriptor(index);
    const buffer = descriptor && this.#scribe.bufferOf(descriptor.words);
    this.#step({
      kind: "fetch",
      title: descriptor
        ? `${this.#name(queue)}: descriptor ${index}: ${descriptorText(descriptor.words)}`
        : `${this.#name(queue)}: descriptor ${index}`,
      why:
        "Address, length and flags of the buffer. NEXT says that the chain goes on, WRITE that the " +
        "device writes the buffer.",
      section: "VirtIO 2.7.5",
      source: DEVICE_SOURCES.fetch,
      ...descriptor && { descriptor },
      ...this.#scribe.about(buffer),
      ...this.#received(queue),
    });
  }

  #move(event: Extract<DeviceEvent, { what: "dma-write" | "dma-read" }>): void {
    const { what, queue, index, address, part, bytes } = event, writes = what === "dma-write";
    const buffer = this.#scribe.bufferAt(address);
    if (writes && buffer !== undefined && this.#frame) {
      this.#scribe.cells.setFrame(buffer, this.#frame.number);
    }
    if (!writes && part === "frame") this.#read = buffer;
    const place = buffer === undefined ? `the buffer of descriptor ${index}` : `buffer ${buffer}`;
    const buffers = part === "header" && writes ? `, num_buffers ${bytes[NUM_BUFFERS]}` : "";
    this.#step({
      kind: what,
      title: `${bytesText(bytes.length)} ${writes ? "to" : "from"} ${place}: ${
        PARTS[part]
      }${buffers}`,
      why: WHY[`${what} ${part}`],
      section: part === "frame" || part === "header" ? "VirtIO 5.1.6" : "VirtIO 5.1.6.5",
      bytes,
      source: part === "command" ? DEVICE_SOURCES.read : DEVICE_SOURCES[what],
      ...this.#scribe.about(buffer),
      ...this.#received(queue),
    });
  }

  #used({ queue, place, id, length }: Extract<DeviceEvent, { what: "used" }>): void {
    this.#queues.cells(queue)?.takeUsed(place);
    this.#step({
      kind: "write-back",
      title: `${this.#name(queue)}: used.ring[${place}] = chain ${id}, ${bytesText(length)}`,
      why:
        "The entry says which chain the device has used, and how much it has written to it. The " +
        "driver does not look at it before the used index has passed it.",
      section: "VirtIO 2.7.8",
      source: DEVICE_SOURCES.used,
      ...this.#received(queue),
    });
  }

  #publish(queue: number): void {
    const cells = this.#queues.cells(queue), { usedIndex } = this.#queues.device(queue);
    const from = this.#passed.get(queue) ?? 0, count = (usedIndex - from) & 0xffff;
    this.#passed.set(queue, usedIndex);
    for (let i = 0; cells && i < count; i++) this.#done(cells, from + i);
    cells?.setUsedIndex(usedIndex);
    this.#step({
      kind: "write-back",
      title: `${this.#name(queue)}: used.idx = ${usedIndex}`,
      why: `The index passes ${count} ${count === 1 ? "entry" : "entries"}: the driver sees ` +
        `${count === 1 ? "it" : "them"}, and has the ${count === 1 ? "chain" : "chains"} back.`,
      section: "VirtIO 2.7.8",
      source: DEVICE_SOURCES.publish,
      ...this.#received(queue),
    });
  }

  /** The driver has a chain back: its descriptors are done, its buffers filled or sent. */
  #done(cells: VirtqueueCells, position: number): void {
    const { id } = cells.usedEntry(cells.placeOf(position));
    cells.setOwner(id, OWNER.DONE);
    const buffer = cells.ring.slot(id + cells.perChain - 1);
    this.#scribe.cells.setOwner(
      buffer,
      cells.ring.name.ring === "rx" ? BUFFER.FILLED : BUFFER.SENT,
    );
  }

  #interrupt(queue: number, suppressed: boolean): void {
    this.#step({
      kind: suppressed ? "look" : "interrupt",
      title: suppressed
        ? `${this.#name(queue)}: avail.flags is NO_INTERRUPT: no interrupt`
        : `${this.#name(queue)}: interrupt`,
      why: suppressed
        ? "The driver polls, and has told the device that it needs no interrupts."
        : "The driver's flags of the available ring ask for an interrupt.",
      section: "VirtIO 2.7.7",
      source: DEVICE_SOURCES.interrupt,
      ...this.#received(queue),
    });
  }

  #flags(queue: number, noNotify: boolean): void {
    const rx = this.#queues.cells(queue)?.ring.name.ring === "rx";
    this.#queues.cells(queue)?.takeUsedFlags();
    this.#step({
      kind: "write-back",
      title: `${this.#name(queue)}: used.flags = ${noNotify ? "NO_NOTIFY" : "0"}`,
      why: noNotify
        ? rx
          ? "The device looks at the queue when a frame arrives, so it needs no notifications."
          : "The device looks at the queue until it is empty, so it needs no notifications meanwhile."
        : rx
        ? "The device waits for chains: it wants to be told when there are some."
        : "The queue is empty, and the device stops looking at it: it wants to be told of more.",
      section: "VirtIO 2.7.10",
      source: DEVICE_SOURCES.flags,
    });
  }

  #send(queue: number, bytes: Uint8Array): void {
    this.#step({
      kind: "send",
      title: `${this.#name(queue)}: ${bytes.length} bytes to the wire`,
      section: "VirtIO 5.1.6.2",
      bytes,
      source: DEVICE_SOURCES.send,
      ...this.#scribe.about(this.#read),
    });
  }

  /** Adds the step of a round in which the device has done nothing. */
  idle(): void {
    this.#step({
      kind: "idle",
      title: "a round: nothing to do",
      why: "No frame has arrived, and no chain to send is available.",
    });
  }
}

/** Why the device moves a part of a buffer. */
const WHY: Readonly<Record<string, string>> = {
  "dma-write header":
    "The header comes before the frame. num_buffers says over how many chains the " +
    "device has spread the frame (MRG_RXBUF).",
  "dma-write frame": "The frame follows the header.",
  "dma-read header": "The header says which work of the driver the device should do, such as " +
    "checksums: none, so it is all zeros.",
  "dma-read frame": "The device reads the frame from the driver's memory.",
  "dma-read command": "Class and command, then data.",
  "dma-write acknowledgement":
    "The driver reads in this byte whether the device has done it: 0 is OK.",
};
