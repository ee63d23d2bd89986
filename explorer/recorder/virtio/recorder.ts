/**
 * The recorder of VirtIO devices: runs the driver, the devices and a program in this thread, and adds
 * a step for what each of them does.
 *
 * @module
 */

import { formatMac } from "../../../src/driver.ts";
import { UsageError } from "../../../src/errors.ts";
import { Mempool } from "../../../src/mempool.ts";
import type { Action, Experiment } from "../../recording/experiment.ts";
import { Layout } from "../../recording/layout.ts";
import type { Begin } from "../../recording/messages.ts";
import type { Step } from "../../recording/step.ts";
import type { RecorderContext } from "../context.ts";
import { buildFrame } from "../frames.ts";
import { Journal } from "../journal.ts";
import { RecordedPool } from "../recorded_pool.ts";
import type { Recorder } from "../recorder.ts";
import { breakRule } from "./breaks.ts";
import { JUMBO, LONG, macOf, Port, STATISTICS } from "./port.ts";
import { Program } from "./program.ts";

/** Records an experiment with VirtIO devices. */
export class VirtioRecorder implements Recorder {
  readonly begin: Begin;
  readonly #journal: Journal;
  readonly #context: RecorderContext;
  readonly #ports: readonly Port[];
  readonly #program: Program;
  #frames = 0;

  /** Creates devices that were reset, and a pool. */
  constructor(experiment: Experiment, emit: (step: Step) => void) {
    const { buffers, bufferSize } = experiment;
    const layout = new Layout(), numbers = Array.from({ length: experiment.ports }, (_, i) => i);
    RecordedPool.addTo(layout, buffers);
    for (const number of numbers) Port.addTo(layout, number, experiment);
    this.#journal = new Journal(layout, emit);
    const pool = new Mempool({ buffers, bufferSize, memory: "pages" });
    this.#context = { journal: this.#journal, pool: new RecordedPool(this.#journal, pool) };
    this.#ports = numbers.map((number) => {
      return new Port(this.#context, number, experiment, () => this.#follow());
    });
    this.#program = new Program(this.#context, experiment, this.#ports);
    this.begin = {
      type: "begin",
      sections: layout.sections,
      state: this.#journal.begin(),
      statistics: STATISTICS,
      device: "VirtIO",
      ports: numbers.map((number) => formatMac(macOf(number))),
    };
  }

  async act(action: Action): Promise<void> {
    this.#journal.chapter = "";
    try {
      await this.#act(action);
    } finally {
      this.#journal.flush();
    }
  }

  #act(action: Action): Promise<void> | void {
    const program = this.#program;
    switch (action.do) {
      case "open":
        return program.open();
      case "frame":
        return this.#send(action);
      case "round":
        return this.#ports[action.port].round();
      case "receive":
        program.receive(action.port, action.queue ?? 0);
        return;
      case "transmit":
        return program.transmit(action.port, action.queue ?? 0);
      case "free":
        return program.free();
      case "reclaim":
        return program.reclaim(action.port, action.queue ?? 0);
      case "forward":
        return program.forward(action.port);
      case "hoard":
        return program.hoard(action.buffers);
      case "statistics":
        return program.statistics(action.port);
      case "break":
        return this.#break(action);
      case "close":
        return program.close();
      case "interrupt":
      case "hybrid":
      case "throttle":
        throw new UsageError(
          "the VirtIO driver has no interrupts: it polls. Choose an 82599, X540 or X550 for them",
        );
      case "sleep":
        return this.#sleep(action.milliseconds);
    }
  }

  /** Adds the steps that drivers have made in memory. Sent packets come first: they fill the pool. */
  #follow(): void {
    for (const port of this.#ports) port.followTx();
    for (const port of this.#ports) port.followRx();
  }

  /** Sends frames to a port, and lets the device work until it has taken them all. */
  #send({ port: number, frame, times = 1, flow }: Extract<Action, { do: "frame" }>): void {
    const port = this.#ports[number], lengths = { long: LONG, jumbo: JUMBO };
    for (let i = 0; i < times; i++) {
      const options = { ...lengths, station: macOf(number), flow: flow ?? this.#frames & 0xffff };
      port.net.put({ number: ++this.#frames, bytes: buildFrame(frame, options) });
    }
    while (port.net.arriving > 0) port.round();
  }

  #sleep(milliseconds: number): void {
    this.#context.journal.add({
      kind: "idle",
      actor: "program",
      port: 0,
      title: `${milliseconds} ms pass`,
      why: "The program does nothing, and nothing in the driver or the devices depends on time.",
    });
  }

  #break({ port, rule }: Extract<Action, { do: "break" }>): void {
    const { driver, broken } = this.#ports[port];
    if (broken || !driver) {
      throw new UsageError(
        "a rule can be broken once after the devices are opened: open them again",
      );
    }
    this.#journal.chapter = `break: ${rule.replaceAll("-", " ")}`;
    breakRule(this.#context, this.#ports[port], rule);
  }

  /** Drops devices and pool, without steps. */
  [Symbol.dispose](): void {
    this.#journal.end();
    for (const port of this.#ports) port.close();
    this.#context.pool.mempool[Symbol.dispose]();
  }
}
