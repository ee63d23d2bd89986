/**
 * A phase of a soak run: one setup, one load, with or without faults.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import type { Result } from "../../programs/process.ts";
import type { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import type { StopFlag } from "../../native/stop.ts";
import type { Random } from "../support/random.ts";
import { DISTURBANCES, type Ending, endings } from "./faults.ts";
import { account, add, type Totals, zero } from "./ledger.ts";
import { type Counts, Rig, type Setup } from "./rig.ts";
import { type Held, held } from "./watch.ts";

/** Flows of each generator, so that they spread over all queues. */
const FLOWS = 64;
/** Bytes of the NIC's packet buffer, and of the shortest frame in it, with CRC. */
const PACKET_BUFFER = 512 * 1024, SHORTEST = 64;
/** The largest batch of the forwarder. */
const BATCH = 32;
/** Packets a second at 10 Gbit/s, of the shortest frames. */
const LINE_RATE = 14_880_953;
/** Milliseconds between two faults: at least, at most. */
const BETWEEN_MS: readonly [number, number] = [20, 600];
/** Milliseconds for packets to drain, and between two looks. */
const DRAIN_MS = 60_000, LOOK_MS = 50;
/** MiB by which a process may grow in a phase: V8 collects its garbage when it likes. */
const MAX_GROWTH = 96;
/** File descriptors by which it may grow: none, but for one that is just being read. */
const MAX_MORE_DESCRIPTORS = 1;

/** What a phase does. */
export interface PhasePlan {
  readonly setup: Setup;
  /** Packets a second in each direction; undefined for 10 Gbit/s. */
  readonly rate: number | undefined;
  readonly faults: boolean;
  readonly seconds: number;
}

/** What a process held at the beginning and at the end. */
export interface Growth {
  readonly name: string;
  readonly first: Held;
  readonly last: Held;
}

/** What a phase found. */
export interface PhaseResult {
  readonly totals: Totals;
  readonly seconds: number;
  /** Faults by name, and how often they happened. */
  readonly faults: Readonly<Record<string, number>>;
  readonly growth: readonly Growth[];
  /** Other defects, one sentence each. */
  readonly complaints: readonly string[];
}

/** Runs a phase. */
export class Phase {
  readonly #plan: PhasePlan;
  readonly #random: Random;
  readonly #stop: StopFlag;
  readonly #rig: Rig;
  readonly #totals = zero();
  readonly #faults: Record<string, number> = {};
  readonly #complaints: string[] = [];
  readonly #first = new Map<string, Held>();
  readonly #last = new Map<string, Held>();
  /** The counts where the accounts of the running forwarder begin. */
  #before!: Counts;

  /** Creates a phase; a set `stop` ends it in order. */
  constructor(
    plan: PhasePlan,
    random: Random,
    stop: StopFlag,
    directory: TemporaryDirectory,
  ) {
    const { rate, setup } = plan;
    this.#plan = plan;
    this.#random = random;
    this.#stop = stop;
    const wire = `generator:flows=${FLOWS}${rate === undefined ? "" : `,rate=${rate}`}`;
    this.#rig = new Rig(setup, wire, directory);
  }

