/**
 * A worker's side of {@linkcode Workers}: takes one task, works until it is told to stop, and ends.
 *
 * @module
 */

import { linkName } from "../native/files.ts";
import { causes } from "../src/errors.ts";

/** What the main thread sends, once. */
export interface Assignment<Task> {
  /** What to do. */
  readonly task: Task;
  /** A 32-bit word that becomes 1 when the worker is to end. */
  readonly stop: SharedArrayBuffer;
}

/** What a worker sends: that it has its task, that it has let go of everything, or both. */
export interface WorkerReport {
  /** Number of its thread, for the kernel. */
  readonly thread: string;
  /** Whether it has let go of all that belongs to the task. */
  readonly ended: boolean;
  /** Why it has ended, if it was not told to: what was thrown, and what that has brought besides. */
  readonly failures?: readonly unknown[];
}

/** What a worker knows of itself, in the words of the standard. */
interface Scope {
  onmessage: (event: MessageEvent) => void;
  postMessage(message: WorkerReport): void;
  close(): void;
}

/** The main thread's wish that the worker end, as programs look at it. */
class Stop {
  readonly #word: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory);
  }

  /** Not 0 once it is time to end. */
  get signal(): number {
    return Atomics.load(this.#word, 0);
  }
}

/**
 * Has this worker do its task.
 *
 * @param work Does it, until the signal is not 0. When it returns or throws, it no longer has any view of
 * memory that is not its own: the main thread unmaps that next.
 */
export function serve<Task>(work: (task: Task, stop: { readonly signal: number }) => void): void {
  const scope = self as unknown as Scope;
  scope.onmessage = ({ data }: MessageEvent<Assignment<Task>>) => {
    const thread = linkName("/proc/thread-self") ?? "";
    scope.postMessage({ thread, ended: false });
    try {
      work(data.task, new Stop(data.stop));
      scope.postMessage({ thread, ended: true });
    } catch (error) {
      // One by one, since errors that others are part of arrive without them; and as text what is no
      // error, which may not be sent.
      const failures = causes(error).map((cause) => cause instanceof Error ? cause : String(cause));
      scope.postMessage({ thread, ended: true, failures });
    }
    scope.close();
  };
}
