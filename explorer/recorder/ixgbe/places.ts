/**
 * Places in the source of what no stack shows: loads and stores of the hot path. Each text is on exactly
 * one line of its file, which `tests/explorer/recorder/places_test.ts` checks.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";
import type { Call } from "../calls.ts";

const RX = "ixgbe/rx_queue.ts", TX = "ixgbe/tx_queue.ts";

/** Places by what happens there. */
export const PLACES = {
  /** A receive descriptor gets its first buffer. */
  RX_FILL: { file: RX, text: "this.#ring.set([address[b], address[b + 1], 0, 0], d);" },
  /** The driver looks at DD of a receive descriptor. */
  RX_LOOK: { file: RX, text: "if ((ring[(i << 2) + 2] & CHECKED) !== WHOLE) break;" },
  /** The same in the slow path, which drops the frame. */
  RX_DROP: { file: RX, text: "if ((this.#ring[i * WORDS + 2] & RX_DD) === 0" },
  /** A receive descriptor gets a free buffer again. */
  RX_ARM: { file: RX, text: "ring64[i << 1] = address[buffer];" },
  /** The same, with all of a block. */
  RX_ARM_BLOCK: { file: RX, text: "block[k << 1] = address[buffer];" },
  /** A transmit descriptor gets a packet's buffer. */
  TX_ARM: { file: TX, text: "ring64[t << 1] = address[buffer];" },
  /** The same, with 32 or more of a batch. */
  TX_ARM_MANY: { file: TX, text: "copied[k << 1] = address[buffer];" },
  /** The driver looks at DD of a run's last transmit descriptor. */
  TX_LOOK: { file: TX, text: "if ((ring[(last << 2) + 3] & TX_DD) === 0) break;" },
  /** Reclaiming looks for the last packet of a block that was sent. */
  TX_LOOK_BACK: {
    file: TX,
    text: "while (count > 0 && (ring[((start + count - 1) << 2) + 3] & TX_DD) === 0) count--;",
  },
  /** The driver returns the buffer of a sent packet to the pool. */
  TX_FREE: { file: TX, text: "freeStack[(top + n) | 0] = slots[(first + n) & mask];" },
  /** Closing returns the buffers in the rings to the pool. */
  RX_CLOSE: {
    file: RX,
    text: "buffers.push(this.#slots[(this.#state[TAIL] + n) & this.#mask]);",
  },
  TX_CLOSE: {
    file: TX,
    text: "return this.#slots[(this.#next + n) & this.#mask];",
  },
} as const satisfies Record<string, Place>;

const RECEIVER = "sim/rx/receiver.ts";

/** Places in the model that decide about a frame, by what becomes of it. */
export const FATE_PLACES = {
  arrives: {
    file: "sim/nic/nic.ts",
    text: "receive(frame: FrameBuffer, length: number): boolean {",
  },
  accepted: {
    file: RECEIVER,
    text: "const kind = this.filters.classify(frame.words[0], frame.words[1]);",
  },
  filtered: { file: RECEIVER, text: "if (kind === REJECTED) return this.#refuse(length);" },
  "too short": { file: RECEIVER, text: "this.#fresh[UNDERSIZED]++;" },
  "too long": { file: RECEIVER, text: "this.#fresh[OVERSIZED]++;" },
  missed: { file: RECEIVER, text: "queue.counts[QUEUE_DROPS]++;" },
  lost: { file: RECEIVER, text: "queue.stopAtBadBuffer();" },
  pause: { file: RECEIVER, text: "&& this.flow.takes(frame)) return true;" },
  ignored: { file: RECEIVER, text: " count[IGNORED]++;" },
} as const satisfies Record<string, Place>;

const DEVICE = "ixgbe/device.ts";

/** The functions that the program calls. */
export const CALLS = {
  OPEN: {
    source: { file: DEVICE, text: "async function attach(pci: PciFunction" },
    why:
      "The program opens the device: the driver resets it, and sets it up in the datasheet's order.",
  },
  LINK: {
    source: { file: DEVICE, text: "waitForLink(milliseconds = 10000): Promise<LinkStatus> {" },
    why: "The program waits until there is a link: before that nothing can be sent.",
  },
  RECEIVE: {
    source: { file: RX, text: "const receive = (batch: PacketBatch): number => {" },
    why:
      "The program polls: the driver looks for descriptors that are done, at most a batch of them.",
  },
  TRANSMIT: {
    source: { file: TX, text: "const transmit = (batch: PacketBatch): number => {" },
    why: "The program passes its batch on: the driver writes a descriptor for each packet.",
  },
  RECLAIM: {
    source: { file: TX, text: "const reclaim = (): number => {" },
    why: "The program wants the buffers of packets that are sent back in the pool.",
  },
  STATISTICS: {
    source: { file: DEVICE, text: "statistics(refresh = true): Statistics {" },
    why:
      "The program reads the counts. The driver adds up those of the device, which reading clears.",
  },
  WAIT: {
    source: {
      file: "src/waiter.ts",
      text: "wait(look: () => boolean, milliseconds: number): boolean {",
    },
    why: "The program has nothing to do: it arms the interrupt, looks once more, and sleeps.",
  },
  SLEEP: {
    source: {
      file: "programs/adaptive_sleep.ts",
      text: "sleepIfIdle(now: number, until: number): boolean {",
    },
    why:
      "The hybrid mode: while packets come, the program polls, and needs no interrupt. After a tenth " +
      "of a millisecond without a packet, it arms the interrupts and sleeps.",
  },
  CLOSE: {
    source: { file: DEVICE, text: "  close(): void {" },
    why: "The program closes the device: the driver stops its queues and its DMA, and resets it.",
  },
} as const satisfies Record<string, Call>;
