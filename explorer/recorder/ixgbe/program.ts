/**
 * The program that uses the devices: it opens, receives, touches, transmits and closes, one action at a
 * time. It keeps at most one batch.
 *
 * @module
 */

import { ixgbe, type IxgbeDevice } from "../../../ixgbe/device.ts";
import { UsageError } from "../../../src/errors.ts";
import { Waiter } from "../../../src/waiter.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { Calls } from "../calls.ts";
import type { RecorderContext } from "../context.ts";
import { count, packets, ProgramBuffers } from "../program_buffers.ts";
import { CALLS } from "./places.ts";
import type { PortRecorder } from "./port_recorder.ts";
import { acceptFrames, keepFrames, throttle } from "./settings.ts";

/** How long the program waits for the link, in milliseconds. */
const LINK_MS = 5000;

/** The program. */
export class Program {
  readonly #context: RecorderContext;
  readonly #experiment: Experiment;
  readonly #ports: readonly PortRecorder[];
  readonly #calls: Calls;
  readonly #buffers: ProgramBuffers;

  /** Creates a program that uses some ports. */
  constructor(context: RecorderContext, experiment: Experiment, ports: readonly PortRecorder[]) {
    this.#context = context;
    this.#experiment = experiment;
    this.#ports = ports;
    this.#calls = new Calls(context.journal);
    this.#buffers = new ProgramBuffers(context, experiment.batch);
  }

  /** Opens all devices, and waits for their links. */
  async open(): Promise<void> {
    const { queues, entries, promiscuous, interrupts, dropEnable } = this.#experiment;
    const { journal, pool: { mempool } } = this.#context;
    for (const [number, port] of this.#ports.entries()) {
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
      if (!dropEnable) keepFrames(journal, port, port.device, queues);
    }
  }

  /** Has the device accept frames of a length with CRC. */
  accept(number: number, bytes: number): void {
    acceptFrames(this.#context.journal, this.#ports[number], this.#device(number), bytes);
  }

  /** Has the device wait so long between two messages of a queue's vector. */
  throttle(number: number, queue: number, microseconds: number): void {
    const setting = [queue, microseconds] as const;
    throttle(this.#context.journal, this.#ports[number], this.#device(number), setting);
  }

  /** Receives a batch and keeps it; returns the number of packets. */
  receive(number: number, queue: number): number {
    const { batch } = this.#buffers, port = this.#ports[number];
    this.#buffers.checkEmpty();
    this.#device(number);
    const name = `rxQueues[${queue}].receive(batch)`;
    return this.#calls.run(number, name, CALLS.RECEIVE, () => port.receive(queue, batch), packets);
  }

  /** Touches each packet of the batch, transmits it, and frees what is left. */
  transmit(number: number, queue: number): void {
    const { batch } = this.#buffers, port = this.#ports[number];
    this.#device(number);
    this.#buffers.checkFilled();
    this.#buffers.touch(number);
    const name = `txQueues[${queue}].transmit(batch)`;
    this.#calls.run(number, name, CALLS.TRANSMIT, () => port.transmit(queue, batch), packets);
    if (batch.length > 0) this.free();
  }

  /** Frees the batch. */
  free(): void {
    this.#buffers.free();
  }

  /** Returns the buffers of sent packets to the pool. */
  reclaim(number: number, queue: number): void {
    const port = this.#ports[number];
    this.#device(number);
    const name = `txQueues[${queue}].reclaim()`, text = (n: number) => count(n, "buffer");
    this.#calls.run(number, name, CALLS.RECLAIM, () => port.reclaim(queue), text);
  }

  /** Receives, touches and transmits, from a port to the other one, on all queues. */
  forward(number: number): void {
    if (this.#ports.length < 2) {
      throw new UsageError("to forward needs two ports: set `ports` to 2");
    }
    for (let queue = 0; queue < this.#experiment.queues; queue++) {
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
    const device = this.#device(number), port = this.#ports[number];
    if (!this.#experiment.interrupts) {
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
      if (woken && this.#buffers.batch.length === 0) this.receive(number, queue);
      return woken;
    }, (woken) => woken ? "woken" : "the time is over");
  }

  /** Closes all devices. */
  close(): void {
    if (this.#buffers.batch.length > 0) this.free();
    for (const [number, port] of this.#ports.entries()) {
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

  /** Returns an open device. */
  #device(number: number): IxgbeDevice {
    const device = this.#ports[number].device;
    if (device) return device;
    throw new UsageError("the devices are closed: open them first");
  }
}
