/**
 * The software NIC and the forwarder as processes, started, disturbed and ended while packets pass.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { Program, type Result } from "../../programs/process.ts";
import type { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { INLINE_MORE } from "../../sim/v8_flags.ts";
import { Command } from "../../src/pci/function.ts";
import { exists, guardsOf } from "../support/guards.ts";
import { PROJECT } from "../support/processes.ts";
import type { Script } from "../support/vhost_user_backend.ts";
import { Feature } from "../../virtio/features.ts";
import type { WireCounts } from "./ledger.ts";
import { processesWith } from "./watch.ts";

/** PCI addresses of plain ports. */
const ADDRESSES = ["0000:aa:00.0", "0000:bb:00.0"];
/** Milliseconds between two looks, and the longest wait for a process: the machine may be busy. */
const LOOK_MS = 20, SETTLE_MS = 120_000;
/** Characters of each output to keep. */
const KEEP = 65536;

/** Forwarders that the back-end serves. */
const MAX_FORWARDERS = 1000;
/** A back-end with the features that a driver needs, which sends back each packet. */
const LOOP: Script = {
  features: (Feature.VERSION_1 | Feature.MRG_RXBUF).toString(16),
  protocol: "0",
  loop: "straight",
};

/** A kind of forwarder. */
export interface Setup {
  readonly name: string;
  /** Whether the ports are files as in sysfs, used by physical addresses; needs root. */
  readonly plain: boolean;
  /** Whether the second device is a vhost-user back-end that sends back all that it gets. */
  readonly vhost: boolean;
  readonly queues: number;
  readonly workers: number;
  readonly interrupts: boolean;
  /** Whether the forwarder goes on with the next NIC when one is killed. */
  readonly reconnect: boolean;
  /** Entries of each ring. */
  readonly entries: number;
}

/** A line of the software NIC. */
interface SimLine {
  readonly ports: readonly {
    readonly connected: boolean;
    readonly wireStatistics: WireCounts;
    readonly broken: number;
  }[];
}

/** A line of the forwarder. */
interface FwdLine {
  readonly ready?: boolean;
  readonly ports?: readonly { readonly dropped: number }[];
}

/** What the NIC says at one moment. */
export interface Counts {
  readonly wires: readonly WireCounts[];
  /** Violations of the datasheet's rules. */
  readonly broken: number;
}

/** The processes of one phase. A phase has one NIC and one forwarder at a time. */
export class Rig implements AsyncDisposable {
  readonly setup: Setup;
  readonly #wire: string;
  readonly #directory: TemporaryDirectory;
  /** Their directory for temporary files. */
  readonly #temporary: string;
  /** The vhost-user back-end. */
  #backend: Program | undefined;
  #sim: Program | undefined;
  #forwarder: Program | undefined;
  #dropped: readonly number[] = [0, 0];
  #droppedBefore: readonly number[] = [0, 0];
  #droppedAt = 0;

