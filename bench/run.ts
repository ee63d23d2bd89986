/**
 * A run: the device and a forwarder on separate cores, and short windows in which packets are counted.
 * Between windows, both are stopped while the distance between their cores is probed.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import type { Program } from "../programs/process.ts";
import { DeviceError } from "../src/errors.ts";
import { Counter, EVENTS } from "./cycles.ts";
import type { Devices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import { type Forwarder, TOLERATED } from "./forwarders.ts";
import { preemptions } from "./machine.ts";
import { startOn } from "./pinned.ts";
import { median } from "./statistics.ts";
import {
  type Balance,
  type FwdLine,
  latencyBetween,
  type SimLine,
  type Start,
  startOf,
  sum,
  type Traffic,
  type Window,
} from "./window.ts";

/** Deadline for the first packets to come back, in milliseconds. */
const DEADLINE_MS = 15000;
/** Milliseconds after a stop until both programs are warm again. */
const SETTLE_MS = 50;
/** Milliseconds between looks whether all packets are back, and looks without a packet after which the rest is lost. */
const DRAIN_MS = 20, QUIET_LOOKS = 10;
/** Characters of a forwarder's output that an error shows. */
const SHOWN = 500;
/** Milliseconds between checks whether a forwarder forwards. */
const LOOK_MS = 50;

/** Results of a run beside its windows. */
export interface Finish {
  readonly balance: Balance;
  /** How the forwarder started, if the device records it. */
  readonly start?: Start;
}

/** The part of a window that its measurement returns. */
type Brought = Omit<Window, "distance" | "preempted">;

/** A running pair of device and forwarder. */
export class Run implements AsyncDisposable {
  readonly #nic: Program;
  readonly #forwarder: Program;
  readonly #kind: Forwarder;
  readonly #probe: DistanceProbe;
  readonly #counter: Counter | undefined;
  readonly #rates: number[] = [];
  #distance = NaN;

  private constructor(nic: Program, forwarder: Program, kind: Forwarder, probe: DistanceProbe) {
    this.#nic = nic;
    this.#forwarder = forwarder;
    this.#kind = kind;
    this.#probe = probe;
    this.#counter = Counter.open(forwarder.pid, EVENTS.cycles);
  }

  /**
   * Starts both programs, waits until packets come back both ways, and warms the programs up.
   *
   * @param cores The last one is for the device, the others are for the forwarder.
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
    const nic = stack.use(startOn(devices.name, cores.slice(-1), devices.command(traffic)));
    await nic.ready();
    if (devices.startsEarly) await nic.write("start");
    const around = devices.forwarderCommand(forwarder.command(devices.addresses));
    const program = stack.use(startOn(forwarder.name, cores.slice(0, -1), around));
    if (forwarder.ready) await program.ready();
    if (!devices.startsEarly) await nic.write("start");
    const run = new Run(nic, program, forwarder, probe);
    await run.#warmUp(warmUp);
    stack.move();
    return run;
  }

  async #warmUp(milliseconds: number): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      await delay(LOOK_MS);
      const late = performance.now() >= deadline;
      const line = await this.#stats();
      if (line.ports.every(({ wireStatistics }) => wireStatistics.received > 0)) break;
      const { ended } = this.#forwarder;
      if (!late && !ended) continue;
      const delivered = sum(line, "sent") - sum(line, "missed") > 0;
      throw this.#bad(
        ended
          ? "ended before it forwarded both ways"
          : delivered
          ? `took packets, but did not send any back both ways within ${DEADLINE_MS / 1000} s`
          : `took no packet within ${DEADLINE_MS / 1000} s: it did not bring up the devices`,
      );
    }
    await delay(milliseconds);
  }

  /** Returns the error of a forwarder, with what it printed. */
  #bad(problem: string): DeviceError {
    const { stdout, stderr } = this.#forwarder;
    const printed = [stderr, stdout].map((text) => text.trim()).filter((text) => text !== "")
      .map((text) => text.replaceAll("\n", " | ").slice(-SHOWN));
    const also = printed.length > 0 ? `; it printed: ${printed.join(" and ")}` : "";
    return new DeviceError(this.#kind.name, problem + also);
  }

