/**
 * DPDK's testpmd in a virtual machine, on boards of the software NIC behind an IOMMU: what the tests
 * of DPDK's driver share. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import type { GuestProgram } from "../../vm/machine.ts";
import { Sim, TemporaryDirectory, until } from "../support/processes.ts";
import { quitBroken } from "../support/violations.ts";
import { FramePeer } from "./frame_peer.ts";
import { Guest } from "./vfio_guest.ts";

/** PCI slot of the first board in the guest; the others follow. */
const FIRST_SLOT = 3;
/** What the guest needs: testpmd, its allocator of buffers, and line-by-line output to a pipe. */
const PROGRAMS = {
  "dpdk-dev": [
    "dpdk-testpmd",
    "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_mempool_ring.so.23.0",
  ],
  coreutils: ["stdbuf", "/usr/libexec/coreutils/libstdbuf.so"],
};
/** The pipe with testpmd's commands. */
const COMMANDS = "/tmp/commands";
/** DPDK refuses to load libraries if anyone can write to their directories. */
const PREPARE = `mkfifo ${COMMANDS}; chmod 755 /; mkdir -p /var/run`;
/** Longest that testpmd may take to start, to end, and for commands, in milliseconds. */
const START_MS = 90000, COMMAND_MS = 90000, FRAMES_MS = 60000;
/** Reads registers: the driver's writes may be on their way until a read of the same NIC ends. */
const READ_REGISTERS = "show port stats all";
/** What testpmd prints if it does not accept a command, or if the driver refuses it. */
const REFUSAL =
  /Bad arguments|Command not found|Ambiguous|Caught|\b[Ii]nvalid\b|\b[Ff]ail(ed)?\b|^Error/m;

/** A kind of board. */
export interface BoardKind {
  readonly name: string;
  readonly deviceId: number;
}

/** A board with a cable, and the other end of the cable. */
export interface Board extends BoardKind {
  /** Number of its port in testpmd. */
  readonly port: number;
  readonly sim: Sim;
  readonly peer: FramePeer;
}

/** What testpmd tells about a received packet. */
export interface Received {
  readonly port: number;
  readonly queue: number;
  readonly length: number;
  /** RSS hash. */
  readonly hash?: number;
  /** VLAN tag that was stripped. */
  readonly vlan?: number;
  /** Packet type by the NIC. */
  readonly kind: string;
  /** Flags without their common prefix: `IP_CKSUM_GOOD`. */
  readonly flags: ReadonlySet<string>;
}

/** A virtual machine with boards, which run until the end of the test. */
export class DpdkGuest implements AsyncDisposable {
  readonly boards: readonly Board[];
  readonly #guest: Guest;
  readonly #owned: AsyncDisposableStack;

  private constructor(boards: readonly Board[], guest: Guest, owned: AsyncDisposableStack) {
    this.boards = boards;
    this.#guest = guest;
    this.#owned = owned;
  }

  /** Starts the boards and the machine, and binds the boards to vfio-pci. */
  static async boot(kinds: readonly BoardKind[]): Promise<DpdkGuest> {
    await using stack = new AsyncDisposableStack();
    const boards: Board[] = [];
    for (const [port, kind] of kinds.entries()) {
      const directory = stack.use(await TemporaryDirectory.make());
      const [near, far] = [directory.file("near"), directory.file("far")];
      const options = ["--doorbells=trap", `--device-id=0x${kind.deviceId.toString(16)}`];
      const sim = stack.use(await Sim.start(directory, [`dgram:${near},${far}`], options));
      const peer = stack.use(new FramePeer(far, near));
      boards.push({ ...kind, port, sim, peer });
    }
    const sockets = boards.flatMap(({ sim }) => sim.addresses);
    const slots = boards.map(({ port }) => FIRST_SLOT + port);
    const guest = stack.use(
      await Guest.boot(vfioUserNics(sockets, slots), { qemu: VFIO_USER_QEMU, programs: PROGRAMS }),
    );
    await guest.bind(...slots.map((slot) => addressOf({ slot })));
    await guest.do(PREPARE);
    return new DpdkGuest(boards, guest, stack.move());
  }

