/**
 * The worker's side of {@linkcode Workers}: takes one task, prepares for it, works once all workers have
 * prepared, until told to stop, and ends.
 *
 * @module
 */

import { linkName } from "../native/files.ts";
import { causes } from "../src/errors.ts";

/** What the main thread orders. */
export const PREPARE = 0, WORK = 1, STOP = 2;

/** What the main thread sends, once. */
export interface Assignment<Task> {
  /** The task. */
  readonly task: Task;
  /** A 32-bit word with the order to all workers: `PREPARE`, then `WORK`, then `STOP`. */
  readonly order: SharedArrayBuffer;
}

/**
 * How far a worker is: it has loaded its modules, has its task, is ready to work, works, or has released
 * everything that belongs to the task.
 */
export type Stage = "loaded" | "preparing" | "prepared" | "working" | "ended";

/** A message of a worker. */
export interface WorkerReport {
  /** The kernel's id of its thread; undefined before it has its task. */
  readonly thread?: string;
  readonly stage: Stage;
  /** Why it ended, if it was not told to: the error thrown, and those that followed. */
  readonly failures?: readonly unknown[];
}

/** The worker's global scope, as the standard defines it. */
interface Scope {
  onmessage: (event: MessageEvent) => void;
  postMessage(message: WorkerReport): void;
  close(): void;
}

/** The main thread's orders to a worker. */
export class Orders {
  readonly #word: Int32Array;
  readonly #report: (stage: Stage) => void;

  /** @param report Tells the main thread how far this worker is. */
  constructor(memory: SharedArrayBuffer, report: (stage: Stage) => void) {
    this.#word = new Int32Array(memory);
    this.#report = report;
  }

  /** As of a `StopFlag`: not 0 once the worker has to end. */
  get signal(): number {
    return Atomics.load(this.#word, 0) === STOP ? STOP : 0;
  }

  /**
   * Blocks until all workers have prepared, which the main thread awaits with a deadline. Then starts.
   *
   * @param start What no worker may do before.
   * @returns Whether it has started; false if the worker has to end.
   */
  begin(start: () => void): boolean {
    this.#report("prepared");
    Atomics.wait(this.#word, 0, PREPARE);
    if (this.signal !== 0) return false;
    start();
    this.#report("working");
    return true;
  }
}

/**
 * Runs this worker's task.
 *
 * @param work Prepares, calls {@linkcode Orders.prototype.begin}, and runs the task until the signal is not
 * 0. When it returns or throws, it must not hold views of foreign memory, because the main thread unmaps that
 * memory next.
 */
export function serve<Task>(
  work: (task: Task, orders: Orders) => void | Promise<void>,
): void {
  const scope = self as unknown as Scope;
  scope.onmessage = async ({ data }: MessageEvent<Assignment<Task>>) => {
    const thread = linkName("/proc/thread-self") ?? "";
    const report = (stage: Stage) => scope.postMessage({ thread, stage });
    report("preparing");
    try {
      await work(data.task, new Orders(data.order, report));
      report("ended");
    } catch (error) {
      // Each on its own, because structured cloning drops errors nested in others. Other values as
      // text, because some cannot be cloned.
      const failures = causes(error).map((cause) => cause instanceof Error ? cause : String(cause));
      scope.postMessage({ thread, stage: "ended", failures });
    }
    scope.close();
  };
  scope.postMessage({ stage: "loaded" });
}