  /** Returns the current counts of the device. */
  async #stats(): Promise<SimLine> {
    return await this.#nic.ask("stats", ({ ports }: SimLine) => ports !== undefined);
  }

  /** Stops the traffic, and waits until all packets are back, or none has come back for a while. */
  async #rest(): Promise<void> {
    await this.#nic.write("stop");
    for (let last = -1, quiet = 0; quiet < QUIET_LOOKS;) {
      await delay(DRAIN_MS);
      const line = await this.#stats(), received = sum(line, "received");
      if (sum(line, "sent") === received + sum(line, "missed")) break;
      quiet = received === last ? quiet + 1 : 0;
      last = received;
    }
  }

  /** Stops both programs and returns the distance between the cores. */
  async #probed(): Promise<number> {
    const programs = [this.#forwarder, this.#nic];
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
    return [this.#nic, this.#forwarder].reduce((all, { pid }) => all + preemptions(pid), 0);
  }

  /** Measures the rate in the middle of traffic. */
  async #counted(milliseconds: number): Promise<Brought> {
    await delay(SETTLE_MS);
    const first = await this.#stats(), cycles = this.#counter?.read();
    await delay(milliseconds);
    const last = await this.#stats(), packets = sum(last, "received") - sum(first, "received");
    const spent = this.#counter === undefined ? undefined : this.#counter.read() - cycles!;
    const mpps = packets / (last.seconds - first.seconds) / 1e6;
    this.#rates.push(mpps);
    return {
      mpps,
      ...(spent !== undefined && { cycles: spent / packets }),
    };
  }

  /** Measures all packets of its own traffic, so that none of them waits for a report. */
  async #timed(milliseconds: number): Promise<Brought> {
    await this.#rest();
    const first = await this.#stats(), start = performance.now();
    await this.#nic.write("start");
    await delay(milliseconds);
    const end = performance.now();
    await this.#rest();
    const last = await this.#stats(), packets = sum(last, "received") - sum(first, "received");
    const mpps = packets / (end - start) / 1000;
    this.#rates.push(mpps);
    return { mpps, latency: latencyBetween(first, last) };
  }

  /**
   * Ends both programs; returns the counts of all packets, and how the forwarder started.
   *
   * @param steps How many steps of {@linkcode Start.rates} to keep.
   * @throws {DeviceError} if the forwarder ends with an error, or loses, reorders or damages packets.
   */
  async finish(steps: number): Promise<Finish> {
    await this.#rest();
    const { ended } = this.#forwarder;
    const dropped = await this.#endForwarder();
    const line = await this.#nic.ask("quit", ({ total }: SimLine) => total === true);
    // Another driver may break rules of the datasheet; the software NIC then exits with an error.
    if (this.#kind.lossless) await this.#nic.succeed();
    const [received, missed] = [sum(line, "received"), sum(line, "missed")];
    const lost = sum(line, "sent") - received - missed - dropped;
    const [reordered, corrupt] = [sum(line, "reordered"), sum(line, "corrupt")];
    if (ended) throw this.#bad("ended while it was measured");
    const tolerated = this.#kind.lossless ? 0 : TOLERATED * received;
    if (reordered + corrupt > 0 || Math.abs(lost) > tolerated) {
      throw new DeviceError(
        this.#kind.name,
        `beside ${received} packets that came back, ${lost} were lost, ${reordered} reordered and ` +
          `${corrupt} corrupt: its figures are worth nothing`,
      );
    }
    return {
      balance: { received, missed, dropped, lost, reordered, corrupt },
      ...(line.progress && this.#rates.length > 0 &&
        { start: startOf(line.progress, median(this.#rates), steps) }),
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
    await this.#nic[Symbol.asyncDispose]();
  }
}