  /**
   * Starts testpmd on all boards, and waits for their links. A board's packets return to it.
   *
   * @param eal Options of DPDK's environment.
   * @param options Options of testpmd.
   */
  async testpmd(eal: readonly string[], options: readonly string[]): Promise<GuestTestpmd> {
    const devices = this.boards.map(({ port }) => `-a ${addressOf({ slot: FIRST_SLOT + port })}`);
    const words = [
      ...["exec", "stdbuf", "-oL", "dpdk-testpmd", "-l", "0,1", "-n", "1", "--in-memory"],
      ...["--log-level=pmd.net.ixgbe.init:debug", ...devices, ...eal],
      ...["--", "-i", "--port-topology=loop", "--no-flush-rx", "--nb-cores=1"],
      ...["--total-num-mbufs=16384", ...options, `<> ${COMMANDS}`],
    ];
    const program = await this.#guest.vm.start(words.join(" "));
    const testpmd = new GuestTestpmd(this.#guest, program, this.boards);
    const line = await program.line((line) => line === "Done", START_MS);
    assertEquals(line, "Done", program.stdout + program.stderr);
    await testpmd.links();
    return testpmd;
  }

  /** Does something with all boards at the same time. */
  each<T>(work: (board: Board) => Promise<T>): Promise<T[]> {
    return Promise.all(this.boards.map(work));
  }

  /** Ends the boards; returns the violated rules of each, without indices of registers. */
  async quit(): Promise<ReadonlySet<string>[]> {
    return await this.each(async ({ sim }) => new Set((await quitBroken(sim)).rules));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** testpmd in the guest. In a command, `PORT` stands for each port: one command becomes several. */
export class GuestTestpmd {
  readonly #guest: Guest;
  readonly #program: GuestProgram;
  readonly #boards: readonly Board[];
  #commands = 0;

  /** Creates it; only {@linkcode DpdkGuest.testpmd} calls this. */
  constructor(guest: Guest, program: GuestProgram, boards: readonly Board[]) {
    this.#guest = guest;
    this.#program = program;
    this.#boards = boards;
  }

  /** What the driver has logged. */
  get log(): string {
    return this.#program.stderr;
  }

  /** Runs commands, which must succeed; returns what testpmd prints. */
  async do(...commands: readonly string[]): Promise<string> {
    // testpmd runs the lines in order, and prints the number of the last ones. Its echo would not do,
    // because an event may interrupt it.
    const numbers = [++this.#commands, ++this.#commands];
    const [done, settled] = numbers.map((n) => [`set txtimes ${n},0`, "show config txtimes"]);
    const own = commands.flatMap((command) => this.#perPort(command));
    const lines = [...own, ...done, READ_REGISTERS, ...settled];
    const { stdout: { length: from }, stderr: { length: complaints } } = this.#program;
    await this.#guest.do(`printf '${lines.map((line) => `${line}\\n`).join("")}' > ${COMMANDS}`);
    const ends = numbers.map((number) => `Interburst gap: ${number}`);
    for (const end of ends) {
      await this.#program.line((line) => line.trimEnd().endsWith(end), COMMAND_MS);
    }
    const output = this.#program.stdout.slice(from).split(ends[0])[0];
    const all = output + this.#program.stderr.slice(complaints);
    assert(!REFUSAL.test(all), `${lines.join("\n")}:\n${all}`);
    return output;
  }

  /** Runs commands while no packets are forwarded. */
  async change(...commands: readonly string[]): Promise<void> {
    await this.do("stop", ...commands, "start");
  }

  /** Runs commands while the ports are stopped; returns what the driver logs. */
  async restart(...commands: readonly string[]): Promise<string> {
    const { length } = this.log;
    await this.do("stop", "port stop all", ...commands, "port start all");
    await this.links();
    await this.do("start");
    return this.log.slice(length);
  }

  /** Waits until the links of some of the ports are up; default: all. */
  async links(ports: number = this.#boards.length): Promise<void> {
    await until("links", async () => {
      const summary = await this.do("show port summary all");
      return (summary.match(/^\d.* up +10 Gbps/gm) ?? []).length === ports;
    }, START_MS);
  }

  /**
   * Sends packets to a board while testpmd prints what it receives.
   *
   * @param wanted Number of packets to wait for.
   * @returns What testpmd has received, in order for each queue.
   */
  async receive(
    { port, peer }: Board,
    frames: readonly Uint8Array[],
    wanted: number = frames.length,
  ): Promise<Received[]> {
    const { length: from } = this.#program.stdout;
    await peer.send(frames);
    let received: Received[] = [];
    const what = () => `${wanted} packets of port ${port}: ${this.#program.stdout.slice(from)}`;
    await until(what, () => {
      const all = receivedPackets(this.#program.stdout.slice(from));
      received = all.filter((packet) => packet.port === port);
      return received.length >= wanted;
    }, FRAMES_MS);
    return received;
  }

  /** Returns counts of a port, by name: of the NIC, or with `xstats` also of the driver. */
  async counts(port: number, kind: "stats" | "xstats" = "stats"): Promise<Record<string, number>> {
    const text = await this.do(`show port ${kind} ${port}`);
    const counts = text.matchAll(/([\w-]+): +(\d+)/g);
    return Object.fromEntries(Array.from(counts, ([, name, count]) => [name, Number(count)]));
  }

  /** Ends it. */
  async quit(): Promise<void> {
    await this.#guest.do(`echo quit > ${COMMANDS}`);
    const { code, stdout, stderr } = await this.#program.finish(START_MS);
    assertEquals(code, 0, stdout + stderr);
  }

  #perPort(command: string): string[] {
    if (!command.includes("PORT")) return [command];
    return this.#boards.map(({ port }) => command.replaceAll("PORT", String(port)));
  }
}

/** Returns the packets that testpmd has printed: see `dump_pkt_burst` in its `util.c`. */
function receivedPackets(text: string): Received[] {
  const packets: Received[] = [];
  let port = -1, queue = -1;
  let line = "";
  for (const next of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    const burst = /port (\d+)\/queue (\d+): received/.exec(next);
    if (burst !== null) [port, queue] = [Number(burst[1]), Number(burst[2])];
    if (next.startsWith("  src=")) line = next;
    if (!next.startsWith("  ol_flags: ")) continue;
    const number = (pattern: RegExp) => {
      const found = pattern.exec(line);
      return found === null ? undefined : Number(found[1]);
    };
    const hash = number(/RSS hash=(0x[0-9a-f]+)/);
    const vlan = number(/ VLAN tci=(0x[0-9a-f]+)/);
    packets.push({
      port,
      queue,
      length: number(/length=(\d+)/)!,
      ...hash === undefined ? {} : { hash },
      ...vlan === undefined ? {} : { vlan },
      kind: /hw ptype: (.*?) +- /.exec(line)?.[1] ?? "",
      flags: new Set(next.slice(12).trim().split(" ").map((flag) => flag.replace(/.*F_RX_/, ""))),
    });
  }
  return packets;
}
