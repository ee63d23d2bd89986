/**
 * A run: the software NIC and a forwarder on separate cores, and short windows in which packets are
 * counted. Between windows, both are stopped while the distance between their cores is probed.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import type { Program } from "../programs/process.ts";
import { INLINE_MORE } from "../sim/v8_flags.ts";
import { DeviceError } from "../src/errors.ts";
import { Counter, EVENTS } from "./cycles.ts";
import type { Devices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import type { Forwarder } from "./forwarders.ts";
import { preemptions } from "./machine.ts";
import { startOn } from "./pinned.ts";
import {
  type Balance,
  type FwdLine,
  latencyBetween,
  type SimLine,
  sum,
  type Traffic,
  type Window,
  wireOf,
} from "./window.ts";

/** Deadline for the first packets to come back, in milliseconds. */
const DEADLINE_MS = 20000;
/** Milliseconds after a stop until both programs are warm again, and until all packets are back. */
const SETTLE_MS = 100, DRAIN_MS = 60;
/** Milliseconds between checks whether a forwarder forwards. */
const LOOK_MS = 50;

/**
 * Flags for measuring latency: the software NIC collects garbage every few seconds instead of every
 * few milliseconds, and in its own thread, because other threads would wait for its core.
 */
const SELDOM_COLLECT = ",--single-threaded-gc,--min-semi-space-size=128,--max-semi-space-size=128";

/** The part of a window that its measurement returns. */
type Brought = Omit<Window, "distance" | "preempted">;

/** A running pair of software NIC and forwarder. */
export class Run implements AsyncDisposable {
  readonly #sim: Program;
  readonly #forwarder: Program;
  readonly #kind: Forwarder;
  readonly #probe: DistanceProbe;
  readonly #counter: Counter | undefined;
  #distance = NaN;

  private constructor(
    sim: Program,
    forwarder: Program,
    kind: Forwarder,
    probe: DistanceProbe,
  ) {
    this.#sim = sim;
    this.#forwarder = forwarder;
    this.#kind = kind;
    this.#probe = probe;
    this.#counter = Counter.open(forwarder.pid, EVENTS.cycles);
  }

  /**
   * Starts both programs, waits until packets come back both ways, and warms the programs up.
   *
   * @param cores The last one is for the software NIC, the others are for the forwarder.
   * @param warmUp Milliseconds of traffic before the first window.
   * @throws {DeviceError} if a program fails, or nothing is forwarded.
   */
  static async start(
    devices: Devices,
    forwarder: Forwarder,
    traffic: Traffic,
    cores: readonly number[],
    probe: DistanceProbe,
    warmUp: number,
  ): Promise<Run> {
    await using stack = new AsyncDisposableStack();
    const flags = INLINE_MORE + (traffic.latency ? SELDOM_COLLECT : "");
    const command = [
      ...[Deno.execPath(), "run", "--quiet", "--allow-ffi", flags, "sim/main.ts"],
      ...["--json", "--quiet", "--control", ...devices.simOptions(wireOf(traffic))],
    ];
    const sim = stack.use(startOn("the software NIC", cores.slice(-1), command));
    await sim.ready();
    const around = devices.forwarderCommand(forwarder.command(devices.addresses));
    const program = stack.use(startOn(forwarder.name, cores.slice(0, -1), around));
    if (forwarder.ready) await program.ready();
    const run = new Run(sim, program, forwarder, probe);
    await run.#warmUp(warmUp);
    stack.move();
    return run;
  }

