/**
 * DPDK's testpmd as a process: ports that are vhost-user back-ends, capture files or TAP devices, and
 * packets moved between them. Not a test itself.
 *
 * @module
 */

import { Program, type TemporaryDirectory } from "./processes.ts";

/** Debian's packages of testpmd and its ports; a version follows a `*`. */
export const TESTPMD_PACKAGES: readonly string[] = [
  "dpdk-dev",
  "librte-mempool-ring*",
  "librte-net-pcap*",
  "librte-net-tap*",
  "librte-net-vhost*",
];

/** Deadline for it to start and to end, in milliseconds. */
const START_MS = 30000;

/** Counts of a port, by testpmd: `rx` is what testpmd received. */
export interface TestpmdCounts {
  readonly rx: number;
  readonly tx: number;
}

/** testpmd. Ports have numbers in the order given. */
export class Testpmd implements AsyncDisposable {
  /** The process. */
  readonly program: Program;

  private constructor(program: Program) {
    this.program = program;
  }

  /**
   * Starts it and waits for its ports. It moves packets once it gets the command `start`.
   *
   * @param directory The directory for its files.
   * @param ports Its ports, each as `--vdev` takes it.
   * @param mode How to move packets: `io` swaps them between ports 0 and 1, 2 and 3, …
   * @param queues Queues of each port; packets stay in the queue of their number.
   */
  static async start(
    directory: TemporaryDirectory,
    ports: readonly string[],
    mode = "io",
    queues = 1,
  ): Promise<Testpmd> {
    const memory = ["--no-huge", "-m", "100"];
    // Both threads on one core: the one that moves packets never sleeps, and the test needs the
    // other core.
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

  /** Returns a port that is a vhost-user back-end with a socket at this path. */
  static vhost(index: number, socket: string, queues = 1): string {
    return `net_vhost${index},iface=${socket},queues=${queues}`;
  }

  /** Returns a port that is a vhost-user back-end and connects to the socket at this path. */
  static vhostClient(index: number, socket: string, queues = 1): string {
    return `${Testpmd.vhost(index, socket, queues)},client=1`;
  }

  /** Starts to move packets. */
  async forward(): Promise<void> {
    await this.program.write("start");
    await this.program.line((line) => line.includes("packet forwarding - ports="));
  }

  /** Returns a port's counts. */
  async counts(port: number): Promise<TestpmdCounts> {
    await this.program.write(`show port stats ${port}`);
    const number = async (name: string) => {
      const pattern = new RegExp(`${name}-packets: +(\\d+)`);
      return Number(pattern.exec(await this.program.line((line) => pattern.test(line)))![1]);
    };
    return { rx: await number("RX"), tx: await number("TX") };
  }

  /** Returns the number of packets dropped because the other port had no room. */
  async dropped(): Promise<number> {
    await this.program.write("show fwd stats all");
    await this.program.line((line) => line.includes("Accumulated forward statistics"));
    const pattern = /TX-dropped: +(\d+)/;
    return Number(pattern.exec(await this.program.line((line) => pattern.test(line)))![1]);
  }

  /** Ends it, and waits until it has ended. */
  async quit(): Promise<void> {
    await this.program.write("quit");
    await this.program.finish(START_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}
