/**
 * The NIC model as ordinary PCI devices, for tests that drive it by physical addresses. Needs root. The
 * programs run in mount namespaces that contain the devices. Not a test itself.
 *
 * @module
 */

import { Hugepages } from "./hugepages.ts";
import { ffiOnly, isRoot, Program, Sim, TemporaryDirectory, until } from "./processes.ts";

/** PCI addresses of the ports. */
export const ADDRESSES = ["0000:aa:00.0", "0000:bb:00.0"];
/** More hugepages than forwarder and model need together. */
const PAGES = 32;

/** The NIC model with two plain ports. */
export class Plain implements AsyncDisposable {
  /** The model. */
  readonly sim: Sim;
  readonly #directory: TemporaryDirectory;

  private constructor(sim: Sim, directory: TemporaryDirectory) {
    this.sim = sim;
    this.#directory = directory;
  }

  /** Starts it; both ports have the same wire. */
  static async start(directory: TemporaryDirectory, wire: string): Promise<Plain> {
    const ports = ADDRESSES.flatMap((address) => {
      Deno.mkdirSync(directory.file(`pci/${address}`), { recursive: true });
      return ["--plain", directory.file(`pci/${address}`), "--wire", wire];
    });
    return new Plain(await Sim.start(directory, [], ports), directory);
  }

  /** Runs a program in a namespace with the ports as PCI devices. */
  program(command: readonly string[]): Program {
    const mount = `mount --bind '${this.#directory.file("pci")}' /sys/bus/pci/devices`;
    return Program.start(["unshare", "-m", "sh", "-c", `${mount} && exec "$@"`, "sh", ...command]);
  }

  /** Starts the forwarder between the ports, and waits until it forwards. */
  forwarder(...options: string[]): Promise<Program> {
    return this.program(ffiOnly("fwd.ts", ["--json", ...options, ...ADDRESSES])).ready();
  }

  /** Waits until this number of further frames has come back from each port. */
  async forwards(frames: number): Promise<void> {
    const counts = async () =>
      (await this.sim.report()).ports.map((port) => port.wireStatistics.received);
    const before = await counts();
    await until(`${frames} frames`, async () => {
      return (await counts()).every((count, i) => count >= before[i] + frames);
    });
  }

  /** Ends the model, and makes the ports read as ones, as cards do that were pulled out. */
  async remove(): Promise<void> {
    this.sim.program.kill("SIGKILL");
    await this.sim.program.finish();
    for (const address of ADDRESSES) {
      for (const name of ["resource0", "config"]) {
        const file = this.#directory.file(`pci/${address}/${name}`);
        using opened = Deno.openSync(file, { write: true }); // it keeps its size: programs map it
        opened.writeSync(new Uint8Array(Deno.statSync(file).size).fill(0xff));
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.sim[Symbol.asyncDispose]();
  }
}

/** Defines a test as root, with hugepages and a directory. */
export function plainTest(name: string, test: (directory: TemporaryDirectory) => Promise<void>) {
  Deno.test({
    name,
    ignore: !isRoot,
    async fn() {
      await using directory = await TemporaryDirectory.make();
      using _pages = new Hugepages(PAGES);
      await test(directory);
    },
  });
}
