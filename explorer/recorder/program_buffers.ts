/**
 * What a program does with buffers, whatever the device: it touches the packets of its batch, frees them,
 * and keeps buffers away from the driver.
 *
 * @module
 */

import { PacketBatch } from "../../src/batch.ts";
import { UsageError } from "../../src/errors.ts";
import { BUFFER } from "../recording/layout.ts";
import type { Place } from "../recording/step.ts";
import type { RecorderContext } from "./context.ts";

/** The byte of each packet that the program changes, as `fwd.ts` does. */
const TOUCHED_BYTE = 1;

/** Places in the source of `fwd.ts`, as which the program works. */
export const PROGRAM_PLACES = {
  /** The program touches a byte of a packet. */
  TOUCH: {
    file: "programs/forward.ts",
    text: "bytes[(Math.imul(buffers[i], stride) | TOUCHED_BYTE) >>> 0]++",
  },
  /** The program frees packets that were not sent. */
  FREE: { file: "programs/forward.ts", text: "dropped[0] += batch.free();" },
} as const satisfies Record<string, Place>;

/** The program's batch, and the buffers that it keeps. */
export class ProgramBuffers {
  readonly batch: PacketBatch;
  readonly #context: RecorderContext;
  readonly #kept: number[] = [];

  /** @param most The most packets of the batch. */
  constructor(context: RecorderContext, most: number) {
    this.batch = new PacketBatch(context.pool.mempool, most);
    this.#context = context;
  }

  /** @throws {UsageError} if the batch has packets. */
  checkEmpty(): void {
    if (this.batch.length === 0) return;
    throw new UsageError("the program still has a batch: transmit or free it before it receives");
  }

  /** @throws {UsageError} if the batch has no packets. */
  checkFilled(): void {
    if (this.batch.length > 0) return;
    throw new UsageError("the program has no batch: receive one first");
  }

  /** Touches each packet of the batch. */
  touch(port: number): void {
    const { batch } = this, { journal, pool } = this.#context;
    journal.chapter = "touch";
    for (let i = 0; i < batch.length; i++) {
      const bytes = batch.packet(i), buffer = batch.buffers[i], old = bytes[TOUCHED_BYTE];
      bytes[TOUCHED_BYTE]++;
      journal.add({
        kind: "touch",
        actor: "program",
        port,
        title: `byte ${TOUCHED_BYTE} of buffer ${buffer}: ${old} to ${bytes[TOUCHED_BYTE]}`,
        why:
          "The program changes the packet in the buffer that the device has written: nothing is " +
          "copied.",
        ...pool.about(buffer),
        bytes: bytes.slice(),
        source: PROGRAM_PLACES.TOUCH,
      });
    }
  }

  /**
   * Frees the batch.
   *
   * @throws {UsageError} if it has no packets.
   */
  free(): void {
    const { batch } = this, { journal, pool } = this.#context;
    this.checkFilled();
    journal.chapter = "free";
    const buffers = Array.from(batch.buffers.subarray(0, batch.length));
    batch.free();
    for (const buffer of buffers) {
      const about = pool.about(buffer);
      pool.release(buffer);
      journal.add({
        kind: "free",
        actor: "program",
        port: 0,
        title: `buffer ${buffer} to the pool`,
        why: "The program is done with the packet.",
        ...about,
        source: PROGRAM_PLACES.FREE,
      });
    }
  }

  /** Takes buffers from the pool, or returns them, until so many are free. */
  hoard(left: number): void {
    const { journal, pool } = this.#context, { mempool } = pool, kept = this.#kept;
    const before = mempool.freeCount;
    journal.chapter = "keep buffers";
    while (mempool.freeCount > left) {
      const buffer = mempool.allocate(1);
      kept.push(buffer);
      pool.setOwner(buffer, BUFFER.PROGRAM);
    }
    while (mempool.freeCount < left && kept.length > 0) {
      const buffer = kept.pop()!;
      mempool.free(buffer);
      pool.setOwner(buffer, BUFFER.FREE);
    }
    const taken = before - mempool.freeCount, returns = taken < 0;
    journal.add({
      kind: returns ? "free" : "call",
      actor: "program",
      port: 0,
      title: `${count(Math.abs(taken), "buffer")} ${returns ? "to" : "from"} the pool: ` +
        `${mempool.freeCount} are free`,
      why: returns
        ? "The program returns what it has kept."
        : "A program that keeps packets keeps their buffers. The driver has fewer for new packets.",
    });
  }
}

/** Returns a number of packets, for the step of a call's return. */
export function packets(n: number): string {
  return count(n, "packet");
}

/** Returns a number of things: `1 buffer`, `2 buffers`. */
export function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}
