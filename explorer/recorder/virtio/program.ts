/**
 * The program that uses the devices: it opens, receives, touches, transmits and closes, one action at a
 * time. It keeps at most one batch.
 *
 * @module
 */

import { PacketBatch } from "../../../src/batch.ts";
import { UsageError } from "../../../src/errors.ts";
import type { VirtioDevice } from "../../../virtio/device.ts";
import { BUFFER } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import { CALLS, PROGRAM } from "./places.ts";
import type { Port } from "./port.ts";
import type { Scribe } from "./scribe.ts";

/** The byte of each packet that the program changes, as `fwd.ts` does. */
const TOUCHED = 1;

/** The program. */
export class Program {
  readonly #scribe: Scribe;
  readonly #ports: readonly Port[];
  readonly #queues: number;
  readonly #batch: PacketBatch;
  /** Buffers that the program keeps. */
  readonly #hoard: number[] = [];

  /**
   * Creates a program that uses some ports.
   *
   * @param queues Queues of each kind.
   * @param batch Most packets of its batch.
   */
  constructor(scribe: Scribe, ports: readonly Port[], queues: number, batch: number) {
    this.#scribe = scribe;
    this.#ports = ports;
    this.#queues = queues;
    this.#batch = new PacketBatch(scribe.pool, batch);
  }

  /** Opens all devices, and waits for their links. */
  async open(): Promise<void> {
    if (this.#ports.some(({ driver }) => driver)) {
      throw new UsageError("the devices are open: close them first");
    }
    for (const port of this.#ports) {
      const { number } = port, end = this.#begin(number, "open(…)", CALLS.OPEN);
      const device = await port.open();
      end(device.model);
      const endLink = this.#begin(number, "waitForLink()", CALLS.LINK);
      const { up, megabits } = await port.waitForLink();
      endLink(up ? `${megabits / 1000} Gbit/s` : "no link");
    }
  }

