/**
 * The program that uses the devices: it opens, receives, touches, transmits and closes, one action at a
 * time. It keeps at most one batch.
 *
 * @module
 */

import { ixgbe, type IxgbeDevice } from "../../../ixgbe/device.ts";
import * as R from "../../../ixgbe/registers.ts";
import { PacketBatch } from "../../../src/batch.ts";
import { UsageError } from "../../../src/errors.ts";
import type { Mempool } from "../../../src/mempool.ts";
import { Waiter } from "../../../src/waiter.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { BUFFER } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import type { PoolCells } from "../cells.ts";
import type { Journal } from "../journal.ts";
import { CALLS, PLACES } from "./places.ts";
import { held } from "./port.ts";
import type { PortRecorder } from "./port_recorder.ts";

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
  readonly #batch: PacketBatch;
  /** Buffers that the program keeps. */
  readonly #hoard: number[] = [];

  constructor(parts: ProgramParts) {
    this.#parts = parts;
    this.#batch = new PacketBatch(parts.mempool, parts.experiment.batch);
  }

  /** Opens all devices, and waits for their links. */
  async open(): Promise<void> {
    const { experiment, mempool } = this.#parts;
    const { queues, entries, promiscuous, interrupts } = experiment;
    for (const [number, port] of this.#parts.ports.entries()) {
      if (port.device) throw new UsageError("the devices are open: close them first");
      port.working = true;
      port.device = await this.#call(number, "open(…)", CALLS.OPEN, async () => {
        const options = { promiscuous, interrupts, pool: mempool };
        const rings = {
          rxQueues: queues,
          txQueues: queues,
          rxEntries: entries,
          txEntries: entries,
        };
        return await ixgbe.attach(port.card, { ...options, ...rings }) as IxgbeDevice;
      }, (device) => device.model);
      await this.#call(number, "waitForLink()", CALLS.LINK, () => {
        return port.device!.waitForLink(LINK_MS);
      }, ({ up, megabits }) => up ? `${megabits / 1000} Gbit/s` : "no link");
      port.working = false;
      port.registers.lookAtAll();
      if (!experiment.dropEnable) this.#keepFrames(number);
    }
  }

  /** Has frames without descriptor wait in the packet buffer; the driver has them dropped. */
  #keepFrames(number: number): void {
    const why =
      "This experiment keeps frames that find no descriptor in the packet buffer. The driver has " +
      "them dropped, so that a full queue does not block the others.";
    this.#setRegisters(number, why, (device) => {
      for (let queue = 0; queue < this.#parts.experiment.queues; queue++) {
        device.registers.clear(R.SRRCTL, R.SRRCTL.DROP_EN, queue);
      }
    });
  }

  /** Changes registers as a program can, through `device.registers`. */
  #setRegisters(number: number, why: string, change: (device: IxgbeDevice) => void): void {
    const device = this.#device(number), port = this.#parts.ports[number];
    this.#parts.journal.chapter = "registers";
    port.reason = why;
    try {
      change(device);
    } finally {
      port.reason = undefined;
    }
  }

  /** Has the device accept frames of a length with CRC. */
  accept(number: number, bytes: number): void {
    const why =
      "The driver limits frames to the size of a buffer. This experiment accepts longer ones.";
    this.#setRegisters(number, why, ({ registers }) => {
      registers.update(R.MAXFRS, R.MAXFRS.MFS, bytes << 16);
    });
  }

  /** Has the device wait so long between two messages of a queue's vector. */
  throttle(number: number, queue: number, microseconds: number): void {
    const why = "EITR is the least time between two messages of a vector, in units of 2 µs.";
    this.#setRegisters(number, why, ({ registers }) => {
      registers.update(R.EITR, R.EITR.ITR_INTERVAL, Math.ceil(microseconds / 2) << 3, queue);
    });
  }

  /** Receives a batch and keeps it; returns the number of packets. */
  receive(number: number, queue: number): number {
    const batch = this.#batch, port = this.#parts.ports[number];
    if (batch.length > 0) {
      throw new UsageError("the program still has a batch: transmit or free it before it receives");
    }
    this.#device(number);
    const name = `rxQueues[${queue}].receive(batch)`;
    return this.#called(number, name, CALLS.RECEIVE, () => port.receive(queue, batch), packets);
  }

  /** Touches each packet of the batch, transmits it, and frees what is left. */
  transmit(number: number, queue: number): void {
    const batch = this.#batch, port = this.#parts.ports[number];
    this.#device(number);
    if (batch.length === 0) throw new UsageError("the program has no batch: receive one first");
    this.#touch(number);
    const name = `txQueues[${queue}].transmit(batch)`;
    this.#called(number, name, CALLS.TRANSMIT, () => port.transmit(queue, batch), packets);
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
    this.#called(number, name, CALLS.RECLAIM, () => port.reclaim(queue), text);
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
    this.#called(number, "statistics()", CALLS.STATISTICS, () => {
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
    this.#called(number, "wait(…)", CALLS.WAIT, () => {
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
      this.#called(number, "close()", CALLS.CLOSE, () => {
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

  /** Records a call of a function of the driver, and its return. */
  #called<T>(
    port: number,
    name: string,
    source: Place,
    act: () => T,
    result: (value: T) => string = () => "",
  ): T {
    const outer = this.#begin(port, name, source);
    const value = act();
    this.#end(port, name, source, result(value), outer);
    return value;
  }

  /** As {@linkcode Program.#called}, for a function that returns a promise. */
  async #call<T>(
    port: number,
    name: string,
    source: Place,
    act: () => Promise<T>,
    result: (value: T) => string,
  ): Promise<T> {
    const outer = this.#begin(port, name, source);
    const value = await act();
    this.#end(port, name, source, result(value), outer);
    return value;
  }

  /** Returns the chapter of the caller. */
  #begin(port: number, name: string, source: Place): string {
    const { journal } = this.#parts, outer = journal.chapter;
    journal.chapter = chapterOfCall(name);
    journal.add({ kind: "call", actor: "program", port, title: name, source });
    return outer;
  }

  #end(port: number, name: string, source: Place, result: string, outer: string): void {
    const { journal } = this.#parts, title = `${name.replace(/\(.*/, "")} returns`;
    journal.chapter = chapterOfCall(name);
    const entry = { kind: "return", actor: "driver", port, source } as const;
    journal.add({ ...entry, title: result ? `${title}: ${result}` : title });
    journal.chapter = outer;
  }
}

/** The chapter of a call: the function's name, `receive()`. */
function chapterOfCall(name: string): string {
  return `${/(\w+)\(/.exec(name)![1]}()`;
}

function packets(n: number): string {
  return count(n, "packet");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
