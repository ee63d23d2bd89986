/**
 * Rehearses forwarding before the devices have any descriptor, so that it is fast from the first packet on.
 *
 * V8 compiles a function for what it has seen it do. Without a rehearsal, it would first compile a forwarder
 * that has only polled empty rings, discard that at the first packet, and compile it again, several times,
 * while packets wait.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Mempool } from "../src/mempool.ts";
import { type BothWays, type Direction, forwardAll, TOUCHED_BYTE } from "./forward.ts";

/** How long to rehearse, in milliseconds. Between slices, V8's compiler can run, also on the same core. */
const REHEARSAL_MS = 120, SLICE_MS = 4;
/** Packets each way between two looks at the clock. */
const PACKETS = 256;

/**
 * Forwards packets that nobody sent: in full batches, in smaller ones, and with a full transmit ring. No
 * register is accessed, and queues, pools and counts are afterwards what they were. Does nothing if a queue cannot
 * rehearse.
 *
 * @throws {StopError} if a StopFlag has caught a signal.
 */
export async function rehearse(ways: readonly BothWays[]): Promise<void> {
  using stage = new DisposableStack();
  const directions = ways.flatMap(({ there, back }) => [there, back]);
  for (const pool of new Set(directions.map(({ from }) => from.pool))) keep(pool, stage);
  const played: NonNullable<ReturnType<Direction["rehearse"]>>[] = [];
  for (const direction of directions) {
    const rehearsal = direction.rehearse();
    if (rehearsal === undefined) return;
    played.push(stage.use(rehearsal));
  }
  const rounds = Math.ceil(PACKETS / directions[0].turn);
  const forward = (packets: number) => {
    for (const { rx } of played) rx.play(packets);
    forwardAll(ways, rounds);
  };
  const end = performance.now() + REHEARSAL_MS;
  do {
    const until = performance.now() + SLICE_MS;
    for (let i = 0; performance.now() < until; i++) {
      forward(i % 8 === 0 ? 1 : PACKETS);
      // The device is not always ahead: reclaiming finds nothing, or a full ring.
      if (i % 32 >= 8) { for (const { tx } of played) tx.play(Infinity); }
    }
    await delay(0);
  } while (performance.now() < end);
}

/** Restores a pool when the stage is disposed. */
function keep(pool: Mempool, stage: DisposableStack): void {
  const { bytes, stride, numbers, freeStack, freeCount, lengths } = pool;
  const [stack, sizes] = [freeStack.slice(), lengths.slice()];
  const touched = Uint8Array.from(
    { length: numbers },
    (_, b) => bytes[b * stride + TOUCHED_BYTE],
  );
  stage.defer(() => {
    freeStack.set(stack);
    lengths.set(sizes);
    pool.freeCount = freeCount;
    touched.forEach((byte, b) => bytes[b * stride + TOUCHED_BYTE] = byte);
  });
}