  /** Receives a batch and keeps it; returns the number of packets. */
  receive(number: number, queue: number): number {
    const batch = this.#batch, rx = this.#device(number).rxQueues[queue];
    if (batch.length > 0) {
      throw new UsageError("the program still has a batch: transmit or free it before it receives");
    }
    const name = `rxQueues[${queue}].receive(batch)`, steps = this.#ports[number].rx[queue];
    return this.#called(number, name, CALLS.RECEIVE, () => {
      if (!steps.arrived) steps.lookInVain();
      return rx.receive(batch);
    }, (n) => `${n} packet${n === 1 ? "" : "s"}`);
  }

  /** Touches each packet of the batch, transmits it, and frees what is left. */
  transmit(number: number, queue: number): void {
    const batch = this.#batch, tx = this.#device(number).txQueues[queue];
    if (batch.length === 0) throw new UsageError("the program has no batch: receive one first");
    this.#touch(number);
    const name = `txQueues[${queue}].transmit(batch)`, steps = this.#ports[number].tx[queue];
    this.#called(number, name, CALLS.TRANSMIT, () => {
      if (steps.reclaims && !steps.done) steps.lookInVain();
      return tx.transmit(batch);
    }, (n) => `${n} packet${n === 1 ? "" : "s"}`);
    if (batch.length > 0) this.free();
  }

  #touch(port: number): void {
    const scribe = this.#scribe, batch = this.#batch;
    scribe.journal.chapter = "touch";
    for (let i = 0; i < batch.length; i++) {
      const bytes = batch.packet(i), buffer = batch.buffers[i], old = bytes[TOUCHED];
      bytes[TOUCHED]++;
      scribe.add({
        kind: "touch",
        actor: "program",
        port,
        title: `byte ${TOUCHED} of buffer ${buffer}: ${old} to ${bytes[TOUCHED]}`,
        why: "The program works on the packet in its buffer: a packet is not copied.",
        ...scribe.about(buffer),
        bytes: bytes.slice(),
        source: PROGRAM.TOUCH,
      });
    }
  }

  /** Frees the batch. */
  free(): void {
    const scribe = this.#scribe, batch = this.#batch;
    if (batch.length === 0) throw new UsageError("the program has no batch: receive one first");
    scribe.journal.chapter = "free";
    const buffers = Array.from(batch.buffers.subarray(0, batch.length));
    batch.free();
    for (const buffer of buffers) {
      const about = scribe.about(buffer);
      scribe.release(buffer);
      scribe.add({
        kind: "free",
        actor: "program",
        port: 0,
        title: `buffer ${buffer} to the pool`,
        why: "The program is done with the packet.",
        ...about,
        source: PROGRAM.FREE,
      });
    }
  }

  /** Returns the buffers of sent packets to the pool. */
  reclaim(number: number, queue: number): void {
    const tx = this.#device(number).txQueues[queue], steps = this.#ports[number].tx[queue];
    this.#called(number, `txQueues[${queue}].reclaim()`, CALLS.RECLAIM, () => {
      if (!steps.done) steps.lookInVain();
      return tx.reclaim();
    }, (n) => `${n} buffer${n === 1 ? "" : "s"}`);
  }

  /** Receives, touches and transmits, from a port to the other one, on all queues. */
  forward(number: number): void {
    if (this.#ports.length < 2) {
      throw new UsageError("to forward needs two ports: set `ports` to 2");
    }
    for (let queue = 0; queue < this.#queues; queue++) {
      if (this.receive(number, queue) > 0) this.transmit(1 - number, queue);
    }
  }

  /** Takes buffers from the pool, or returns them, until so many are free. */
  hoard(left: number): void {
    const scribe = this.#scribe, { pool, cells } = scribe, hoard = this.#hoard;
    const before = pool.freeCount;
    scribe.journal.chapter = "hoard";
    while (pool.freeCount > left) {
      const buffer = pool.allocate(1);
      hoard.push(buffer);
      cells.setOwner(buffer, BUFFER.PROGRAM);
    }
    while (pool.freeCount < left && hoard.length > 0) {
      const buffer = hoard.pop()!;
      pool.free(buffer);
      cells.setOwner(buffer, BUFFER.FREE);
    }
    const moved = before - pool.freeCount;
    scribe.add({
      kind: moved < 0 ? "free" : "call",
      actor: "program",
      port: 0,
      title: `${Math.abs(moved)} buffers ${moved < 0 ? "to" : "from"} the pool: ` +
        `${pool.freeCount} are free`,
      why: moved < 0
        ? "The program returns what it has kept."
        : "A program that keeps packets keeps their buffers. The driver has fewer for new packets.",
    });
  }

  /** Reads the statistics. */
  statistics(number: number): void {
    const device = this.#device(number);
    this.#called(
      number,
      "statistics()",
      CALLS.STATISTICS,
      () => device.statistics(),
      ({ rxPackets, txPackets, rxTooLong, rxNoBuffer }) =>
        `${rxPackets} received, ${txPackets} sent, ${rxTooLong} too long, ${rxNoBuffer} without buffer`,
    );
  }

  /** Closes all devices. */
  close(): void {
    if (this.#batch.length > 0) this.free();
    for (const port of this.#ports) {
      if (!port.driver) continue;
      this.#called(port.number, "close()", CALLS.CLOSE, () => port.close(), () => "");
    }
  }

  #device(number: number): VirtioDevice {
    const { driver, broken } = this.#ports[number];
    if (broken) {
      throw new UsageError(
        `the driver of port ${number} has broken a rule: close the devices, and open them again`,
      );
    }
    if (driver) return driver;
    throw new UsageError("the devices are closed: open them first");
  }

  /** Records a call of a function of the driver, and its return. */
  #called<T>(
    port: number,
    name: string,
    source: Place,
    act: () => T,
    result: (value: T) => string,
  ): T {
    const end = this.#begin(port, name, source), value = act();
    this.#ports[port].follow();
    this.#ports[port].count();
    end(result(value));
    return value;
  }

  /** Records a call; returns what records its return. */
  #begin(port: number, name: string, source: Place): (result: string) => void {
    const { journal } = this.#scribe, actor = "driver" as const, outer = journal.chapter;
    const chapter = `${/(\w+)\(/.exec(name)![1]}()`; // the function's name
    journal.chapter = chapter;
    journal.add({ kind: "call", actor: "program", port, title: name, source });
    return (result) => {
      const title = `${name.replace(/\(.*/, "")} returns${result && `: ${result}`}`;
      journal.chapter = chapter;
      journal.add({ kind: "return", actor, port, title, source });
      journal.chapter = outer;
    };
  }
}
