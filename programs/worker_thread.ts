/**
 * The worker's side of {@linkcode Workers}: takes one task, works until told to stop, and ends.
 *
 * @module
 */

import { linkName } from "../native/files.ts";
import { causes } from "../src/errors.ts";

/** What the main thread sends, once. */
export interface Assignment<Task> {
  /** The task. */
  readonly task: Task;
  /** A 32-bit word that becomes 1 when the worker has to end. */
  readonly stop: SharedArrayBuffer;
}

/** A message of a worker: it has loaded its modules, has its task, or has released everything. */
export interface WorkerReport {
  /** The kernel's id of its thread; undefined before it has its task. */
  readonly thread?: string;
  /** Whether it has released everything that belongs to the task. */
  readonly ended: boolean;
  /** Why it ended, if it was not told to: the error thrown, and those that followed. */
  readonly failures?: readonly unknown[];
}

/** The worker's global scope, as the standard defines it. */
interface Scope {
  onmessage: (event: MessageEvent) => void;
  postMessage(message: WorkerReport): void;
  close(): void;
}

/** The main thread's request to end, in the form of a `StopFlag`. */
class Stop {
  readonly #word: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory);
  }

  /** Not 0 once the worker has to end. */
  get signal(): number {
    return Atomics.load(this.#word, 0);
  }
}

/**
 * Runs this worker's task.
 *
 * @param work Runs the task until the signal is not 0. When it returns or throws, it must not hold
 * views of foreign memory, because the main thread unmaps that memory next.
 */
export function serve<Task>(
  work: (task: Task, stop: { readonly signal: number }) => void | Promise<void>,
): void {
  const scope = self as unknown as Scope;
  scope.onmessage = async ({ data }: MessageEvent<Assignment<Task>>) => {
    const thread = linkName("/proc/thread-self") ?? "";
    scope.postMessage({ thread, ended: false });
    try {
      await work(data.task, new Stop(data.stop));
      scope.postMessage({ thread, ended: true });
    } catch (error) {
      // Each on its own, because structured cloning drops errors nested in others. Other values as
      // text, because some cannot be cloned.
      const failures = causes(error).map((cause) => cause instanceof Error ? cause : String(cause));
      scope.postMessage({ thread, ended: true, failures });
    }
    scope.close();
  };
  scope.postMessage({ ended: false });
}
