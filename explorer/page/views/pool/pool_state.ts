/**
 * The buffers of the pool by state.
 *
 * @module
 */

import { BUFFER, POOL_SECTION } from "../../../recording/layout.ts";
import { cellsOf, type Scene } from "../scene.ts";

/** A state of a buffer. */
interface BufferLook {
  /** Its class in the style sheet: `buffer-free`. */
  readonly name: string;
  readonly words: string;
  /** Its shape in a cell of 10 by 10, from the corner on, so that it can be told without colour. */
  readonly shape: string;
}

/** How buffers look, by the states of {@linkcode BUFFER}. */
const LOOKS: Readonly<Record<number, BufferLook>> = {
  [BUFFER.FREE]: { name: "free", words: "free", shape: "m3.5,3.5h3v3h-3z" },
  [BUFFER.RECEIVE]: {
    name: "receive",
    words: "RX ring, empty",
    shape: "m1,1h8v8h-8zm2,2v4h4v-4z",
  },
  [BUFFER.FILLED]: { name: "filled", words: "RX ring, filled", shape: "m1,1h8v8h-8z" },
  [BUFFER.PROGRAM]: {
    name: "program",
    words: "the program's",
    shape: "m5,0.5l4.5,4.5l-4.5,4.5l-4.5,-4.5z",
  },
  [BUFFER.TRANSMIT]: {
    name: "transmit",
    words: "TX ring, to be sent",
    shape: "m1,1l8,4l-8,4z",
  },
  [BUFFER.SENT]: {
    name: "sent",
    words: "TX ring, sent",
    shape: "m1,1l8,4l-8,4zm2,2.6v2.8l2.8,-1.4z",
  },
};

/** How buffers look, in the order of their states. */
export const BUFFER_LOOKS: readonly BufferLook[] = Object.values(BUFFER).map((state) =>
  LOOKS[state]
);

/** Returns the state of each buffer. */
export function buffersOf(scene: Scene): Uint32Array {
  return cellsOf(scene, POOL_SECTION);
}

/** Returns the number of buffers in each state, in the order of {@linkcode BUFFER}. */
export function countBuffers(buffers: Uint32Array): number[] {
  const counts = BUFFER_LOOKS.map(() => 0);
  for (const state of buffers) counts[state]++;
  return counts;
}
