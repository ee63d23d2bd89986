/**
 * Virtqueues of the VirtIO driver, whose device writes anything into used rings, and into all other
 * memory that it shares. The driver reports entries that cannot be with a DeviceError; it never has a
 * buffer twice and loses none, and receives only lengths that fit a buffer. With `racing`, another
 * thread writes while the driver works.
 *
 * @module
 */

import { DeviceError, Mempool } from "../../mod.ts";
import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";
import { VirtioRxQueue } from "../../virtio/rx_queue.ts";
import type { Transport } from "../../virtio/transport.ts";
import { VirtioTxQueue } from "../../virtio/tx_queue.ts";
import { LAYOUT, placeQueues, Virtqueue } from "../../virtio/virtqueue.ts";
import { Program } from "./buffers.ts";
import { Racer } from "./racer.ts";
import type { Random } from "./random.ts";
import { type Fuzzer, operations, type Sequence, type Target } from "./target.ts";

const OPERATIONS = 2000;
const BUFFERS = 256, BUFFER_BYTES = 2048, HEADROOM = 64;
/** Kinds of operations of the device: chains returned; an index; any word; a packet's header. */
const USE = 0, INDEX = 1, GARBLE = 2, HEADER = 3, FLAGS = 4;
/** Kinds of operations of the program. */
const RECEIVE = 5, TRANSMIT = 6, FREE = 7, ALLOCATE = 8, RECLAIM = 9;
/** How the device chooses a chain: as it must; one that it has, out of order; any id. */
const IN_TURN = 0, OTHER = 1;
/** Operations between two counts of all buffers. */
const BETWEEN = 64;

type Setup = {
  readonly entries: number;
  /** Bytes of a header: 10 for a legacy device without merged buffers. */
  readonly header: number;
  /** Descriptors of a chain to receive. */
  readonly perChain: number;
  /** Headroom of the pool's buffers; default: 0. A packet to transmit then takes one descriptor. */
  readonly headroom?: number;
  readonly merges: boolean;
  readonly inOrder: boolean;
  readonly batch: number;
};

function generate(random: Random): Sequence<Setup> {
  const header = random.pick([10, 12]), merges = header === 12 && random.oneIn(2);
  const headroom = random.pick([0, HEADROOM]);
  const setup = {
    entries: random.pick([16, 64, 128]),
    ...{ header, merges },
    headroom,
    perChain: header === 10 && headroom === 0 ? 2 : random.pick([1, 2]),
    inOrder: random.oneIn(3),
    batch: random.pick([1, 8, 32, 256]),
  };
  const list = Array.from({ length: OPERATIONS }, () => {
    const kind = random.oneIn(3) ? RECEIVE + random.below(2) : random.below(10);
    switch (kind) {
      case USE: { // queue, chains, how, length or id
        const how = random.oneIn(4) ? random.below(3) : IN_TURN;
        const length = random.oneIn(6) ? random.edge() : header + 1 + random.below(1500);
        return [USE, random.below(2), random.below(20), how, length];
      }
      case INDEX:
        return [INDEX, random.below(2), random.edge()];
      case GARBLE:
        return [GARBLE, random.below(1 << 13), random.edge()];
      case HEADER:
        return [HEADER, random.below(BUFFERS), random.oneIn(3) ? random.below(0x10000) : 1];
      case FLAGS:
        return [FLAGS, random.below(2), random.below(2)];
      case ALLOCATE:
        return [ALLOCATE, random.below(16), 1 + random.below(BUFFER_BYTES)];
      default:
        return [kind, random.below(40)];
    }
  });
  return { setup, operations: list };
}

/** The device's side of a queue. */
class Device {
  readonly #queue: Virtqueue;
  readonly #outstanding: () => number;
  readonly #mask: number;

  /** @param outstanding Returns the number of chains with the device. */
  constructor(queue: Virtqueue, outstanding: () => number) {
    this.#queue = queue;
    this.#outstanding = outstanding;
    this.#mask = queue.areas.entries - 1;
  }

