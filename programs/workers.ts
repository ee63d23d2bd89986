/**
 * Threads of a program, from the main thread's side: each gets one task and prepares for it; once all have,
 * they work until told to stop. `worker_thread.ts` is the threads' side.
 *
 * The main thread frees memory that workers have views of only after the kernel lists their threads
 * no longer: `terminate()` does not end a worker that is in a loop.
 *
 * @module
 */

import { delay, waitUntil } from "../native/clock.ts";
import { list } from "../native/files.ts";
import type { StopFlag } from "../native/stop.ts";
import type { Device } from "../src/device.ts";
import { UsageError, WorkerError } from "../src/errors.ts";
import type { Report } from "./report.ts";
import { Watch } from "./watch.ts";
import { type Assignment, type Stage, STOP, WORK, type WorkerReport } from "./worker_thread.ts";

/**
 * Deadlines for a worker to reach its next stage, to stop, and for its thread to end, in milliseconds.
 */
const START_MS = 20000, STOP_MS = 5000, GONE_MS = 10000;
/** Milliseconds between checks of threads, and of all else. */
const LOOK_MS = 2, TICK_MS = 20;

/**
 * Asserts that workers can load modules, remote ones always, local ones only with permission to
 * read them, which the main thread does not need; and that `/proc` shows when their threads have ended.
 *
 * @param directory The directory of all modules.
 * @throws {UsageError} if that permission or `/proc` is missing.
 */
export function requireWorkers(directory: URL): void {
  if (list("/proc/self/task").length === 0) {
    throw new UsageError("--workers needs /proc, which lists the threads of a process: mount it");
  }
  if (directory.protocol !== "file:") return;
  if (Deno.permissions.querySync({ name: "read", path: directory }).state === "granted") return;
  const path = decodeURIComponent(directory.pathname);
  throw new UsageError(
    `--workers needs permission to read the modules of its threads: run it with ` +
      `\`deno run --allow-ffi --allow-read='${path}'\``,
  );
}

/** A worker and its state. */
interface Member {
  readonly worker: Worker;
  /** Whether its task was sent; before that it has no views of memory of other threads. */
  assigned: boolean;
  /** The id of its thread; undefined until it has its task. */
  thread?: string;
  /** How far it says it is; undefined until it has loaded its modules. */
  stage?: Stage;
  failure?: WorkerError;
}

/** Workers with one task each. Disposing stops them and waits until their threads have ended. */
export class Workers implements AsyncDisposable {
  readonly #order = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  readonly #members: readonly Member[];
  readonly #milliseconds: number;

  /**
   * Starts a worker for each task.
   *
   * @param module The workers' module, which calls {@linkcode serve}.
   * @param tasks A task for each worker.
   * @param milliseconds Deadline for the workers to stop.
   */
  constructor(module: URL, tasks: readonly unknown[], milliseconds = STOP_MS) {
    this.#milliseconds = milliseconds;
    this.#members = tasks.map((task, number) => {
      const worker = new Worker(module.href, { type: "module", name: `${number}` });
      const member: Member = { worker, assigned: false };
      worker.onmessage = ({ data }: MessageEvent<WorkerReport>) => {
        member.stage = data.stage;
        if (data.stage === "loaded") {
          const assignment: Assignment<unknown> = { task, order: this.#order };
          worker.postMessage(assignment);
          member.assigned = true;
          return;
        }
        if (data.thread !== undefined) member.thread = data.thread;
        if (data.failures) member.failure = failed(number, data.failures);
      };
      worker.onerror = (event) => {
        event.preventDefault(); // otherwise the process ends with its devices open
        const [sentence] = event.message.split("\n"); // Deno has printed the rest
        member.failure ??= failed(number, [sentence]);
      };
      return member;
    });
  }

  /**
   * Waits until all workers have prepared, lets them start, and waits until all have; or until a signal
   * arrives.
   *
   * @param stop Whether a signal has arrived (default: none does).
   * @throws {WorkerError} if a worker cannot start, or does not start in time.
   */
  async started(stop?: Pick<StopFlag, "signal">): Promise<void> {
    await this.#reach("prepared", stop);
    if (stop !== undefined && stop.signal !== 0) return;
    this.#give(WORK);
    await this.#reach("working", stop);
  }

  async #reach(wanted: Stage, stop?: Pick<StopFlag, "signal">): Promise<void> {
    const all = await waitUntil(START_MS, () => {
      this.checkAlive();
      if (stop !== undefined && stop.signal !== 0) return true;
      const early = this.#members.findIndex(({ stage }) => stage === "ended");
      if (early >= 0) throw new WorkerError(`worker ${early} has ended before it started`);
      return this.#members.every(({ stage }) => stage === wanted);
    }, LOOK_MS);
    if (!all) throw new WorkerError(`workers did not start within ${START_MS / 1000} s`);
  }

  /** Gives an order, also to those that wait for it. */
  #give(order: typeof WORK | typeof STOP): void {
    const word = new Int32Array(this.#order);
    Atomics.store(word, 0, order);
    Atomics.notify(word, 0);
  }

  /**
   * Checks that all workers are at work.
   *
   * @throws {WorkerError} if one has failed.
   */
  checkAlive(): void {
    for (const { failure } of this.#members) if (failure) throw failure;
  }

  /**
   * Stops all workers and waits until their threads have ended.
   *
   * @throws {WorkerError} if one does not stop. Only the end of the process can end it; closing a
   * device until then turns DMA off first, but unmaps memory that the thread still uses.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#give(STOP);
    // Do not wait for a worker without a task: on a busy machine it may load its modules for long.
    for (const { worker } of this.#members.filter(({ assigned }) => !assigned)) {
      worker.onmessage = null;
      worker.terminate();
    }
    const done = ({ assigned, stage, thread, failure }: Member) => {
      return !assigned || stage === "ended" || (thread === undefined && failure !== undefined);
    };
    const allDone = () => this.#members.every(done);
    const stopped = await waitUntil(this.#milliseconds, allDone, LOOK_MS);
    const gone = stopped && await waitUntil(GONE_MS, () => {
      const threads = list("/proc/self/task");
      return this.#members.every(({ thread = "" }) => !threads.includes(thread));
    }, LOOK_MS);
    for (const { worker } of this.#members) worker.terminate();
    if (!gone) throw new WorkerError(`a worker did not stop within ${this.#milliseconds} ms`);
  }
}

/**
 * The main thread's loop while workers work: checks workers, devices, signals and the clock, and
 * prints a line a second.
 *
 * @param seconds The longest time to run, by the report's clock.
 * @throws {WorkerError} if a worker has failed.
 * @throws {DeviceError} if a device is gone.
 */
export async function supervise(
  workers: Workers,
  devices: readonly Device[],
  report: Report,
  stop: StopFlag,
  seconds: number,
): Promise<void> {
  const watch = new Watch(devices, report, seconds);
  while (stop.signal === 0) {
    await delay(TICK_MS);
    workers.checkAlive();
    if (watch.look() >= watch.end) return;
    if (watch.isLinkDown) await watch.bringLinksUp();
  }
}

/** Returns the error for a worker that failed, with all errors that it met. */
function failed(number: number, thrown: readonly unknown[]): WorkerError {
  const messages = thrown.map((cause) => cause instanceof Error ? cause.message : `${cause}`);
  const cause = thrown.length === 1 ? thrown[0] : thrown;
  return new WorkerError(`worker ${number} failed: ${messages.join("; ")}`, { cause });
}
