/**
 * Places in the source of what no stack shows: loads and stores of the hot path. Each text is on exactly
 * one line of its file, which `tests/explorer/recorder/places_test.ts` checks.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";

const RX = "ixgbe/rx_queue.ts", TX = "ixgbe/tx_queue.ts";

/** Places by what happens there. */
export const PLACES = {
  /** A receive descriptor gets its first buffer, or keeps that of a frame that was dropped. */
  RX_FILL: { file: RX, text: "this.#ring.set([address[b], address[b + 1], 0, 0], d);" },
  /** The driver looks at DD of a receive descriptor. */
  RX_LOOK: { file: RX, text: "if ((ring[i << 2 | 2] & CHECKED) !== WHOLE) break;" },
  /** The same in the slow path, which drops the frame. */
  RX_DROP: { file: RX, text: "if ((this.#ring[i * WORDS + 2] & RX_DD) === 0" },
  /** A receive descriptor gets a fresh buffer. */
  RX_ARM: { file: RX, text: "ring64[i << 1] = address[fresh];" },
  /** A transmit descriptor gets a packet's buffer. */
  TX_ARM: { file: TX, text: "ring64[t << 1] = address[buffer];" },
  /** The driver looks at DD of a run's last transmit descriptor. */
  TX_LOOK: { file: TX, text: "if ((ring[end << 2 | 3] & TX_DD) === 0) break;" },
  /** The driver returns the buffer of a sent packet to the pool. */
  TX_FREE: { file: TX, text: "freeStack[freeCount++] = slots[clean];" },
  /** The program touches a byte of a packet. */
  TOUCH: {
    file: "programs/forward.ts",
    text: "bytes[Math.imul(buffers[i], bufferSize) | TOUCHED_BYTE]++",
  },
  /** The program frees packets that were not sent. */
  FREE: { file: "programs/forward.ts", text: "dropped[0] += batch.free();" },
  /** Closing returns the buffers in the rings to the pool. */
  RX_CLOSE: { file: RX, text: "const buffers = [...this.#slots];" },
  TX_CLOSE: {
    file: TX,
    text: "buffers.push(this.#slots[state[NEXT_TO_CLEAN] & this.#mask]);",
  },
} as const satisfies Record<string, Place>;

const DEVICE = "ixgbe/device.ts";

/** Places of functions that the program calls. */
export const CALLS = {
  OPEN: { file: DEVICE, text: "async function attach(pci: PciFunction" },
  LINK: { file: DEVICE, text: "waitForLink(milliseconds = 10000): Promise<LinkStatus> {" },
  RECEIVE: { file: RX, text: "return function receive(batch: PacketBatch): number {" },
  TRANSMIT: { file: TX, text: "const transmit = (batch: PacketBatch): number => {" },
  RECLAIM: { file: TX, text: "const reclaim = (): number => {" },
  STATISTICS: { file: DEVICE, text: "statistics(refresh = true): Statistics {" },
  WAIT: {
    file: "src/waiter.ts",
    text: "wait(look: () => boolean, milliseconds: number): boolean {",
  },
  CLOSE: { file: DEVICE, text: "  close(): void {" },
} as const satisfies Record<string, Place>;
