/**
 * Texts of a device's steps: where its source is, and why it moves a part of a buffer.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";
import type { DeviceEvent, Part } from "./device/events.ts";

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
export const PARTS: Readonly<Record<Part, string>> = {
  header: "virtio_net_hdr",
  frame: "the frame",
  command: "a part of the command",
  acknowledgement: "the acknowledgement",
};
/** Why the device moves a part of a buffer. */
export const WHY: Readonly<Record<string, string>> = {
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
