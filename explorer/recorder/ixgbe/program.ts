/**
 * The program that uses the devices: it opens, receives, touches, transmits and closes, one action at a
 * time. It keeps at most one batch.
 *
 * @module
 */

import { ixgbe, type IxgbeDevice } from "../../../ixgbe/device.ts";
import { PacketBatch } from "../../../src/batch.ts";
import { UsageError } from "../../../src/errors.ts";
import type { Mempool } from "../../../src/mempool.ts";
import { Waiter } from "../../../src/waiter.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { BUFFER } from "../../recording/layout.ts";
import type { PoolCells } from "../cells.ts";
import type { Journal } from "../journal.ts";
import { Calls } from "./calls.ts";
import { CALLS, PLACES } from "./places.ts";
import { held } from "./port.ts";
import type { PortRecorder } from "./port_recorder.ts";
import { acceptFrames, keepFrames, throttle } from "./settings.ts";

/** The byte of each packet that the program changes, as `fwd.ts` does. */
const TOUCHED_BYTE = 1;
/** How long the program waits for the link, in milliseconds. */
const LINK_MS = 5000;

/** What the program works with. */
export interface ProgramParts {
  readonly experiment: Experiment;
  readonly journal: Journal;
  readonly mempool: Mempool;
  readonly pool: PoolCells;
  readonly ports: readonly PortRecorder[];
}

/** The program. */
export class Program {
  readonly #parts: ProgramParts;
  readonly #calls: Calls;
  readonly #batch: PacketBatch;
  /** Buffers that the program keeps. */
  readonly #hoard: number[] = [];

  constructor(parts: ProgramParts) {
    this.#parts = parts;
    this.#calls = new Calls(parts.journal);
    this.#batch = new PacketBatch(parts.mempool, parts.experiment.batch);
  }

