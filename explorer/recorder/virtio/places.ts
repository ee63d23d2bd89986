/**
 * Places in the source of what no stack shows: loads and stores of the driver and of the device, and the
 * functions that the program calls. Each text is on exactly one line of its file, which
 * `tests/explorer/recorder/places_test.ts` checks.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";
import type { Call } from "../calls.ts";
import type { DeviceEvent } from "./device/events.ts";

const DEVICE = "virtio/device.ts", RX = "virtio/rx_queue.ts", TX = "virtio/tx_queue.ts";
const CONTROL = "virtio/control_queue.ts", QUEUE = "virtio/virtqueue.ts";

/** The functions that the program calls. */
export const CALLS = {
  OPEN: {
    source: { file: DEVICE, text: "export async function openVirtio(" },
    why:
      "The program opens the device: the driver resets it, and sets it up in the specification's order.",
  },
  LINK: {
    source: { file: DEVICE, text: "waitForLink(milliseconds = 10000)" },
    why: "The program waits until there is a link: before that nothing can be sent.",
  },
  RECEIVE: {
    source: { file: RX, text: "const receive = (batch: PacketBatch): number => {" },
    why: "The program polls: the driver looks for chains that are back, at most a batch of them.",
  },
  TRANSMIT: {
    source: { file: TX, text: "const transmit = (batch: PacketBatch): number => {" },
    why: "The program passes its batch on: the driver makes a chain available for each packet.",
  },
  RECLAIM: {
    source: { file: TX, text: "const reclaim = (): number => {" },
    why: "The program wants the buffers of packets that are sent back in the pool.",
  },
  STATISTICS: {
    source: { file: DEVICE, text: "statistics(): Statistics {" },
    why: "The program reads the counts, which are the driver's own: the device has none.",
  },
  CLOSE: {
    source: { file: DEVICE, text: "close(): void {" },
    why: "The program closes the device: the driver resets it, which stops its queues and its DMA.",
  },
} as const satisfies Record<string, Call>;

/** Where the driver works on a receive queue. */
export const RX_PLACES = {
  fill: { file: RX, text: "this.#queue.descriptors.set(address, WORDS * (id + perChain - 1));" },
  index: { file: RX, text: "const next = state[NEXT], arrived = (usedIndex[1] - next) & 0xffff;" },
  entry: {
    file: RX,
    text: "const size = (used[entry + 1] - headerBytes) | 0;",
  },
  descriptor: { file: RX, text: "descriptors64[(id + last) << 1] = address[buffer];" },
  available: { file: RX, text: "if (available[place] !== id) available[place] = id;" },
  strip: { file: RX, text: "words[w] = words[w + header];" },
  tooLong: { file: RX, text: "if (spread > 1) this.tooLong++;" },
  noBuffer: { file: RX, text: "else this.noBuffer++;" },
} as const satisfies Record<string, Place>;

/** Where the driver works on a transmit queue. */
export const TX_PLACES = {
  fill: { file: TX, text: "queue.describeChains(headerBytes, 0, 0, true);" },
  descriptor: { file: TX, text: "descriptors64[d << 1] = address[buffer];" },
  available: { file: TX, text: "if (available[place] !== id) available[place] = id;" },
  index: { file: TX, text: "const arrived = (usedIndex[1] - clean) & 0xffff" },
  free: { file: TX, text: "freeStack[(free + n) | 0] = slots[id];" },
} as const satisfies Record<string, Place>;

/** Where the driver works on the control queue. */
export const CONTROL_PLACES = {
  command: { file: CONTROL, text: "queue.describe(0, address(0), 2, DESC_NEXT, 1);" },
  data: { file: CONTROL, text: "queue.describe(1, address(DATA), data.length, DESC_NEXT, 2);" },
  ack: { file: CONTROL, text: "queue.describe(2, address(ACK), 1, DESC_WRITE);" },
  used: { file: CONTROL, text: "const count = (this.#queue.usedIndex[1] - position) & 0xffff;" },
} as const satisfies Record<string, Place>;

/** Where the driver makes chains available. */
export const PUBLISH_PLACES: Readonly<Record<"index" | "flags", Place>> = {
  index: { file: QUEUE, text: "Atomics.store(this.available, 1, position);" },
  flags: { file: QUEUE, text: "if ((this.usedIndex[0] & NO_NOTIFY) === 0)" },
};

const MODEL = "explorer/recorder/virtio/device/";
const RECEIVER = `${MODEL}receiver.ts`, TRANSMITTER = `${MODEL}transmitter.ts`;
const CORE = `${MODEL}core.ts`, DEVICE_QUEUE = `${MODEL}device_queue.ts`;

/** Where the device acts, by event; `read` is for a part of a command. */
export const DEVICE_PLACES: Readonly<Record<Exclude<DeviceEvent["what"], "violation">, Place>> & {
  readonly read: Place;
} = {
  arrive: { file: RECEIVER, text: "#arrive(frame: Frame): void {" },
  decide: { file: RECEIVER, text: "device.filter.decide(frame.bytes);" },
  drop: { file: RECEIVER, text: "#drop(by: string, reason: string, section: string): void {" },
  wait: { file: RECEIVER, text: "kept.push(frame);" },
  resume: { file: RECEIVER, text: "const frame = frames.shift()!;" },
  take: { file: CORE, text: "id = queue.take();" },
  fetch: { file: DEVICE_QUEUE, text: "const address = Number(table.getBigUint64(at, true))" },
  "dma-write": { file: RECEIVER, text: "room.set(bytes);" },
  "dma-read": { file: TRANSMITTER, text: "const read = bytes.slice(from, to);" },
  used: { file: DEVICE_QUEUE, text: "this.#used.setUint32(at, id, true);" },
  publish: { file: DEVICE_QUEUE, text: "this.#used.setUint16(2, this.usedIndex, true);" },
  interrupt: { file: DEVICE_QUEUE, text: "return (this.availableFlags & NO_INTERRUPT) !== 0;" },
  flags: { file: DEVICE_QUEUE, text: "this.#used.setUint16(0, on ? NO_NOTIFY : 0, true);" },
  send: {
    file: TRANSMITTER,
    text: 'device.observe({ what: "send", queue: index, bytes: frame });',
  },
  command: { file: `${MODEL}commands.ts`, text: "= this.#execute(bytes);" },
  read: { file: `${MODEL}commands.ts`, text: "const { index: descriptor, address } = buffer" },
};
