/**
 * A thread that writes into memory of a driver without pause, as a hostile device does.
 *
 * @module
 */

import type { Order } from "./racer_thread.ts";

/** The thread. */
export class Racer {
  readonly #worker: Worker;

  /**
   * Starts it.
   *
   * @param memories Memories, or addresses of memory that stays mapped until it is closed.
   */
  constructor(memories: Order["memories"]) {
    this.#worker = new Worker(new URL("./racer_thread.ts", import.meta.url), { type: "module" });
    this.#worker.postMessage({ memories } satisfies Order);
  }

  /** Ends it. It does not touch the memories afterwards. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.onmessage = resolve);
    this.#worker.postMessage("end");
    await ended;
    this.#worker.terminate();
  }
}