  /** Opens all devices, and waits for their links. */
  async open(): Promise<void> {
    const { experiment, mempool } = this.#parts;
    const { queues, entries, promiscuous, interrupts } = experiment;
    for (const [number, port] of this.#parts.ports.entries()) {
      if (port.device) throw new UsageError("the devices are open: close them first");
      port.working = true;
      port.device = await this.#calls.wait(number, "open(…)", CALLS.OPEN, async () => {
        const options = { promiscuous, interrupts, pool: mempool };
        const rings = {
          rxQueues: queues,
          txQueues: queues,
          rxEntries: entries,
          txEntries: entries,
        };
        return await ixgbe.attach(port.card, { ...options, ...rings }) as IxgbeDevice;
      }, (device) => device.model);
      await this.#calls.wait(number, "waitForLink()", CALLS.LINK, () => {
        return port.device!.waitForLink(LINK_MS);
      }, ({ up, megabits }) => up ? `${megabits / 1000} Gbit/s` : "no link");
      port.working = false;
      port.registers.lookAtAll();
      if (!experiment.dropEnable) keepFrames(this.#parts.journal, port, port.device, queues);
    }
  }

  /** Has the device accept frames of a length with CRC. */
  accept(number: number, bytes: number): void {
    acceptFrames(this.#parts.journal, this.#parts.ports[number], this.#device(number), bytes);
  }

  /** Has the device wait so long between two messages of a queue's vector. */
  throttle(number: number, queue: number, microseconds: number): void {
    const setting = [queue, microseconds] as const;
    throttle(this.#parts.journal, this.#parts.ports[number], this.#device(number), setting);
  }

  /** Receives a batch and keeps it; returns the number of packets. */
  receive(number: number, queue: number): number {
    const batch = this.#batch, port = this.#parts.ports[number];
    if (batch.length > 0) {
      throw new UsageError("the program still has a batch: transmit or free it before it receives");
    }
    this.#device(number);
    const name = `rxQueues[${queue}].receive(batch)`;
    return this.#calls.run(number, name, CALLS.RECEIVE, () => port.receive(queue, batch), packets);
  }

  /** Touches each packet of the batch, transmits it, and frees what is left. */
  transmit(number: number, queue: number): void {
    const batch = this.#batch, port = this.#parts.ports[number];
    this.#device(number);
    if (batch.length === 0) throw new UsageError("the program has no batch: receive one first");
    this.#touch(number);
    const name = `txQueues[${queue}].transmit(batch)`;
    this.#calls.run(number, name, CALLS.TRANSMIT, () => port.transmit(queue, batch), packets);
    if (batch.length > 0) this.free();
  }

  #touch(port: number): void {
    const { journal, pool, mempool } = this.#parts, batch = this.#batch;
    journal.chapter = "touch";
    for (let i = 0; i < batch.length; i++) {
      const bytes = batch.packet(i), buffer = batch.buffers[i], old = bytes[TOUCHED_BYTE];
      bytes[TOUCHED_BYTE]++;
      journal.add({
        kind: "touch",
        actor: "program",
        port,
        title: `byte ${TOUCHED_BYTE} of buffer ${buffer}: ${old} to ${bytes[TOUCHED_BYTE]}`,
        why: "The program works on the packet where the device wrote it: it is never copied.",
        ...held(pool, buffer),
        bytes: mempool.packet(buffer).slice(),
        source: PLACES.TOUCH,
      });
    }
  }

  /** Frees the batch. */
  free(): void {
    const { journal, pool } = this.#parts, batch = this.#batch;
    if (batch.length === 0) throw new UsageError("the program has no batch: receive one first");
    journal.chapter = "free";
    const buffers = Array.from(batch.buffers.subarray(0, batch.length));
    batch.free();
    for (const buffer of buffers) {
      const about = held(pool, buffer);
      pool.setOwner(buffer, BUFFER.FREE);
      pool.setFrame(buffer, 0);
      journal.add({
        kind: "free",
        actor: "program",
        port: 0,
        title: `buffer ${buffer} to the pool`,
        why: "The program is done with the packet.",
        ...about,
        source: PLACES.FREE,
      });
    }
  }

  /** Returns the buffers of sent packets to the pool. */
  reclaim(number: number, queue: number): void {
    const port = this.#parts.ports[number];
    this.#device(number);
    const name = `txQueues[${queue}].reclaim()`, text = (n: number) => count(n, "buffer");
    this.#calls.run(number, name, CALLS.RECLAIM, () => port.reclaim(queue), text);
  }

  /** Receives, touches and transmits, from a port to the other one, on all queues. */
  forward(number: number): void {
    const { ports, experiment } = this.#parts;
    if (ports.length < 2) throw new UsageError("to forward needs two ports: set `ports` to 2");
    for (let queue = 0; queue < experiment.queues; queue++) {
      if (this.receive(number, queue) > 0) this.transmit(1 - number, queue);
    }
  }

  /** Takes buffers from the pool, or returns them, until so many are free. */
  hoard(left: number): void {
    const { journal, mempool, pool } = this.#parts, hoard = this.#hoard;
    const before = mempool.freeCount;
    journal.chapter = "hoard";
    while (mempool.freeCount > left) {
      const buffer = mempool.allocate(1);
      hoard.push(buffer);
      pool.setOwner(buffer, BUFFER.PROGRAM);
    }
    while (mempool.freeCount < left && hoard.length > 0) {
      const buffer = hoard.pop()!;
      mempool.free(buffer);
      pool.setOwner(buffer, BUFFER.FREE);
    }
    const moved = before - mempool.freeCount;
    journal.add({
      kind: moved < 0 ? "free" : "call",
      actor: "program",
      port: 0,
      title: moved < 0
        ? `${-moved} buffers to the pool: ${mempool.freeCount} are free`
        : `${moved} buffers from the pool: ${mempool.freeCount} are free`,
      why: moved < 0
        ? "The program returns what it has kept."
        : "A program that keeps packets keeps their buffers. The driver has fewer for new packets.",
    });
  }

  /** Reads the statistics. */
  statistics(number: number): void {
    const device = this.#device(number);
    this.#calls.run(number, "statistics()", CALLS.STATISTICS, () => {
      return device.statistics();
    }, ({ rxPackets, txPackets, rxMissed, rxErrors }) => {
      return `${rxPackets} received, ${txPackets} sent, ${rxMissed} missed, ${rxErrors} errors`;
    });
  }

  /**
   * Arms the interrupt of a queue and waits for it, as `fwd.ts --interrupts` does. If there is a packet or
   * an interrupt, the program receives.
   */
  interrupt(number: number, queue: number): void {
    const device = this.#device(number), port = this.#parts.ports[number];
    if (!this.#parts.experiment.interrupts) {
      throw new UsageError("the devices have no interrupts: set `interrupts` of the experiment");
    }
    const waiter = new Waiter([device.rxQueues[queue]]);
    this.#calls.run(number, "wait(…)", CALLS.WAIT, () => {
      // While the program sleeps the device works. Then the look at the eventfd needs no wait.
      const woken = waiter.wait(() => {
        if (this.receive(number, queue) > 0) return true;
        port.round();
        return false;
      }, 0);
      if (woken && this.#batch.length === 0) this.receive(number, queue);
      return woken;
    }, (woken) => woken ? "woken" : "the time is over");
  }

  /** Closes all devices. */
  close(): void {
    if (this.#batch.length > 0) this.free();
    for (const [number, port] of this.#parts.ports.entries()) {
      const device = port.device;
      if (!device) continue;
      port.working = true;
      this.#calls.run(number, "close()", CALLS.CLOSE, () => {
        device.close();
        port.closed();
        port.registers.lookAtAll();
      });
      port.working = false;
      port.device = undefined;
    }
  }

  /** The devices are not open, or an open device. */
  #device(number: number): IxgbeDevice {
    const device = this.#parts.ports[number].device;
    if (device) return device;
    throw new UsageError("the devices are closed: open them first");
  }
}

function packets(n: number): string {
  return count(n, "packet");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
