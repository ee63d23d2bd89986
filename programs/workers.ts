/**
 * Threads of a program, seen from the main thread: each gets one task and works until it is told to stop.
 * What they do is no matter here; `worker_thread.ts` is their side.
 *
 * The main thread gives up memory that workers have views of only when their threads are gone, for which
 * it asks the kernel: `terminate()` does not end a worker that is in a loop.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { list } from "../native/files.ts";
import type { StopFlag } from "../native/stop.ts";
import type { Device } from "../src/device.ts";
import { UsageError, WorkerError } from "../src/errors.ts";
import type { Report } from "./report.ts";
import { Watch } from "./watch.ts";
import type { Assignment, WorkerReport } from "./worker_thread.ts";

/** Deadlines in milliseconds: for a worker's modules to load, for it to stop, and for its thread to go. */
const START_MS = 20000, STOP_MS = 5000, GONE_MS = 10000;
/** How often to look at threads, and at all else, in milliseconds. */
const LOOK_MS = 2, TICK_MS = 20;

/**
 * Asserts that workers can load modules. Those that Deno loads from a URL they can load too; but local
 * ones, which the main thread loads by itself, only with permission to read them.
 *
 * @param directory Where all modules are.
 * @throws {UsageError} if that permission is missing.
 */
export function requireModules(directory: URL): void {
  if (directory.protocol !== "file:") return;
  if (Deno.permissions.querySync({ name: "read", path: directory }).state === "granted") return;
  const path = decodeURIComponent(directory.pathname);
  throw new UsageError(
    `--workers needs permission to read the modules that its threads run: run it with ` +
      `\`deno run --allow-ffi --allow-read='${path}'\``,
  );
}

/** One worker, and what is known of it. */
interface Member {
  readonly worker: Worker;
  /** Its thread; undefined until it has its task. */
  thread?: string;
  /** Whether it says that it has let go of everything. */
  ended: boolean;
  failure?: WorkerError;
}

/** Workers with a task each. Disposing stops them and waits until their threads are gone. */
export class Workers implements AsyncDisposable {
  readonly #stop = new SharedArrayBuffer(4);
  readonly #members: readonly Member[];
  readonly #milliseconds: number;

  /**
   * Starts a worker for each task.
   *
   * @param module The workers' module, which calls {@linkcode serve}.
   * @param tasks What to send them.
   * @param milliseconds How long they may take to stop.
   */
  constructor(module: URL, tasks: readonly unknown[], milliseconds = STOP_MS) {
    this.#milliseconds = milliseconds;
    this.#members = tasks.map((task, number) => {
      const worker = new Worker(module.href, { type: "module", name: `${number}` });
      const member: Member = { worker, ended: false };
      worker.onmessage = ({ data }: MessageEvent<WorkerReport>) => {
        member.thread = data.thread;
        member.ended = data.ended;
        if (data.failures) member.failure = failed(number, data.failures);
      };
      worker.onerror = (event) => {
        event.preventDefault(); // else it ends the process, devices open
        const [sentence] = event.message.split("\n"); // Deno has printed all of it, and where that was
        member.failure ??= failed(number, [sentence]);
      };
      const assignment: Assignment<unknown> = { task, stop: this.#stop };
      worker.postMessage(assignment);
      return member;
    });
  }

  /**
   * Waits until all have their task.
   *
   * @throws {WorkerError} if one cannot be started, or not in time.
   */
  async started(): Promise<void> {
    const all = await until(START_MS, () => {
      this.checkAlive();
      return this.#members.every(({ thread }) => thread !== undefined);
    });
    if (!all) throw new WorkerError(`workers did not start within ${START_MS / 1000} s`);
  }

  /**
   * Looks whether all are at work.
   *
   * @throws {WorkerError} if one is not.
   */
  checkAlive(): void {
    for (const { failure } of this.#members) if (failure) throw failure;
  }

  /**
   * Tells all to stop and waits for their threads to go.
   *
   * @throws {WorkerError} if one goes on. There is no way to end it but with the process; devices that are
   * closed then turn their DMA off first, but the thread finds its memory unmapped.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(new Int32Array(this.#stop), 0, 1);
    const done = ({ ended, thread, failure }: Member) => {
      return ended || (thread === undefined && failure !== undefined);
    };
    const stopped = await until(this.#milliseconds, () => this.#members.every(done));
    const gone = stopped && await until(GONE_MS, () => {
      const threads = list("/proc/self/task");
      return this.#members.every(({ thread = "" }) => !threads.includes(thread));
    });
    for (const { worker } of this.#members) worker.terminate();
    if (!gone) throw new WorkerError(`a worker did not stop within ${this.#milliseconds} ms`);
  }
}

/**
 * What the main thread does while workers work: looks at them, at devices, at signals and at the clock,
 * and prints a line a second.
 *
 * @param seconds How long at most, by the report's clock.
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
  }
}

/** The error for a worker that has thrown something, and what that has brought besides. */
function failed(number: number, thrown: readonly unknown[]): WorkerError {
  const messages = thrown.map((cause) => cause instanceof Error ? cause.message : `${cause}`);
  const cause = thrown.length === 1 ? thrown[0] : thrown;
  return new WorkerError(`worker ${number} failed: ${messages.join("; ")}`, { cause });
}

/** Waits until something is so; returns whether it is in time. */
async function until(milliseconds: number, condition: () => boolean): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() >= deadline) return false;
    await delay(LOOK_MS);
  }
  return true;
}
