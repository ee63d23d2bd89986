/**
 * Plays the NIC for a queue in a rehearsal, on the queue's own ring. See `programs/rehearsal.ts`.
 *
 * @module
 */

import type { Understudy } from "../src/device.ts";
import { RX_DD, RX_EOP, RX_RXE, TX_DD } from "./descriptors.ts";

/** Bytes of each packet that seems to arrive. */
const PACKET = 60;
/** One packet in so many is damaged, the first one included: the slow path belongs to the rehearsal. */
const DAMAGED = 4096;

/** The arrays of a queue, which get their content back afterwards: first its ring, then its slots. */
type Arrays = readonly (Uint32Array | Int32Array | Float64Array)[];

/**
 * Plays the NIC for a receive queue.
 *
 * @param tail What the queue writes to RDT.
 * @param end Called when it is disposed.
 */
export function receiveUnderstudy(
  arrays: Arrays,
  tail: Uint32Array,
  end: () => void,
): Understudy {
  const [ring, slots] = arrays, last = slots.length - 1;
  let head = 0, count = 0;
  tail[0] = last; // all descriptors but one, as after the start
  const play = (packets: number) => {
    for (; packets > 0 && head !== tail[0]; packets--) {
      ring[head << 2 | 1] = 0;
      ring[head << 2 | 3] = PACKET;
      ring[head << 2 | 2] = count++ % DAMAGED === 0 ? RX_DD | RX_EOP | RX_RXE : RX_DD | RX_EOP;
      head = (head + 1) & last;
    }
  };
  return understudy(arrays, play, end);
}

/**
 * Plays the NIC for a transmit queue.
 *
 * @param tail Returns how many packets the queue was given.
 * @param end Called when it is disposed.
 */
export function transmitUnderstudy(
  arrays: Arrays,
  tail: () => number,
  end: () => void,
): Understudy {
  const [ring, slots] = arrays;
  let head = 0;
  const play = (packets: number) => {
    for (; packets > 0 && head < tail(); packets--) {
      ring[(head++ & slots.length - 1) << 2 | 3] = TX_DD;
    }
  };
  return understudy(arrays, play, end);
}

function understudy(arrays: Arrays, play: Understudy["play"], end: () => void): Understudy {
  const before = arrays.map((array) => array.slice());
  return {
    play,
    [Symbol.dispose]() {
      arrays.forEach((array, i) => array.set(before[i]));
      end();
    },
  };
}
