/**
 * Records the ixgbe driver and the software NIC: an 82599, X540 or X550.
 *
 * @module
 */

import { modelOf } from "../../../ixgbe/models.ts";
import { MAXFRS } from "../../../ixgbe/registers.ts";
import { DEVICE } from "../../../sim/nic/boards.ts";
import { formatMac } from "../../../src/driver.ts";
import { Mempool } from "../../../src/mempool.ts";
import type { Action, Experiment } from "../../recording/experiment.ts";
import { Layout } from "../../recording/layout.ts";
import type { Begin } from "../../recording/messages.ts";
import type { Step } from "../../recording/step.ts";
import { RingCells } from "../ring_cells.ts";
import { RecordedPool } from "../recorded_pool.ts";
import { Clock } from "../clock.ts";
import { buildFrame } from "../frames.ts";
import { Journal } from "../journal.ts";
import type { Recorder } from "../recorder.ts";
import { breakRule } from "./breaks.ts";
import { HybridMode } from "./hybrid_mode.ts";
import { PortRecorder } from "./port_recorder.ts";
import { Program } from "./program.ts";
import { RegisterCells, STATISTICS_NAMES } from "./register_cells.ts";

/** PCI device IDs by the names that a user knows. */
export const DEVICE_IDS: Readonly<Record<string, number>> = {
  "82599": DEVICE.SFP,
  X540: DEVICE.X540,
  X550: DEVICE.X550,
};

/** What takes time on the card, in milliseconds: enough to see the driver wait, and to see it in order. */
export const DELAYS = { reset: 1, eeprom: 20, link: 50, queue: 1 } as const;
/** Frames with CRC that the device accepts once jumbo frames are sent to it, as Linux's limit. */
const JUMBO_BYTES = 9728;
const CRC = 4;

/** Returns the address of a port. */
export function stationOf(port: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 5, 0x99 + port);
}

/** The recorder. */
export class IxgbeRecorder implements Recorder {
  readonly begin: Begin;
  readonly #experiment: Experiment;
  readonly #journal: Journal;
  readonly #mempool: Mempool;
  readonly #ports: readonly PortRecorder[];
  readonly #program: Program;
  readonly #hybrid: HybridMode;
  readonly #clock = new Clock();
  #frames = 0;

  /** Powers the devices on, and creates the pool. */
  constructor(experiment: Experiment, emit: (step: Step) => void) {
    const clock = this.#clock;
    using _time = clock.start(); // the devices' own events begin
    const { ports, queues, entries, buffers, bufferSize, budget } = experiment;
    const deviceId = DEVICE_IDS[experiment.device], layout = new Layout();
    const numbers = Array.from({ length: ports }, (_, port) => port);
    this.#experiment = experiment;
    RecordedPool.addTo(layout, buffers);
    for (const port of numbers) addPort(layout, port, queues, entries);
    const journal = this.#journal = new Journal(layout, emit);
    this.#mempool = new Mempool({ buffers, bufferSize, memory: "pages" });
    const pool = new RecordedPool(journal, this.#mempool);
    const lookForReclaimed = () => {
      for (const port of this.#ports) if (port.device) port.driverReclaimed();
    };
    this.#ports = numbers.map((port) => {
      const options = {
        deviceId,
        budget,
        delays: DELAYS,
        lanId: port as 0 | 1,
        mac: stationOf(port),
      };
      const context = { port, journal, pool, clock, lookForReclaimed };
      return new PortRecorder(context, experiment, options);
    });
    const context = { journal, pool };
    this.#program = new Program(context, experiment, this.#ports);
    this.#hybrid = new HybridMode(context, experiment, this.#ports, this.#program, clock);
    for (const { registers } of this.#ports) registers.lookAtAll();
    this.begin = {
      type: "begin",
      sections: layout.sections,
      state: journal.begin(),
      statistics: STATISTICS_NAMES,
      device: modelOf("device", deviceId).name,
      ports: numbers.map((port) => formatMac(stationOf(port))),
    };
  }

  async act(action: Action): Promise<void> {
    using _time = this.#clock.start();
    this.#journal.chapter = "";
    try {
      await this.#act(action);
    } finally {
      for (const { registers } of this.#ports) registers.lookAtAll();
      this.#journal.amend();
      this.#journal.flush();
    }
  }

  async #act(action: Action): Promise<void> {
    const program = this.#program;
    switch (action.do) {
      case "open":
        return await program.open();
      case "frame":
        return this.#send(action);
      case "round":
        return this.#round(action.port);
      case "receive":
        return void program.receive(action.port, action.queue ?? 0);
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
      case "interrupt":
        return program.interrupt(action.port, action.queue ?? 0);
      case "hybrid":
        return this.#hybrid.work(action.port);
      case "throttle":
        return program.throttle(action.port, action.queue ?? 0, action.microseconds);
      case "sleep":
        return this.#sleep(action.milliseconds);
      case "break":
        return breakRule(this.#ports[action.port], this.#journal, action, () => {
          this.#send({ do: "frame", port: action.port, frame: "udp" });
        });
      case "close":
        return program.close();
    }
  }

  /** Sends frames to a port, and lets the device work until it has taken them all. */
  #send({ port: number, frame: kind, times = 1, flow }: Action & { readonly do: "frame" }): void {
    const port = this.#ports[number], { bufferSize } = this.#experiment;
    if (kind === "jumbo" && port.device && this.#limit(port) < JUMBO_BYTES) {
      this.#program.accept(number, JUMBO_BYTES);
      this.#journal.chapter = "";
    }
    const lengths = { long: this.#limit(port) - CRC + 40, jumbo: bufferSize * 2 + bufferSize / 4 };
    for (let i = 0; i < times; i++) {
      const options = { ...lengths, station: stationOf(number), flow: flow ?? this.#frames };
      port.line.waiting.push({ number: ++this.#frames, bytes: buildFrame(kind, options) });
    }
    while (port.line.waiting.length > 0) port.round();
  }

  /** The longest frame that a port accepts, in bytes with CRC. */
  #limit(port: PortRecorder): number {
    return port.registers.view(MAXFRS) >>> 16;
  }

  #round(number: number): void {
    const before = this.#journal.count, port = this.#ports[number];
    port.round();
    if (this.#journal.count > before) return;
    this.#journal.add({
      kind: "idle",
      actor: "device",
      port: number,
      title: "a round: nothing to do",
      why: "No descriptor waits to be sent, and no frame waits for a descriptor.",
    });
  }

  #sleep(milliseconds: number): void {
    this.#clock.pass(milliseconds);
    this.#journal.add({
      kind: "idle",
      actor: "program",
      port: 0,
      title: `${milliseconds} ms pass`,
      why: "The program does nothing; the devices go on.",
    });
    for (const port of this.#ports) port.round();
  }

  /** Closes what is open, without recording it, and frees the pool. */
  [Symbol.dispose](): void {
    using _time = this.#clock.start();
    this.#journal.end();
    for (const port of this.#ports) {
      port.working = true;
      port.device?.close();
    }
    this.#mempool[Symbol.dispose]();
  }
}

function addPort(layout: Layout, port: number, queues: number, entries: number): void {
  RegisterCells.addTo(layout, port);
  for (let queue = 0; queue < queues; queue++) {
    for (const ring of ["rx", "tx"] as const) {
      RingCells.addTo(layout, { port, ring, queue }, entries);
    }
  }
}
