/**
 * The thread of `racer.ts`.
 *
 * @module
 */

import { Random } from "./random.ts";

/** What the thread is told. */
export interface Order {
  /** Memories, or where they are in this process. */
  readonly memories: readonly (SharedArrayBuffer | { address: bigint; bytes: number })[];
}

/** Writes between turns of the event loop, where the thread can be ended. */
const TURN_WRITES = 1 << 16;
let ended = false;
/** Words that mean something in descriptors and used rings. */
const LIKELY = [0, 1, 2, 3, 60, 72, 0x20000003, 2048, 2049, 0xffff, 0x10000];

/** Writes forever. */
function race(arrays: readonly Uint32Array[]): void {
  const random = new Random(performance.now());
  const turn = () => {
    for (let i = 0; i < TURN_WRITES; i++) {
      const array = arrays[i % arrays.length], at = random.below(array.length);
      const choice = random.below(8);
      if (choice === 0) array[at] = random.word();
      else if (choice === 1) array[at] = array[at] + 1;
      else array[at] = LIKELY[random.below(LIKELY.length)];
    }
    if (!ended) setTimeout(turn);
  };
  turn();
}

const scope = self as unknown as {
  onmessage: (message: MessageEvent<Order | "end">) => void;
  postMessage(message: unknown): void;
};
scope.onmessage = ({ data }: MessageEvent<Order | "end">) => {
  if (data === "end") {
    ended = true;
    return scope.postMessage("ended");
  }
  race(data.memories.map((memory) => {
    if (memory instanceof SharedArrayBuffer) return new Uint32Array(memory);
    const { address, bytes } = memory, pointer = Deno.UnsafePointer.create(address);
    return new Uint32Array(Deno.UnsafePointerView.getArrayBuffer(pointer!, bytes));
  }));
};
