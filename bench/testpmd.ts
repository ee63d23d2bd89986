/**
 * DPDK's testpmd as a process that the bench measures: as a vhost-user back-end that counts packets,
 * or as the front-end to compare with.
 *
 * @module
 */

import { Program } from "../programs/process.ts";

/** Deadline for an answer of testpmd, in milliseconds. */
const DEADLINE_MS = 30000;

/** Packets of a testpmd's port, at a time in milliseconds. */
export interface Counts {
  readonly rx: number;
  readonly tx: number;
  readonly time: number;
}

/** A testpmd with one port: it reads commands on core 0 and moves packets on the core given. */
export class Testpmd implements AsyncDisposable {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /**
   * Starts it and waits for its port.
   *
   * @param name Its name among those in the same directory.
   * @param directory The directory for its files.
   * @param vdev The port, as `--vdev` takes it.
   * @param mode How it moves packets, as `--forward-mode` takes it.
   * @throws {DeviceError} if it does not start in time.
   */
  static async start(
    name: string,
    directory: string,
    core: number,
    vdev: string,
    mode: string,
  ): Promise<Testpmd> {
    const program = Program.start([
      ...["stdbuf", "-oL", "dpdk-testpmd", "--lcores", `0@0,1@${core}`, "--no-pci", "-n", "1"],
      ...["--no-huge", "-m", "200", `--file-prefix=${name}`, "--single-file-segments"],
      ...["--vdev", vdev, "--", "-i", "--no-numa", "--total-num-mbufs=16384"],
      `--forward-mode=${mode}`,
    ], { name: "testpmd", env: { RUNTIME_DIRECTORY: directory }, signals: true });
    try {
      await program.line((line) => line.startsWith("Done"), DEADLINE_MS);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return new Testpmd(program);
  }

  /** Gives it a command. */
  async command(text: string): Promise<void> {
    await this.#program.write(text);
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#program.kill(signal);
  }

  /** Returns the packets that its port has received and transmitted. */
  async counts(): Promise<Counts> {
    await this.command("show port stats 0");
    const rx = await this.#number(/RX-packets: +(\d+)/),
      tx = await this.#number(/TX-packets: +(\d+)/);
    return { rx, tx, time: performance.now() };
  }

  async #number(pattern: RegExp): Promise<number> {
    const line = await this.#program.line((line) => pattern.test(line), DEADLINE_MS);
    return Number(pattern.exec(line)![1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using program = this.#program;
    if (program.ended) return;
    await program.write("quit");
    await program.finish(DEADLINE_MS);
  }
}
