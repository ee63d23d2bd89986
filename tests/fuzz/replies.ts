/**
 * Replies and requests of a hostile server to the driver: of vfio-user to the ixgbe driver, and of a
 * vhost-user back-end to the VirtIO driver. Any call reports a fault with one sentence, of the device
 * or the user; closing works, and leaves neither files open nor buffers twice in the pool.
 *
 * @module
 */

import { Mempool, open, PacketBatch } from "../../mod.ts";
import { causes, DeviceError, SystemError, UsageError } from "../../src/errors.ts";
import { checkFiles, openFiles } from "./files.ts";
import type { Random } from "./random.ts";
import { CHANGE, type Change, type Start } from "./hostile_thread.ts";
import { type Fuzzer, holds, operations, type Sequence, type Target } from "./target.ts";

const BUFFERS = 256, ENTRIES = 64;
/** Messages of a server until a device is open, about. */
const MESSAGES = { "vfio-user": 400, "vhost-user": 40 } as const;

type Setup = { readonly pairs: number; readonly interrupts: boolean };

/** The server, in a thread of its own. */
class Hostile {
  readonly #worker: Worker;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  #done = Promise.resolve();

  constructor(protocol: Start["protocol"], path: string) {
    this.#worker = new Worker(new URL("./hostile_thread.ts", import.meta.url), { type: "module" });
    this.#worker.postMessage({ protocol, path, stop: this.#stop } satisfies Start);
  }

  /** Serves the next driver. */
  async begin(changes: readonly Change[]): Promise<void> {
    Atomics.store(this.#stop, 0, 0);
    const ready = this.#next();
    this.#worker.postMessage(changes);
    await ready;
    this.#done = this.#next(); // it may end at any time
    this.#done.catch(() => {}); // `end` throws it
  }

  /** Waits until it has ended. */
  async end(): Promise<void> {
    Atomics.store(this.#stop, 0, 1);
    await this.#done;
  }

  #next(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = () => resolve();
      this.#worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(`the server has failed: ${event.message}`));
      };
    });
  }

  close(): void {
    this.#worker.terminate();
  }
}

function generator(protocol: Start["protocol"]) {
  return (random: Random): Sequence<Setup> => {
    const number = () => random.below(random.oneIn(2) ? 16 : MESSAGES[protocol]);
    const list = Array.from({ length: 1 + random.below(3) }, () => {
      return [number(), random.below(Object.keys(CHANGE).length), random.below(64), random.edge()];
    });
    return { setup: { pairs: 1 + random.below(3), interrupts: random.oneIn(3) }, operations: list };
  };
}

/** Runs a call that may report a fault; returns what it returns, or undefined. */
async function reporting<T>(call: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    for (const cause of causes(error)) {
      const known = [DeviceError, SystemError, UsageError].some((kind) => cause instanceof kind);
      if (!known) throw error;
      holds(!(cause as Error).message.includes("\n"), `one sentence: ${(cause as Error).message}`);
    }
    return undefined;
  }
}

async function drive(address: string, pool: Mempool, { pairs, interrupts }: Setup): Promise<void> {
  const device = await reporting(() =>
    open(address, {
      ...{ pool, rxQueues: pairs, txQueues: pairs, rxEntries: ENTRIES, txEntries: ENTRIES },
      ...(address.startsWith("vfio-user") && { interrupts }),
    })
  );
  if (device === undefined) return;
  const batch = new PacketBatch(pool, 4);
  for (let round = 0; round < 4; round++) {
    batch.add(new Uint8Array(60));
    await reporting(() => device.txQueues[0].transmit(batch));
    batch.free();
    await reporting(() => device.rxQueues[0].receive(batch));
    batch.free();
    await reporting(() => device.checkAlive());
    await reporting(() => device.statistics());
  }
  await reporting(() => device.close());
  await reporting(() => device.close());
}

function openServer(protocol: Start["protocol"]): Fuzzer {
  const directory = Deno.makeTempDirSync({ prefix: "ixy-fuzz-" });
  const path = `${directory}/server.sock`, address = `${protocol}:${path}`;
  const hostile = new Hostile(protocol, path);
  let first = true;

  async function run({ setup, operations }: Sequence<Setup>): Promise<number> {
    if (first) { // starts the thread, and what it opens once
      await hostile.begin([]);
      await hostile.end();
      first = false;
    }
    const before = openFiles();
    await hostile.begin(operations);
    const pool = new Mempool({ buffers: BUFFERS, memory: "pages" });
    try {
      await drive(address, pool, setup);
      const free = pool.freeStack.subarray(0, pool.freeCount);
      holds(new Set(free).size === free.length, "no buffer is free twice");
    } finally {
      await hostile.end();
    }
    pool[Symbol.dispose]();
    checkFiles(before);
    return 1;
  }

  return operations({
    generate: generator(protocol),
    run,
    close() {
      hostile.close();
      Deno.removeSync(directory, { recursive: true });
    },
  });
}

/** The target for vfio-user. */
export const VFIO_USER_REPLIES: Target = {
  name: "vfio-user-replies",
  about: "replies of a hostile vfio-user server to the driver",
  attempts: 20,
  open: () => openServer("vfio-user"),
};

/** The target for vhost-user. */
export const VHOST_USER_REPLIES: Target = {
  name: "vhost-user-replies",
  about: "replies of a hostile vhost-user back-end to the driver",
  attempts: 20,
  open: () => openServer("vhost-user"),
};
