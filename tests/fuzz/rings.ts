/**
 * Rings of the ixgbe driver, whose device writes anything into its descriptors at any time. The
 * driver never has a buffer twice and loses none, receives only lengths that fit a buffer, and writes
 * only tails inside the ring. With `racing`, another thread writes while the driver works.
 *
 * @module
 */

import { RX_DD, RX_EOP, RX_RXE, TX_DD, WORDS } from "../../ixgbe/descriptors.ts";
import { IxgbeRxQueue } from "../../ixgbe/rx_queue.ts";
import { IxgbeTxQueue } from "../../ixgbe/tx_queue.ts";
import { Mempool } from "../../mod.ts";
import { Program } from "./buffers.ts";
import { Racer } from "./racer.ts";
import type { Random } from "./random.ts";
import { type Fuzzer, holds, operations, type Sequence, type Target } from "./target.ts";

/** A case compiles functions of its own: `src/specialise.ts`. */
const OPERATIONS = 5000;
const BUFFERS = 512, MAX_ENTRIES = 128;
/** Kinds of operations of the device: any word; the next packets; all that is to be sent. */
const GARBLE = 0, FILL = 1, SENT = 2;
/** Kinds of operations of the program. */
const RECEIVE = 3, TRANSMIT = 4, FREE = 5, ALLOCATE = 6, RECLAIM = 7;
/** Operations between two counts of all buffers. */
const BETWEEN = 256;

type Setup = { readonly entries: number; readonly batch: number; readonly rss: boolean };

function generate(random: Random): Sequence<Setup> {
  const entries = random.pick([64, MAX_ENTRIES]);
  const list = Array.from({ length: OPERATIONS }, () => {
    const kind = random.oneIn(3) ? RECEIVE + random.below(2) : random.below(8);
    switch (kind) {
      case GARBLE: // ring, descriptor, word, value
        return [GARBLE, random.below(2), random.below(entries), random.below(4), random.edge()];
      case FILL: { // packets, length, status
        const status = random.oneIn(3) ? random.word() : RX_DD | RX_EOP;
        const length = random.oneIn(4) ? random.edge() : 60 + random.below(1500);
        return [FILL, random.below(40), length, random.oneIn(12) ? RX_RXE >>> 0 : status >>> 0];
      }
      case ALLOCATE:
        return [ALLOCATE, random.below(32), 1 + random.below(2048)];
      default:
        return [kind, random.below(70)];
    }
  });
  const batch = random.pick([1, 2, 8, 31, 32, 64, 256]);
  return { setup: { entries, batch, rss: random.oneIn(2) }, operations: list };
}

function openRings(racing: boolean): Fuzzer {
  const pool = new Mempool({ buffers: BUFFERS, memory: "pages" });
  const bytes = MAX_ENTRIES * WORDS * 4;
  const shared = [new SharedArrayBuffer(bytes), new SharedArrayBuffer(bytes)];
  const racer = racing ? new Racer(shared) : undefined;
  const programs = new Map<number, Program>();

  function run({ setup: { entries, batch, rss }, operations }: Sequence<Setup>): void {
    const program = programs.get(batch) ?? new Program(pool, batch);
    programs.set(batch, program);
    program.reset();
    const [rxRing, txRing] = shared.map((memory) =>
      new Uint32Array(memory as unknown as ArrayBuffer, 0, entries * WORDS)
    );
    rxRing.fill(0);
    txRing.fill(0);
    const doorbell = () => ({
      words: new Uint32Array(1),
      index: 0,
      write: (tail: number) => holds(tail < entries, `the tail ${tail} is written`),
    });
    const rx = new IxgbeRxQueue(0, pool, "iova", rxRing, doorbell(), rss);
    const tx = new IxgbeTxQueue(0, pool, "iova", txRing, doorbell());
    rx.start();
    try {
      play(operations, { program, entries, rxRing, txRing, rx, tx, recovers: !racing });
    } finally {
      pool.removeReclaimer(tx); // a case that fails leaves nothing behind
    }
  }

  return operations({
    generate,
    run,
    tries: racing ? 20 : 1,
    async close() {
      await racer?.close();
      pool[Symbol.dispose]();
    },
  });
}

/** A pair of queues, and the device's side of them. */
interface Rig {
  readonly program: Program;
  readonly entries: number;
  readonly rxRing: Uint32Array;
  readonly txRing: Uint32Array;
  readonly rx: IxgbeRxQueue;
  readonly tx: IxgbeTxQueue;
  /** Whether no other thread writes. */
  readonly recovers: boolean;
}

/** Checks that a device that behaves again gets its packets through. */
function checkRecovery({ program, entries, rxRing, rx, tx }: Rig): void {
  program.free(Infinity);
  tx.reclaim();
  for (let i = 0; i < entries; i++) {
    rxRing[i * WORDS + 3] = 60;
    rxRing[i * WORDS + 2] = RX_DD | RX_EOP;
  }
  for (let i = 0; i < 2; i++) { // the first call may end a long frame
    if (rx.receive(program.batch) > 0) return program.take();
  }
  throw new Error("the queue receives nothing any more");
}

/** Carries out the operations, and counts all buffers at the end. */
function play(operations: Sequence<Setup>["operations"], rig: Rig): void {
  const { program, entries, rxRing, txRing, rx, tx } = rig;
  let next = 0;
  operations.forEach(([kind, a, b = 0, c = 0, d = 0], i) => {
    switch (kind) {
      case GARBLE:
        (a ? txRing : rxRing)[(b % entries) * WORDS + c] = d;
        break;
      case FILL:
        for (let k = 0; k < a; k++) {
          rxRing[next * WORDS + 3] = b;
          rxRing[next * WORDS + 2] = c;
          next = (next + 1) % entries;
        }
        break;
      case SENT:
        for (let k = 0; k < a; k++) txRing[(k % entries) * WORDS + 3] |= TX_DD;
        break;
      case RECEIVE:
        rx.receive(program.batch);
        program.take();
        break;
      case TRANSMIT:
        program.send(tx.transmit, a);
        break;
      case FREE:
        program.free(a);
        break;
      case ALLOCATE:
        for (let k = 0; k < a; k++) program.allocate(b);
        break;
      case RECLAIM:
        tx.reclaim();
    }
    if (i % BETWEEN === 0) program.check();
  });
  program.check();
  if (rig.recovers) checkRecovery(rig);
  rx.close();
  tx.close();
  program.end();
}

/** The target with a device that acts between calls of the driver. */
export const RINGS: Target = {
  name: "rings",
  about: "write-backs of a hostile device into the ixgbe driver's rings",
  attempts: 10,
  open: () => openRings(false),
};

/** The target with a device that acts at any moment. */
export const RINGS_RACING: Target = {
  name: "rings-racing",
  about: "the same, by another thread while the driver works",
  attempts: 10,
  open: () => openRings(true),
};
