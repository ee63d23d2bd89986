/**
 * The recorder of VirtIO devices: runs the driver, the devices and a program in this thread, and adds
 * a step for what each of them does.
 *
 * @module
 */

import { PacketBatch } from "../../../src/batch.ts";
import { UsageError } from "../../../src/errors.ts";
import { Mempool } from "../../../src/mempool.ts";
import type { Action, Experiment } from "../../recording/experiment.ts";
import { BUFFER, Layout } from "../../recording/layout.ts";
import type { Begin } from "../../recording/messages.ts";
import type { Place, Step } from "../../recording/step.ts";
import { PoolCells } from "../cells.ts";
import { buildFrame } from "../frames.ts";
import { Journal } from "../journal.ts";
import type { Recorder } from "../recorder.ts";
import { breakRule } from "./broken.ts";
import { macOf, Port, STATISTICS } from "./port.ts";
import { Scribe } from "./scribe.ts";

/** Bytes of a long frame, and of one over several buffers. */
const LONG = 1600, JUMBO = 6000;
/** The byte of a packet that the program changes: the last one of the destination's address. */
const TOUCHED = 5;

/** Source of the driver's functions that the program calls. */
export const CALLS = {
  open: { file: "virtio/device.ts", text: "export async function openVirtio(" },
  receive: { file: "virtio/rx_queue.ts", text: "receive(batch: PacketBatch): number {" },
  transmit: { file: "virtio/tx_queue.ts", text: "transmit(batch: PacketBatch): number {" },
  reclaim: { file: "virtio/tx_queue.ts", text: "reclaim(): number {" },
  statistics: { file: "virtio/device.ts", text: "statistics(): Statistics {" },
  close: { file: "virtio/device.ts", text: "close(): void {" },
  free: { file: "src/batch.ts", text: "free(): void {" },
  allocate: { file: "src/mempool.ts", text: "allocate(length: number): number {" },
} as const satisfies Record<string, Place>;

/** Records an experiment with VirtIO devices. */
export class VirtioRecorder implements Recorder {
  readonly begin: Begin;
  readonly #experiment: Experiment;
  readonly #journal: Journal;
  readonly #scribe: Scribe;
  readonly #pool: Mempool;
  readonly #ports: readonly Port[];
  readonly #batch: PacketBatch;
  /** Buffers that the program keeps from the pool. */
  readonly #hoard: number[] = [];
  #frames = 0;