  /** Returns chains. */
  use(chains: number, how: number, length: number): void {
    const { available, used, usedIndex } = this.#queue, outstanding = this.#outstanding();
    const first = (available[1] - outstanding) & 0xffff;
    let done = (usedIndex[1] - first) & 0xffff;
    if (done > outstanding) done = 0; // an index that cannot be: begin anew
    for (let i = 0; i < chains && done < outstanding; i++, done++) {
      const position = (first + done) & 0xffff,
        entry = LAYOUT.USED_RING + 2 * (position & this.#mask);
      const other = (position + how * (i % 3)) & 0xffff;
      const from = LAYOUT.AVAILABLE_RING + (other & this.#mask);
      used[entry] = how <= OTHER ? available[from] : length;
      used[entry + 1] = length;
    }
    usedIndex[1] = (first + done) & 0xffff;
  }
}

/** A pair of queues, and the device's side of them. */
interface Rig {
  readonly setup: Setup;
  readonly program: Program;
  readonly queues: readonly Virtqueue[];
  readonly rx: VirtioRxQueue;
  readonly tx: VirtioTxQueue;
  readonly rings: DmaMemory;
}

/** Runs a call of the driver, which may report what the device has done. */
function tolerant(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
  }
}

function play(operations: Sequence<Setup>["operations"], rig: Rig): void {
  const { setup, program, queues, rx, tx, rings } = rig, { pool } = program;
  const devices = [new Device(queues[0], () => rx.held), new Device(queues[1], () => tx.pending)];
  const words = new Uint32Array(rings.buffer), headers = new Uint16Array(pool.memory.buffer);
  const maxBytes = pool.maxLength;
  operations.forEach(([kind, a, b = 0, c = 0, d = 0], i) => {
    switch (kind) {
      case USE:
        devices[a].use(b, c, d);
        break;
      case INDEX:
        queues[a].usedIndex[1] = b;
        break;
      case GARBLE:
        words[a] = b;
        break;
      case HEADER:
        // In the headroom, or at the start of the buffer.
        headers[(a * BUFFER_BYTES + Math.max(pool.headroom - setup.header, 0)) / 2 + 5] = b;
        queues[0].headers[(a % queues[0].chains) * 8 % queues[0].headers.length + 5] = b;
        break;
      case FLAGS:
        queues[a].usedIndex[0] = b;
        break;
      case RECEIVE:
        try {
          tolerant(() => rx.receive(program.batch));
        } finally {
          program.take(maxBytes);
        }
        break;
      case TRANSMIT:
        tolerant(() => program.send((batch) => tx.transmit(batch), a));
        break;
      case FREE:
        program.free(a);
        break;
      case ALLOCATE:
        for (let k = 0; k < a; k++) tolerant(() => program.allocate(Math.min(b, maxBytes)));
        break;
      case RECLAIM:
        tolerant(() => tx.reclaim());
    }
    if (i % BETWEEN === 0) program.check();
  });
  program.check();
  rx.close(true);
  tx.close(true);
  program.end();
}

function openQueues(racing: boolean): Fuzzer {
  const [plain, roomy] = [0, HEADROOM].map((headroom) => {
    return new Mempool({ buffers: BUFFERS, bufferSize: BUFFER_BYTES, headroom, memory: "pages" });
  });
  const rings = DmaMemory.allocate(HUGEPAGE, "pages");
  const shared = [{ address: rings.address, bytes: 1 << 16 }, plain.memory, roomy.memory];
  const racer = racing
    ? new Racer(shared.map(({ address, bytes }) => ({ address, bytes })))
    : undefined;
  const programs = new Map<string, Program>();
  const transport = { address: "device", addressing: "iova", notify() {} } as unknown as Transport;

  function run({ setup, operations }: Sequence<Setup>): void {
    const { entries, header, perChain, headroom = 0, merges, inOrder, batch } = setup;
    const pool = headroom === 0 ? plain : roomy, key = `${headroom} ${batch}`;
    const program = programs.get(key) ?? new Program(pool, batch);
    programs.set(key, program);
    program.reset();
    const { offsets, bytes } = placeQueues([entries, entries]);
    new Uint8Array(rings.buffer, 0, bytes).fill(0);
    const queues = offsets.map((offset, i) => {
      const per = i === 0 ? perChain as 1 | 2 : headroom === 0 ? 2 : 1;
      return new Virtqueue(transport, i, entries, per, rings, offset, inOrder);
    });
    const rx = new VirtioRxQueue(queues[0], pool, header, merges, entries);
    const tx = new VirtioTxQueue(queues[1], pool, header, entries);
    rx.start();
    try {
      play(operations, { setup, program, queues, rx, tx, rings });
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
      for (const pool of [plain, roomy]) pool[Symbol.dispose]();
      rings.free();
    },
  });
}

/** The target with a device that acts between calls of the driver. */
export const VIRTQUEUES: Target = {
  name: "virtqueues",
  about: "used rings of a hostile device, legacy and modern",
  attempts: 20,
  open: () => openQueues(false),
};

/** The target with a device that acts at any moment. */
export const VIRTQUEUES_RACING: Target = {
  name: "virtqueues-racing",
  about: "the same, by another thread while the driver works",
  attempts: 20,
  open: () => openQueues(true),
};
