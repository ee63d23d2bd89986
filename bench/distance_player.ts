/// <reference lib="deno.worker" />
/**
 * A thread of the probe in `distance.ts`: sends a number and waits for it to come back, or echoes
 * it.
 *
 * Loads and stores are plain: with `Atomics`, the probe would measure those.
 *
 * @module
 */

import { type Order, PING, PONG, STOP } from "./distance_line.ts";

/** Numbers sent between reads of the clock. */
const NUMBERS = 64;
/** Loads between reads of the clock while nothing arrives. */
const PATIENCE = 1 << 16;
/** The longest wait for the other thread, in milliseconds. */
const DEADLINE_MS = 500;
/** Bytes of a processor set, for the system call. */
const SET_BYTES = 128;

let words: Int32Array = new Int32Array(0);

/** Puts this thread on a core. */
function pin(core: number): void {
  const libc = Deno.dlopen("libc.so.6", {
    sched_setaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  });
  const set = new Uint8Array(SET_BYTES);
  set[core >> 3] = 1 << (core & 7);
  if (libc.symbols.sched_setaffinity(0, BigInt(SET_BYTES), set) !== 0) {
    throw new Error(`cannot run on core ${core}`);
  }
  libc.close();
}

/** Echoes numbers until told to stop, or until nothing has arrived for too long. */
function echo(line: Int32Array): void {
  let last = line[PONG], heard = performance.now();
  for (;;) {
    for (let i = 0; i < PATIENCE; i++) {
      const number = line[PING];
      if (number === last) continue;
      line[PONG] = last = number;
      heard = 0;
    }
    if (line[STOP] !== 0) return;
    const now = performance.now();
    if (heard === 0) heard = now;
    if (now - heard > DEADLINE_MS) return;
  }
}

/** Sends some numbers one by one; returns whether all came back. */
function send(line: Int32Array): boolean {
  for (let n = 0; n < NUMBERS; n++) {
    const number = line[PING] = (line[PING] + 1) | 0;
    let deadline = Infinity;
    for (let i = 1; line[PONG] !== number; i++) {
      if (i % PATIENCE !== 0) continue;
      // Reads the clock only once a number is late, so as not to measure the clock.
      const now = performance.now();
      if (deadline === Infinity) deadline = now + DEADLINE_MS;
      else if (now > deadline) return false;
    }
  }
  return true;
}

/** Returns the nanoseconds of a round trip in each slice; NaN if a number did not come back. */
function measure(line: Int32Array, slices: number, milliseconds: number): number[] {
  const times: number[] = [];
  for (let slice = 0; slice < slices; slice++) {
    const start = performance.now();
    let now = start, sent = 0, all = true;
    for (; all && now - start < milliseconds; now = performance.now()) {
      all = send(line);
      sent += NUMBERS;
    }
    times.push(all ? (now - start) * 1e6 / sent : NaN);
    if (!all) break;
  }
  line[STOP] = 1;
  return times;
}

self.onmessage = ({ data }: MessageEvent<Order>) => {
  if (data.core !== undefined && data.words !== undefined) {
    words = data.words;
    pin(data.core);
  } else if (data.slices === 0) {
    echo(words);
    self.postMessage([]);
  } else {
    self.postMessage(measure(words, data.slices!, data.milliseconds!));
  }
};