  /** Creates devices that were reset, and a pool. */
  constructor(experiment: Experiment, emit: (step: Step) => void) {
    const { buffers, bufferSize, batch } = experiment;
    const layout = new Layout(), numbers = Array.from({ length: experiment.ports }, (_, i) => i);
    PoolCells.addTo(layout, buffers);
    for (const number of numbers) Port.addTo(layout, number, experiment);
    this.#experiment = experiment;
    this.#journal = new Journal(layout, emit);
    this.#pool = new Mempool({ buffers, bufferSize, memory: "pages" });
    this.#batch = new PacketBatch(this.#pool, batch);
    this.#scribe = new Scribe(this.#journal, this.#pool, new PoolCells(this.#journal));
    this.#ports = numbers.map((number) => {
      return new Port(this.#scribe, number, experiment, () => this.#follow());
    });
    this.begin = {
      type: "begin",
      sections: layout.sections,
      state: this.#journal.begin(),
      statistics: STATISTICS,
      device: "VirtIO",
      ports: this.#ports.map(({ net }) => net.address),
    };
  }

  async act(action: Action): Promise<void> {
    try {
      await this.#act(action);
    } finally {
      this.#journal.flush();
    }
  }

  async #act(action: Action): Promise<void> {
    switch (action.do) {
      case "open":
        return await this.#open();
      case "frame":
        for (let i = 0; i < (action.times ?? 1); i++) this.#send(action);
        return;
      case "round":
        this.#journal.chapter = `the device of port ${action.port}`;
        return this.#ports[action.port].round();
      case "receive":
        return this.#receive(action.port, action.queue ?? 0);
      case "transmit":
        return this.#transmit(action.port, action.queue ?? 0);
      case "free":
        return this.#free();
      case "reclaim":
        return this.#reclaim(action.port, action.queue ?? 0);
      case "forward":
        return this.#forward(action.port);
      case "hoard":
        return this.#keep(action.buffers);
      case "statistics":
        return this.#statistics(action.port);
      case "break":
        this.#journal.chapter = "a broken rule";
        this.#driver(action.port);
        return breakRule(this.#scribe, this.#ports[action.port], action.rule);
      case "close":
        return this.#close();
      case "interrupt":
        throw new UsageError(
          "the VirtIO driver has no interrupts: it polls. Choose an 82599, X540 or X550 for them",
        );
      case "sleep": // nothing in the driver or the device depends on time
    }
  }

  #driver(port: number) {
    const { driver, broken } = this.#ports[port];
    if (broken) {
      throw new UsageError(
        `the driver of port ${port} has broken a rule: close the devices, and open them again`,
      );
    }
    if (driver) return driver;
    throw new UsageError(`port ${port} is not open: begin with the action "open"`);
  }

  /** Adds the steps that drivers have made in memory. */
  #follow(): void {
    for (const port of this.#ports) port.followTx();
    for (const port of this.#ports) port.followRx();
  }

  /** The program calls a function. */
  #call<T>(
    port: number,
    what: string,
    source: Place,
    call: () => T,
    returned: (result: T) => string,
  ): T {
    this.#journal.chapter = `${what.replace(/\(.*/, "")} on port ${port}`;
    this.#scribe.add({ kind: "call", actor: "program", port, title: what, source });
    const result = call();
    this.#follow();
    this.#ports[port].count();
    this.#scribe.add({ kind: "return", actor: "program", port, title: returned(result), source });
    return result;
  }

  async #open(): Promise<void> {
    for (const { number, driver } of this.#ports) {
      if (driver) throw new UsageError(`port ${number} is open already: close it first`);
    }
    for (const port of this.#ports) {
      const { number } = port;
      this.#journal.chapter = "open";
      const source = CALLS.open, title = `open("${port.net.address}")`;
      this.#scribe.add({ kind: "call", actor: "program", port: number, title, source });
      const { model } = await port.open();
      this.#scribe.add({
        kind: "return",
        actor: "program",
        port: number,
        title: `open returns a device: ${model}`,
        source,
      });
    }
  }

  #send({ port, frame, flow }: Extract<Action, { do: "frame" }>): void {
    const number = ++this.#frames;
    const bytes = buildFrame(frame, {
      station: macOf(port),
      flow: flow ?? number - 1 & 0xffff,
      long: LONG,
      jumbo: JUMBO,
    });
    this.#ports[port].put({ number, bytes });
  }

  #receive(port: number, queue: number): void {
    const rxQueue = this.#driver(port).rxQueues[queue], steps = this.#ports[port].rx[queue];
    if (this.#batch.length > 0) {
      throw new UsageError(
        `the program still has ${this.#batch.length} packets: let it transmit or free them first`,
      );
    }
    this.#call(port, `rxQueues[${queue}].receive(batch)`, CALLS.receive, () => {
      if (!steps.arrived) steps.lookInVain();
      return rxQueue.receive(this.#batch);
    }, (n) => `receive returns ${n}`);
  }

  #transmit(port: number, queue: number): void {
    const txQueue = this.#driver(port).txQueues[queue], steps = this.#ports[port].tx[queue];
    this.#journal.chapter = "the program";
    for (let i = 0; i < this.#batch.length; i++) this.#touch(port, i);
    this.#call(port, `txQueues[${queue}].transmit(batch)`, CALLS.transmit, () => {
      if (steps.reclaims && !steps.done) steps.lookInVain();
      return txQueue.transmit(this.#batch);
    }, (n) => `transmit returns ${n}`);
    if (this.#batch.length > 0) this.#free();
  }

  #touch(port: number, index: number): void {
    const packet = this.#batch.packet(index), buffer = this.#batch.buffers[index];
    packet[TOUCHED]++;
    this.#scribe.add({
      kind: "touch",
      actor: "program",
      port,
      title: `buffer ${buffer}: byte ${TOUCHED} = ${packet[TOUCHED]}`,
      why: "A program that forwards packets looks at them or changes them: here one byte.",
      bytes: packet.slice(),
      ...this.#scribe.about(buffer),
    });
  }

  #free(): void {
    const { buffers, length } = this.#batch;
    this.#journal.chapter = "the program";
    if (length === 0) {
      throw new UsageError("the program has no packets to free: receive some first");
    }
    for (let i = 0; i < length; i++) this.#toPool(buffers[i], "the program drops the packet");
    this.#batch.free();
  }

  /** Adds the step of a buffer that the program frees. */
  #toPool(buffer: number, why: string): void {
    const about = this.#scribe.about(buffer);
    this.#scribe.cells.setOwner(buffer, BUFFER.FREE);
    this.#scribe.cells.setFrame(buffer, 0);
    this.#scribe.add({
      kind: "free",
      actor: "program",
      port: 0,
      title: `buffer ${buffer} is free`,
      why: `A buffer returns to the pool: ${why}.`,
      source: CALLS.free,
      ...about,
    });
  }

  #reclaim(port: number, queue: number): void {
    const txQueue = this.#driver(port).txQueues[queue], steps = this.#ports[port].tx[queue];
    this.#call(port, `txQueues[${queue}].reclaim()`, CALLS.reclaim, () => {
      if (!steps.done) steps.lookInVain();
      return txQueue.reclaim();
    }, (n) => `reclaim returns ${n}`);
  }

  #forward(from: number): void {
    const { ports, queues } = this.#experiment;
    if (ports < 2) throw new UsageError("one port cannot forward: set `ports` to 2");
    for (let queue = 0; queue < queues; queue++) {
      this.#receive(from, queue);
      if (this.#batch.length > 0) this.#transmit(1 - from, queue);
    }
  }

  /** The program takes buffers until so many are left, or returns those that are too many. */
  #keep(left: number): void {
    const pool = this.#pool;
    this.#journal.chapter = "the program";
    while (pool.freeCount < left && this.#hoard.length > 0) {
      const buffer = this.#hoard.pop()!;
      pool.free(buffer);
      this.#toPool(buffer, "the program no longer keeps it");
    }
    while (pool.freeCount > left) {
      const buffer = pool.allocate(1);
      this.#hoard.push(buffer);
      this.#scribe.cells.setOwner(buffer, BUFFER.PROGRAM);
      this.#scribe.add({
        kind: "call",
        actor: "program",
        port: 0,
        title: `the program takes buffer ${buffer}`,
        why: "A program that keeps buffers leaves fewer for the receive queues.",
        source: CALLS.allocate,
        buffer,
      });
    }
  }

  #statistics(port: number): void {
    const driver = this.#driver(port);
    this.#call(port, "statistics()", CALLS.statistics, () => driver.statistics(), (counts) => {
      const { rxPackets, txPackets, rxTooLong, rxNoBuffer } = counts;
      return `${rxPackets} packets received, ${txPackets} sent, ${rxTooLong} too long, ` +
        `${rxNoBuffer} without buffer`;
    });
  }

  #close(): void {
    if (this.#batch.length > 0) this.#free();
    for (const port of this.#ports) {
      const { number, driver } = port;
      if (driver === undefined) continue;
      const source = CALLS.close;
      this.#journal.chapter = "close";
      this.#scribe.add({ kind: "call", actor: "program", port: number, title: "close()", source });
      port.close();
      const title = "close returns: all buffers are in the pool";
      this.#scribe.add({ kind: "return", actor: "program", port: number, title, source });
    }
  }

  /** Drops devices and pool. */
  [Symbol.dispose](): void {
    for (const port of this.#ports) port.close();
    this.#pool[Symbol.dispose]();
  }
}
