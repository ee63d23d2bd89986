/**
 * DPDK's testpmd as a process: ports that are vhost-user back-ends, capture files or TAP devices, and
 * packets moved between them. Not a test itself.
 *
 * @module
 */

import { Program, type TemporaryDirectory } from "./processes.ts";

/** What Debian calls the packages that testpmd and its ports come in; a version follows a `*`. */
export const TESTPMD_PACKAGES: readonly string[] = [
  "dpdk-dev",
  "librte-mempool-ring*",
  "librte-net-pcap*",
  "librte-net-tap*",
  "librte-net-vhost*",
];

/** How long it may take to start and to end, in milliseconds. */
const START_MS = 30000;

/** Counts of a port, as testpmd sees them: `rx` is what it has received. */
export interface TestpmdCounts {
  readonly rx: number;
  readonly tx: number;
}

/** testpmd. The ports are numbered in the order in which they are named. */
export class Testpmd implements AsyncDisposable {
  /** The process. */
  readonly program: Program;

  private constructor(program: Program) {
    this.program = program;
  }

  /**
   * Starts it and waits for its ports. Packets are moved once it gets the command `start`.
   *
   * @param directory Where its own files are to be.
   * @param ports A port each, as `--vdev` takes it.
   * @param mode How packets are moved: `io` swaps them between ports 0 and 1, 2 and 3, …
   * @param queues Queues of each port; packets stay in the queue of their number.
   */
  static async start(
    directory: TemporaryDirectory,
    ports: readonly string[],
    mode = "io",
    queues = 1,
  ): Promise<Testpmd> {
    const memory = ["--no-huge", "-m", "100"];
    // Both threads on one processor: the one that moves packets never rests, and we need the other.
    const processors = ["--lcores", "0@0,1@0", "-n", "1"];
    const devices = ["--no-pci", ...ports.flatMap((port) => ["--vdev", port])];
    const options = ["--no-numa", "--no-flush-rx", "--total-num-mbufs=8192"];
    const program = Program.start([
      "stdbuf",
      "-oL",
      "dpdk-testpmd",
      ...[...processors, ...memory, ...devices],
      ...["--", "-i", ...options, `--forward-mode=${mode}`, `--rxq=${queues}`, `--txq=${queues}`],
    ], { env: { RUNTIME_DIRECTORY: directory.path } });
    const testpmd = new Testpmd(program);
    try {
      await program.line((line) => line === "Done", START_MS);
    } catch (error) {
      await testpmd[Symbol.asyncDispose]();
      throw error;
    }
    return testpmd;
  }

  /** A port that is a vhost-user back-end with a socket of this path. */
  static vhost(index: number, socket: string, queues = 1): string {
    return `net_vhost${index},iface=${socket},queues=${queues}`;
  }

  /** Has it move packets. */
  async forward(): Promise<void> {
    await this.program.write("start");
    await this.program.line((line) => line.includes("packet forwarding - ports="));
  }

  /** Asks for a port's counts. */
  async counts(port: number): Promise<TestpmdCounts> {
    await this.program.write(`show port stats ${port}`);
    const number = async (name: string) => {
      const pattern = new RegExp(`${name}-packets: +(\\d+)`);
      return Number(pattern.exec(await this.program.line((line) => pattern.test(line)))![1]);
    };
    return { rx: await number("RX"), tx: await number("TX") };
  }

  /** Asks how many packets it has dropped, since the port that they were to go to had no room. */
  async dropped(): Promise<number> {
    await this.program.write("show fwd stats all");
    await this.program.line((line) => line.includes("Accumulated forward statistics"));
    const pattern = /TX-dropped: +(\d+)/;
    return Number(pattern.exec(await this.program.line((line) => pattern.test(line)))![1]);
  }

  /** Ends it, and waits for its end. */
  async quit(): Promise<void> {
    await this.program.write("quit");
    await this.program.finish(START_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}
