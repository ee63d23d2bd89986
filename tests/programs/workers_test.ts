/** Workers: how they start, fail and end, and that no thread is left. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ifReadable, list, readText } from "../../native/files.ts";
import { WorkerError } from "../../src/errors.ts";
import { Workers } from "../../programs/workers.ts";
import { until } from "../support/processes.ts";
import type { Conduct } from "../support/failing_worker.ts";
import type { Preparation, Words } from "../support/preparing_worker.ts";

const MODULE = new URL("../support/failing_worker.ts", import.meta.url);

function threads(): string[] {
  return list("/proc/self/task").filter((thread) => {
    const name = ifReadable(() => readText(`/proc/self/task/${thread}/comm`));
    return name?.startsWith("worker"); // undefined: it has ended meanwhile
  });
}

/** Waits for the threads of earlier tests, which may still be ending. */
async function noThreads(): Promise<void> {
  await until("the threads of earlier tests to end", () => threads().length === 0);
}

function start(...conducts: Conduct[]): Workers {
  return new Workers(MODULE, conducts);
}

/** Waits until `checkAlive` throws, and returns the failure. */
async function failureOf(workers: Workers): Promise<WorkerError> {
  const failures: unknown[] = [];
  await until("a worker's failure", () => {
    try {
      workers.checkAlive();
    } catch (error) {
      failures.push(error);
    }
    return failures.length > 0;
  });
  if (!(failures[0] instanceof WorkerError)) throw failures[0];
  return failures[0];
}

Deno.test("Workers work until they are disposed; then their threads have ended", async () => {
  await noThreads();
  {
    await using workers = start("good", "good");
    await workers.started();
    workers.checkAlive();
    assertEquals(threads().length, 2);
  }
  assertEquals(threads().length, 0);
});

/** Starts a worker that prepares at once, and one that prepares until the gate is 1. */
function prepare(): Words & { workers: Workers } {
  const word = () => new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const words: Words = { gate: word(), prepared: word(), started: word(), early: word() };
  const tasks = [false, true].map((waits): Preparation => ({ ...words, of: 2, waits }));
  const module = new URL("../support/preparing_worker.ts", import.meta.url);
  return { ...words, workers: new Workers(module, tasks) };
}

Deno.test("Workers.started() starts workers once all are prepared, and returns once all have started", async () => {
  const { workers, gate, prepared, started, early } = prepare();
  await using _ = workers;
  let returned = false;
  const all = workers.started().then(() => returned = true);
  await until("the first worker to be prepared", () => Atomics.load(prepared, 0) === 1);
  assertEquals([Atomics.load(started, 0), returned], [0, false]);
  Atomics.store(gate, 0, 1);
  await all;
  assertEquals([Atomics.load(started, 0), Atomics.load(early, 0)], [2, 0]);
});

Deno.test("Workers ends workers that wait for others, without starting them", async () => {
  const { workers, prepared, started } = prepare();
  {
    await using _ = workers;
    await until("the first worker to be prepared", () => Atomics.load(prepared, 0) === 1);
  }
  // The other worker may have been loading its modules.
  await until("the threads to end", () => threads().length === 0);
  assertEquals(Atomics.load(started, 0), 0);
});

Deno.test("Workers.started() throws what a worker throws at once", async () => {
  await noThreads();
  {
    await using workers = start("good", "throws");
    const error = await failureOf(workers);
    assertEquals(error.message, "worker 1 failed: this worker will not work");
    assert(error.cause instanceof Error, "the cause is the error thrown");
    await assertRejects(() => workers.started(), WorkerError, "this worker will not work");
  }
  // Disposal does not wait for the other worker if that has no task yet.
  await until("the threads to end", () => threads().length === 0);
});

Deno.test("Workers.checkAlive() throws what a worker throws at work", async () => {
  await using workers = start("fails later", "good");
  await workers.started().catch(() => {}); // it may have failed already
  assertEquals((await failureOf(workers)).message, "worker 0 failed: this worker works no more");
});

Deno.test("Workers.checkAlive() throws all errors of a worker that fails and then fails to clean up", async () => {
  await using workers = start("fails twice");
  const { message, cause } = await failureOf(workers);
  assertEquals(message, "worker 0 failed: this worker fails; it does not even end well");
  assert(Array.isArray(cause) && cause.every((error) => error instanceof Error));
});

Deno.test("Workers.checkAlive() throws if a worker's module cannot be loaded", async () => {
  await using workers = new Workers(new URL("data:text/javascript,import 'nothing:at-all'"), [1]);
  const { message } = await failureOf(workers);
  assertMatch(message, /^worker 0 failed: .*"nothing:at-all".*$/);
});

Deno.test("Workers.checkAlive() throws if a worker's module does not exist", async () => {
  await using workers = new Workers(new URL("nothing.ts", import.meta.url), [1]);
  const { message } = await failureOf(workers);
  assertMatch(message, /^worker 0 failed: \S/);
});

Deno.test("Workers waits at disposal for a worker that is slow to stop", async () => {
  await noThreads();
  {
    await using workers = start("is slow", "good");
    await workers.started();
  }
  assertEquals(threads().length, 0);
});

Deno.test("Workers throws at disposal if a worker does not stop in time", async () => {
  await noThreads();
  const workers = new Workers(MODULE, ["is slow"], 100);
  await workers.started();
  await assertRejects(
    () => workers[Symbol.asyncDispose](),
    WorkerError,
    "did not stop within 100 ms",
  );
  await until("the thread to go", () => threads().length === 0);
});

/** A worker that never finishes to load. */
const ENDLESS = new URL("data:text/javascript,await new Promise((done) => setTimeout(done, 1e6))");

Deno.test("Workers does not wait at disposal for a worker that loads its modules", async () => {
  const workers = new Workers(ENDLESS, [1, 2], 1e6);
  await workers[Symbol.asyncDispose]();
});

Deno.test("Workers.started() returns when a signal arrives", async () => {
  await using workers = new Workers(ENDLESS, [1]);
  await workers.started({ signal: 15 });
});