  /**
   * Runs it to its end.
   *
   * @throws {DeviceError} if a program fails, or does not do in time what it should.
   */
  async run(): Promise<PhaseResult> {
    await using rig = this.#rig;
    await this.#start();
    const begun = performance.now(), end = begun + this.#plan.seconds * 1000;
    this.#look();
    while (performance.now() < end && this.#stop.signal === 0) {
      const [least, most] = this.#plan.faults ? BETWEEN_MS : [LOOK_MS, LOOK_MS];
      await delay(Math.min(this.#random.whole(least, most), Math.max(0, end - performance.now())));
      if (rig.forwarder.ended) await rig.forwarder.fail();
      if (this.#plan.faults && performance.now() < end) await this.#fault();
    }
    const seconds = (performance.now() - begun) / 1000;
    this.#look();
    await this.#drain();
    this.#checkEnd(await rig.endForwarder("SIGTERM"), 0);
    this.#account(await rig.counts(), 0);
    await rig.quitSim();
    this.#checkSteady();
    if (this.#totals.violations > 0) this.#complaints.push(...rig.messages());
    const left = rig.leftovers();
    if (left.length > 0) this.#complaints.push(`left behind: ${left.join(", ")}`);
    return {
      ...{ totals: this.#totals, seconds, faults: this.#faults },
      growth: this.#growth(),
      complaints: this.#complaints,
    };
  }

  /** Starts NIC, forwarder and generators. */
  async #start(): Promise<void> {
    await this.#rig.startSim();
    this.#before = await this.#rig.counts();
    await this.#rig.startForwarder();
    await this.#rig.command("start");
  }

  /** One fault, by the seed: most disturb, some end a process. */
  async #fault(): Promise<void> {
    const random = this.#random;
    if (random.whole(0, 3) > 0) {
      const disturbance = random.pick(DISTURBANCES);
      this.#happened(disturbance.name);
      await disturbance.happen(this.#rig, random);
    } else await this.#end(random.pick(endings(this.#plan.setup.plain)));
  }

  /** Ends a process in traffic, accounts for the packets, and starts it again. */
  async #end(ending: Ending): Promise<void> {
    const rig = this.#rig;
    this.#happened(ending);
    this.#look();
    if (ending === "NIC killed") {
      await this.#endSim();
      return;
    }
    const signal = ending === "forwarder killed" ? "SIGKILL" : "SIGTERM";
    const age = signal === "SIGKILL" ? rig.droppedAge : 0;
    const result = await rig.endForwarder(signal);
    if (signal === "SIGTERM") this.#checkEnd(result, 0);
    const counts = await rig.settle();
    this.#account(counts, this.#limit(age));
    // Half of the times, the forwarder starts into traffic.
    const running = this.#random.whole(0, 1) === 1;
    if (running) await rig.command("start");
    await rig.startForwarder();
    if (!running) await rig.command("start");
  }

  /** Kills the NIC, accounts for the packets until shortly before, and starts another. */
  async #endSim(): Promise<void> {
    const rig = this.#rig, age = rig.droppedAge, last = await rig.counts();
    if (this.#plan.setup.reconnect) {
      this.#account(last, this.#limit(age));
      await rig.replaceSim();
      this.#before = await rig.counts();
      await rig.command("start");
      return;
    }
    this.#checkEnd(await rig.killSim(), 1);
    this.#account(last, this.#limit(age));
    await this.#start();
  }

  /**
   * Returns how many packets of each direction may be in flight: those in rings, packet buffer and
   * batch. At line rate, packets that the forwarder has dropped since its last line are unknown too.
   *
   * @param age Milliseconds since that line; 0 if the drops are known.
   */
  #limit(age: number): number {
    const { queues, entries } = this.#plan.setup;
    const rings = queues * (2 * entries + BATCH) + PACKET_BUFFER / SHORTEST;
    return rings + (this.#plan.rate === undefined ? Math.ceil(LINE_RATE * age / 1000) : 0);
  }

  /** Accounts for the forwarder that has ended. */
  #account(after: Counts, limit: number): void {
    const totals = account(this.#before.wires, after.wires, this.#rig.dropped, limit);
    totals.violations = after.broken - this.#before.broken;
    add(this.#totals, totals);
    this.#before = after;
  }

  /** Stops the generators, and waits until every packet is accounted for: after that, it is lost. */
  async #drain(): Promise<void> {
    const deadline = performance.now() + DRAIN_MS;
    await this.#rig.command("stop");
    while (performance.now() < deadline) {
      const { wires } = await this.#rig.counts();
      if (account(this.#before.wires, wires, this.#rig.dropped, 0).lost === 0) return;
      await delay(LOOK_MS); // the forwarder's next line has the last drops
    }
  }

  /** Complains if the forwarder ended with another exit code than expected. */
  #checkEnd({ code, stderr }: Result, expected: number): void {
    if (code === expected) return;
    this.#complaints.push(
      `the forwarder ended with exit code ${code}, not ${expected}: ${stderr.trim()}`,
    );
  }

  /** Complains if packets were not forwarded although nothing was in their way. */
  #checkSteady(): void {
    const { rate, faults } = this.#plan, { missed, dropped } = this.#totals;
    if (rate === undefined || faults || missed + dropped === 0) return;
    this.#complaints.push(
      `${missed} packets missed and ${dropped} dropped without a fault: choose a lower --rate if ` +
        "this machine is busy",
    );
  }

  #happened(name: string): void {
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
  }

  /** Notes what the processes hold. */
  #look(): void {
    for (
      const [name, process] of [["NIC", this.#rig.sim], ["forwarder", this.#rig.forwarder]] as const
    ) {
      const now = held(process.pid);
      if (!this.#first.has(name)) this.#first.set(name, now);
      this.#last.set(name, now);
    }
  }

  /** Returns what the processes held first and last, and complains if that grew. */
  #growth(): Growth[] {
    return [...this.#first].map(([name, first]) => {
      const last = this.#last.get(name)!;
      if (last.rss > first.rss + MAX_GROWTH) {
        this.#complaints.push(`the ${name} grew from ${first.rss} to ${last.rss} MiB`);
      }
      if (last.descriptors > first.descriptors + MAX_MORE_DESCRIPTORS) {
        this.#complaints.push(
          `the ${name} had ${first.descriptors} file descriptors, and then ${last.descriptors}`,
        );
      }
      return { name, first, last };
    });
  }
}
