/**
 * The program that uses the devices: it opens, receives, touches, transmits and closes, one action at a
 * time. It keeps at most one batch.
 *
 * @module
 */

import { UsageError } from "../../../src/errors.ts";
import type { VirtioDevice } from "../../../virtio/device.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { type Call, Calls } from "../calls.ts";
import type { RecorderContext } from "../context.ts";
import { count, packets, ProgramBuffers } from "../program_buffers.ts";
import { CALLS } from "./places.ts";
import type { Port } from "./port.ts";

/** The program. */
export class Program {
  readonly #ports: readonly Port[];
  readonly #queues: number;
  readonly #calls: Calls;
  readonly #buffers: ProgramBuffers;

  /** Creates a program that uses some ports. */
  constructor(context: RecorderContext, { queues, batch }: Experiment, ports: readonly Port[]) {
    this.#ports = ports;
    this.#queues = queues;
    this.#calls = new Calls(context.journal);
    this.#buffers = new ProgramBuffers(context, batch);
  }

  /** Opens all devices, and waits for their links. */
  async open(): Promise<void> {
    if (this.#ports.some(({ driver }) => driver)) {
      throw new UsageError("the devices are open: close them first");
    }
    for (const port of this.#ports) {
      const { number } = port;
      await this.#calls.wait(
        number,
        "open(…)",
        CALLS.OPEN,
        () => port.open(),
        ({ model }) => model,
      );
      await this.#calls.wait(number, "waitForLink()", CALLS.LINK, () => {
        return port.waitForLink();
      }, ({ up, megabits }) => up ? `${megabits / 1000} Gbit/s` : "no link");
    }
  }

  /** Receives a batch and keeps it; returns the number of packets. */
  receive(number: number, queue: number): number {
    const { batch } = this.#buffers, rx = this.#device(number).rxQueues[queue];
    this.#buffers.checkEmpty();
    const name = `rxQueues[${queue}].receive(batch)`, steps = this.#ports[number].rx[queue];
    return this.#called(number, name, CALLS.RECEIVE, () => {
      if (!steps.arrived) steps.lookInVain();
      return rx.receive(batch);
    }, packets);
  }

  /** Touches each packet of the batch, transmits it, and frees what is left. */
  transmit(number: number, queue: number): void {
    const { batch } = this.#buffers, tx = this.#device(number).txQueues[queue];
    this.#buffers.checkFilled();
    this.#buffers.touch(number);
    const name = `txQueues[${queue}].transmit(batch)`, steps = this.#ports[number].tx[queue];
    this.#called(number, name, CALLS.TRANSMIT, () => {
      if (steps.reclaims && !steps.done) steps.lookInVain();
      return tx.transmit(batch);
    }, packets);
    if (batch.length > 0) this.free();
  }

  /** Frees the batch. */
  free(): void {
    this.#buffers.free();
  }

  /** Returns the buffers of sent packets to the pool. */
  reclaim(number: number, queue: number): void {
    const tx = this.#device(number).txQueues[queue], steps = this.#ports[number].tx[queue];
    this.#called(number, `txQueues[${queue}].reclaim()`, CALLS.RECLAIM, () => {
      if (!steps.done) steps.lookInVain();
      return tx.reclaim();
    }, (n) => count(n, "buffer"));
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
    this.#buffers.hoard(left);
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
    if (this.#buffers.batch.length > 0) this.free();
    for (const port of this.#ports) {
      if (!port.driver) continue;
      this.#called(port.number, "close()", CALLS.CLOSE, () => port.close());
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

  /** Calls a function of the driver, and records what it has done. */
  #called<T>(
    port: number,
    name: string,
    call: Call,
    act: () => T,
    result?: (value: T) => string,
  ): T {
    return this.#calls.run(port, name, call, () => {
      const value = act();
      this.#ports[port].follow();
      this.#ports[port].count();
      return value;
    }, result);
  }
}