  async #warmUp(milliseconds: number): Promise<void> {
    await this.#sim.write("start");
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      await delay(LOOK_MS);
      const late = performance.now() >= deadline;
      const { ports } = await this.#stats();
      if (ports.every(({ wireStatistics }) => wireStatistics.received > 0)) break;
      const { ended, stderr } = this.#forwarder;
      if (!late && !ended) continue;
      throw new DeviceError(
        this.#kind.name,
        (ended ? "ended" : `did not forward both ways within ${DEADLINE_MS} ms`) +
          `: check that its command names {a} and {b} correctly; it printed: ` +
          stderr.trim().replaceAll("\n", " | ").slice(-500),
      );
    }
    await delay(milliseconds);
    await this.#rest();
  }

  /** Returns the current counts of the software NIC. */
  async #stats(): Promise<SimLine> {
    return await this.#sim.ask("stats", ({ ports }: SimLine) => ports !== undefined);
  }

  /** Stops the traffic, and waits until all packets are back. */
  async #rest(): Promise<void> {
    await this.#sim.write("stop");
    await delay(DRAIN_MS);
  }

  /** Stops both programs and returns the distance between the cores. */
  async #probed(): Promise<number> {
    const programs = [this.#forwarder, this.#sim];
    for (const program of programs) program.kill("SIGSTOP");
    try {
      return await this.#probe.measure();
    } finally {
      for (const program of programs) program.kill("SIGCONT");
    }
  }

  /**
   * Measures a window.
   *
   * @param milliseconds Its length.
   * @param latency Whether to measure the latency of every packet, rather than the rate amid
   * traffic.
   */
  async window(milliseconds: number, latency: boolean): Promise<Window> {
    if (Number.isNaN(this.#distance)) this.#distance = await this.#probed();
    const before = this.#distance;
    const switches = this.#preemptions();
    const result = latency ? await this.#timed(milliseconds) : await this.#counted(milliseconds);
    const preempted = this.#preemptions() - switches;
    this.#distance = await this.#probed();
    return { ...result, preempted, distance: [before, this.#distance] };
  }

  #preemptions(): number {
    return [this.#sim, this.#forwarder].reduce((all, { pid }) => all + preemptions(pid), 0);
  }

  /** Measures the rate in the middle of traffic. */
  async #counted(milliseconds: number): Promise<Brought> {
    await this.#sim.write("start");
    await delay(SETTLE_MS);
    const first = await this.#stats(), cycles = this.#counter?.read();
    await delay(milliseconds);
    const last = await this.#stats(), packets = sum(last, "received") - sum(first, "received");
    const spent = this.#counter === undefined ? undefined : this.#counter.read() - cycles!;
    await this.#rest();
    return {
      mpps: packets / (last.seconds - first.seconds) / 1e6,
      ...(spent !== undefined && { cycles: spent / packets }),
    };
  }

  /** Measures all packets of its own traffic, so that none of them waits for a report. */
  async #timed(milliseconds: number): Promise<Brought> {
    await delay(SETTLE_MS);
    const first = await this.#stats(), start = performance.now();
    await this.#sim.write("start");
    await delay(milliseconds);
    const end = performance.now();
    await this.#rest();
    const last = await this.#stats(), packets = sum(last, "received") - sum(first, "received");
    return { mpps: packets / (end - start) / 1000, latency: latencyBetween(first, last) };
  }

  /**
   * Ends both programs; returns the counts of all packets.
   *
   * @throws {DeviceError} if a program of this project ends with an error.
   */
  async finish(): Promise<Balance> {
    const dropped = await this.#endForwarder();
    const line = await this.#sim.ask("quit", ({ total }: SimLine) => total === true);
    // Another driver may break rules of the datasheet; the software NIC then exits with an error.
    if (this.#kind.ready) await this.#sim.succeed();
    const [received, missed] = [sum(line, "received"), sum(line, "missed")];
    return {
      received,
      missed,
      dropped,
      lost: sum(line, "sent") - received - missed - dropped,
      reordered: sum(line, "reordered"),
      corrupt: sum(line, "corrupt"),
    };
  }

  /** Ends the forwarder; returns the number of packets that it reports as dropped. */
  async #endForwarder(): Promise<number> {
    this.#forwarder.kill(this.#kind.ready ? "SIGINT" : "SIGKILL");
    if (!this.#kind.ready) return await this.#forwarder.finish().then(() => 0);
    const dropped = this.#kind.counts
      ? (await this.#forwarder.json(({ total }: FwdLine) => total === true)).ports
        .reduce((all, port) => all + port.dropped, 0)
      : 0;
    await this.#forwarder.succeed();
    return dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#counter?.[Symbol.dispose]();
    await this.#forwarder[Symbol.asyncDispose]();
    await this.#sim[Symbol.asyncDispose]();
  }
}
