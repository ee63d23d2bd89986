/**
 * A measuring run: the software NIC and a forwarder, each on cores of its own, and short windows in
 * which packets are counted. Between windows both are stopped while the distance of their cores is
 * probed.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { INLINE_MORE } from "../demo.ts";
import { DeviceError } from "../src/errors.ts";
import { Child } from "./child.ts";
import { Counter, EVENTS } from "./cycles.ts";
import type { Devices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import type { Forwarder } from "./forwarders.ts";
import { preemptions } from "./machine.ts";
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

/** Longest that a program may take to start, to answer and to end, in milliseconds. */
const DEADLINE_MS = 20000;
/** After a stop, until both programs are warm again; and until packets have come to rest. */
const SETTLE_MS = 100, DRAIN_MS = 60;
/** How often it is looked whether a forwarder forwards, in milliseconds. */
const LOOK_MS = 50;

/**
 * Where times are taken, the software NIC collects its garbage every few seconds instead of every few
 * milliseconds, and by itself, not with threads that would have to wait for its own core.
 */
const SELDOM_COLLECT = ",--single-threaded-gc,--min-semi-space-size=128,--max-semi-space-size=128";

/** What a window brings by itself. */
type Brought = Omit<Window, "distance" | "preempted">;

/** A running pair of software NIC and forwarder. */
export class Run implements AsyncDisposable {
  readonly #sim: Child<SimLine>;
  readonly #forwarder: Child<FwdLine>;
  readonly #kind: Forwarder;
  readonly #probe: DistanceProbe;
  readonly #counter: Counter | undefined;
  #distance = NaN;

  private constructor(
    sim: Child<SimLine>,
    forwarder: Child<FwdLine>,
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
   * Starts both programs, waits until packets come back both ways, and goes on until the compilers
   * have had their time.
   *
   * @param cores The software NIC has the last one, the forwarder the others.
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
    const sim = stack.use(
      new Child<SimLine>("the software NIC", cores.slice(-1), command),
    );
    await sim.line((line) => line.ready === true, DEADLINE_MS);
    const forwarderCores = cores.slice(0, -1);
    const child = stack.use(
      new Child<FwdLine>(
        forwarder.name,
        forwarderCores,
        devices.forwarderCommand(forwarder.command(devices.addresses)),
      ),
    );
    if (forwarder.ready) await child.line((line) => line.ready === true, DEADLINE_MS);
    const run = new Run(sim, child, forwarder, probe);
    await run.#warmUp(warmUp);
    stack.move();
    return run;
  }

  async #warmUp(milliseconds: number): Promise<void> {
    await this.#sim.command("start");
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      await delay(LOOK_MS);
      const { ports } = await this.#stats();
      if (ports.every(({ wireStatistics }) => wireStatistics.received > 0)) break;
      const { ended, complaints } = this.#forwarder;
      if (performance.now() < deadline && !ended) continue;
      throw new DeviceError(
        this.#kind.name,
        (ended ? "ended" : `brought nothing back both ways within ${DEADLINE_MS} ms`) +
          `: is it told the right devices? It printed: ` +
          complaints.replaceAll("\n", " | ").slice(-500),
      );
    }
    await delay(milliseconds);
    await this.#rest();
  }

  /** The software NIC's counts now. */
  async #stats(): Promise<SimLine> {
    const line = this.#sim.line((candidate) => candidate.ports !== undefined, DEADLINE_MS);
    return (await Promise.all([line, this.#sim.command("stats")]))[0];
  }

  /** Sends no more, and waits until all is back. */
  async #rest(): Promise<void> {
    await this.#sim.command("stop");
    await delay(DRAIN_MS);
  }

  /** The distance between the cores, while both programs are stopped. */
  async #probed(): Promise<number> {
    const programs = [this.#forwarder, this.#sim];
    for (const program of programs) program.signal("SIGSTOP");
    try {
      return await this.#probe.measure();
    } finally {
      for (const program of programs) program.signal("SIGCONT");
    }
  }

  /**
   * Measures.
   *
   * @param milliseconds How long.
   * @param latency Whether to take the time of each packet of the window, instead of the middle of it.
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

  /** A window in the middle of traffic. */
  async #counted(milliseconds: number): Promise<Brought> {
    await this.#sim.command("start");
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

  /** A window that has every packet of its traffic, and so no packet that waited for a report. */
  async #timed(milliseconds: number): Promise<Brought> {
    await delay(SETTLE_MS);
    const first = await this.#stats(), start = performance.now();
    await this.#sim.command("start");
    await delay(milliseconds);
    const end = performance.now();
    await this.#rest();
    const last = await this.#stats(), packets = sum(last, "received") - sum(first, "received");
    return { mpps: packets / (end - start) / 1000, latency: latencyBetween(first, last) };
  }

  /**
   * Ends both programs; says what became of all packets.
   *
   * @throws {DeviceError} if a program of this project does not end in good order.
   */
  async finish(): Promise<Balance> {
    const dropped = await this.#endForwarder();
    const totals = this.#sim.line((line) => line.total === true, DEADLINE_MS);
    const [line] = await Promise.all([totals, this.#sim.command("quit")]);
    // A driver that is not ours may break rules of the datasheet, of which the software NIC complains.
    if (this.#kind.ready) await this.#sim.finish(DEADLINE_MS);
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

  /** Ends the forwarder; returns the packets that it says to have dropped. */
  async #endForwarder(): Promise<number> {
    if (!this.#kind.ready) return await this.#forwarder.kill().then(() => 0);
    const totals = this.#kind.counts
      ? this.#forwarder.line((line) => line.total === true, DEADLINE_MS)
      : undefined;
    this.#forwarder.signal("SIGINT");
    const dropped = (await totals)?.ports.reduce((all, port) => all + port.dropped, 0) ?? 0;
    await this.#forwarder.finish(DEADLINE_MS);
    return dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#counter?.[Symbol.dispose]();
    await this.#forwarder[Symbol.asyncDispose]();
    await this.#sim[Symbol.asyncDispose]();
  }
}