  /**
   * Creates a rig without processes.
   *
   * @param wire The wire of both ports: a generator.
   */
  constructor(setup: Setup, wire: string, directory: TemporaryDirectory) {
    this.setup = setup;
    this.#wire = wire;
    this.#directory = directory;
    this.#temporary = directory.file("tmp");
    Deno.mkdirSync(this.#temporary, { recursive: true });
  }

  /** The software NIC. */
  get sim(): Program {
    return this.#sim!;
  }

  /** The forwarder. */
  get forwarder(): Program {
    return this.#forwarder!;
  }

  /**
   * Packets that the forwarder has dropped instead of sending them to each port, by its last line, since
   * it was started or connected anew.
   */
  get dropped(): readonly number[] {
    const [a, b] = this.#dropped.map((dropped, i) => dropped - this.#droppedBefore[i]);
    return this.setup.vhost ? [a + b] : [a, b];
  }

  /** Milliseconds since the forwarder's last line. */
  get droppedAge(): number {
    return performance.now() - this.#droppedAt;
  }

  /** Starts the software NIC. Its generators wait for `start`. */
  async startSim(): Promise<void> {
    const { vhost } = this.setup;
    if (vhost && this.#backend === undefined) await this.#startBackend();
    const ports = ADDRESSES.slice(0, vhost ? 1 : 2).flatMap((address, i) => {
      if (!this.setup.plain) return ["--socket", this.#socket(i), "--wire", this.#wire];
      Deno.mkdirSync(this.#port(address), { recursive: true });
      return ["--plain", this.#port(address), "--wire", this.#wire];
    });
    const args = ["--json", "--quiet", "--control", ...ports];
    this.#sim = await this.#program("sim/main.ts", [INLINE_MORE], args).ready(SETTLE_MS);
  }

  /** Starts the forwarder, and waits until it forwards. */
  async startForwarder(): Promise<void> {
    const { plain, vhost, queues, workers, interrupts, reconnect, entries } = this.setup;
    const flags = workers > 0 ? [`--allow-read=${PROJECT}`] : [];
    const args = ["--json", `--queues=${queues}`, `--workers=${workers}`];
    if (interrupts) args.push("--interrupts");
    if (reconnect) args.push("--reconnect");
    if (vhost) args.push("--no-touch"); // packets pass twice
    args.push(`--rx-entries=${entries}`, `--tx-entries=${entries}`);
    const devices = ADDRESSES.map((address, i) =>
      plain
        ? address
        : vhost && i === 1
        ? `vhost-user:${this.#socket(i)}`
        : `vfio-user:${this.#socket(i)}`
    );
    this.#dropped = this.#droppedBefore = [0, 0];
    this.#droppedAt = performance.now();
    const onLine = (text: string) => {
      const { ports }: FwdLine = JSON.parse(text);
      if (ports === undefined) return;
      this.#dropped = ports.map(({ dropped }) => dropped);
      this.#droppedAt = performance.now();
    };
    const program = this.#program("fwd.ts", flags, [...args, ...devices], onLine);
    this.#forwarder = await program.ready(SETTLE_MS);
  }

  /** Sends the NIC a command. */
  command(text: string): Promise<void> {
    return this.sim.write(text);
  }

  /** Returns the NIC's counts of this moment. */
  async counts(): Promise<Counts> {
    const { ports } = await this.#ask();
    return {
      wires: ports.map(({ wireStatistics }) => wireStatistics),
      broken: ports.reduce((sum, { broken }) => sum + broken, 0),
    };
  }

  /** Stops the generators, and returns the counts once they no longer change. */
  async settle(): Promise<Counts> {
    await this.command("stop");
    const deadline = performance.now() + SETTLE_MS;
    for (let before = ""; performance.now() < deadline;) {
      const counts = await this.counts(), now = JSON.stringify(counts);
      if (now === before) return counts;
      before = now;
      await delay(LOOK_MS);
    }
    throw new Error(
      `${this.setup.name}: packets still move ${SETTLE_MS} ms after the last was sent`,
    );
  }

  /** Ends the forwarder by a signal, or waits until it has ended; returns how. */
  async endForwarder(signal?: "SIGTERM" | "SIGKILL"): Promise<Result> {
    const guards = guardsOf(this.forwarder.pid);
    if (signal !== undefined) this.forwarder.kill(signal);
    const result = await this.forwarder.finish(SETTLE_MS);
    const { pid } = this.forwarder;
    this.#forwarder = undefined;
    await this.#until(`the guards of process ${pid} to end`, () => {
      return guards.every((guard) => !exists(guard.pid));
    });
    if (!this.sim.ended) await this.#quiet();
    return result;
  }

  /** Kills the NIC, and waits until the forwarder has noticed; returns how it ended. */
  async killSim(): Promise<Result> {
    this.sim.kill("SIGKILL");
    await this.sim.finish(SETTLE_MS);
    return await this.endForwarder();
  }

  /** Kills the NIC, starts another, and waits until the forwarder is connected to it. */
  async replaceSim(): Promise<void> {
    this.sim.kill("SIGKILL");
    await this.sim.finish(SETTLE_MS);
    await this.startSim();
    await this.#until("the forwarder to reconnect", async () => {
      if (this.forwarder.ended) await this.forwarder.fail();
      return (await this.#ask()).ports.every(({ connected }) => connected);
    });
    // Its next line has what it dropped while it had no NIC.
    const started = performance.now();
    await this.#until("the forwarder's next line", () => this.#droppedAt > started);
    this.#droppedBefore = this.#dropped;
  }

  /** Ends the NIC in order. */
  async quitSim(): Promise<void> {
    await this.command("quit");
    await this.sim.finish(SETTLE_MS);
  }

  /** Returns what the NIC has written to its standard error: the violations. */
  messages(): string[] {
    return this.sim.stderr.trim().split("\n");
  }

  /** Returns what the ended processes left: files in their temporary directory, and child processes. */
  leftovers(): string[] {
    const files = [...Deno.readDirSync(this.#temporary)].map(({ name }) => `file ${name}`);
    const sign = `TMPDIR=${this.#temporary}`;
    return [...files, ...processesWith(sign, this.#backend?.pid).map((pid) => `process ${pid}`)];
  }

  /** Ends all processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#forwarder?.[Symbol.asyncDispose](); // the NIC has to outlive it
    await this.#sim?.[Symbol.asyncDispose]();
    await this.#backend?.[Symbol.asyncDispose]();
  }

  /** Starts the back-end, which serves one forwarder after the other. */
  async #startBackend(): Promise<void> {
    const scripts = Array.from({ length: MAX_FORWARDERS }, () => LOOP);
    const args = [this.#socket(1), JSON.stringify(scripts)];
    this.#backend = this.#program("tests/support/vhost_user_backend.ts", [], args);
    await this.#backend.line((line) => line === "ready", SETTLE_MS);
  }

  #socket(i: number): string {
    return this.#directory.file(`${i}.sock`);
  }

  #port(address: string): string {
    return this.#directory.file(`pci/${address}`);
  }

  async #ask(): Promise<SimLine> {
    return await this.sim.ask("stats", ({ ports }: SimLine) => ports !== undefined, SETTLE_MS);
  }

  /** Waits until the NIC knows that no driver uses it: no client, or no bus master. */
  async #quiet(): Promise<void> {
    if (!this.setup.plain) {
      await this.#until("the NIC to notice that its client has ended", async () => {
        return (await this.#ask()).ports.every(({ connected }) => !connected);
      });
      return;
    }
    for (const address of ADDRESSES) {
      const config = Deno.readFileSync(`${this.#port(address)}/config`);
      if ((config[4] & Command.BUS_MASTER) !== 0) {
        throw new Error(`${this.setup.name}: ${address} is still a bus master, without a driver`);
      }
    }
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    while (!await condition()) {
      if (performance.now() > deadline) {
        throw new Error(`${this.setup.name}: waited ${SETTLE_MS} ms for ${what}`);
      }
      await delay(LOOK_MS);
    }
  }

  /**
   * Starts a program, in a session of its own: a Ctrl-C that ends this one must not end it. Where the
   * ports are plain, it runs in a mount namespace in which they are the machine's PCI devices.
   */
  #program(
    program: string,
    flags: readonly string[],
    args: readonly string[],
    onLine?: (line: string) => void,
  ): Program {
    const ffi = ["run", "--quiet", "--no-prompt", "--no-check", "--allow-ffi"];
    const deno = [Deno.execPath(), ...ffi, ...flags, PROJECT + program, ...args];
    const mount = `mount --bind '${this.#directory.file("pci")}' /sys/bus/pci/devices`;
    const mounted = ["unshare", "-m", "sh", "-c", `${mount} && exec "$@"`, "sh"];
    const inside = this.setup.plain && program === "fwd.ts" ? mounted : [];
    return Program.start(["setsid", ...inside, ...deno], {
      name: program,
      env: { TMPDIR: this.#temporary },
      keep: KEEP,
      ...(onLine && { onLine }),
    });
  }
}
