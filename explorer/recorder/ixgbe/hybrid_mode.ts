/**
 * The hybrid mode of polling and interrupts, as `fwd.ts --interrupts` has it.
 *
 * @module
 */

import { EIMS_EX } from "../../../ixgbe/registers.ts";
import { AdaptiveSleep, IDLE_MS } from "../../../programs/adaptive_sleep.ts";
import { UsageError } from "../../../src/errors.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { Calls } from "../calls.ts";
import type { Clock } from "../clock.ts";
import type { RecorderContext } from "../context.ts";
import type { Journal } from "../journal.ts";
import { CALLS } from "./places.ts";
import type { PortRecorder } from "./port_recorder.ts";
import type { Program } from "./program.ts";

/** The longest time that the program would sleep, in milliseconds. */
const LONGEST_MS = 100;

/** Works on a port until there is nothing to do, and sleeps then. */
export class HybridMode {
  readonly #journal: Journal;
  readonly #experiment: Experiment;
  readonly #ports: readonly PortRecorder[];
  readonly #program: Program;
  readonly #clock: Clock;
  readonly #calls: Calls;

  constructor(
    { journal }: RecorderContext,
    experiment: Experiment,
    ports: readonly PortRecorder[],
    program: Program,
    clock: Clock,
  ) {
    this.#journal = journal;
    this.#experiment = experiment;
    this.#ports = ports;
    this.#program = program;
    this.#clock = clock;
    this.#calls = new Calls(journal);
  }

  /**
   * Polls the queues of a port and forwards until no packet has come for {@linkcode IDLE_MS}; then arms
   * the interrupts and sleeps.
   *
   * @throws {UsageError} if the devices are closed, or have no interrupts.
   */
  work(number: number): void {
    const port = this.#ports[number], { device } = port;
    if (device === undefined) throw new UsageError("the devices are closed: open them first");
    let idle = false, asleep = false;
    const sleep = AdaptiveSleep.of([device], () => {
      idle = !this.#poll(number);
      if (idle) port.round(); // while the program sleeps the device works
    });
    if (sleep === undefined) {
      throw new UsageError("the devices have no interrupts: set `interrupts` of the experiment");
    }
    const vectors = 2 ** this.#experiment.queues - 1;
    while (!asleep) {
      if (!this.#poll(number)) this.#pass(number);
      idle = false;
      this.#calls.run(number, "sleepIfIdle(now, until)", CALLS.SLEEP, () => {
        const now = performance.now();
        sleep.sleepIfIdle(now, now + LONGEST_MS);
        // A message masks its vector: if all are armed, none has woken the program.
        asleep = idle && (port.registers.view(EIMS_EX) & vectors) === vectors;
      }, () => asleep ? "the program sleeps" : idle ? "woken" : "packets have come lately");
    }
  }

  /** Polls each queue once, and handles the packets; returns whether there were any. */
  #poll(number: number): boolean {
    const { queues, ports } = this.#experiment, program = this.#program;
    let any = false;
    for (let queue = 0; queue < queues; queue++) {
      if (program.receive(number, queue) === 0) continue;
      any = true;
      if (ports === 2) program.transmit(1 - number, queue);
      else program.free();
    }
    return any;
  }

  #pass(port: number): void {
    this.#clock.pass(IDLE_MS);
    this.#journal.add({
      kind: "idle",
      actor: "program",
      port,
      title: `${IDLE_MS} ms of polling without a packet`,
      why: "Polling on would be quicker for the next packet, and would occupy the processor.",
    });
  }
}
