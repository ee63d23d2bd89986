/**
 * The two ports between which is forwarded, and how software NIC and forwarder come to them: by
 * vfio-user sockets, or as ordinary PCI devices in a mount namespace of the forwarder's own.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { isRoot } from "./machine.ts";

/** How the ports are served. */
export type DeviceKind = "vfio-user" | "plain";

/** Two ports that a software NIC can serve, once. */
export interface Devices extends AsyncDisposable {
  /** What a forwarder calls them. */
  readonly addresses: readonly [string, string];
  /** What tells the software NIC to serve them. */
  simOptions(wire: string): string[];
  /** What starts a forwarder: its own command, or one around it. */
  forwarderCommand(command: readonly string[]): string[];
}

/** Where drivers look for PCI devices, and where they look for hugepages. */
const PCI_DEVICES = "/sys/bus/pci/devices", HUGEPAGES = "/mnt/huge";
/** The ports' addresses there. */
const PLAIN = ["0000:aa:00.0", "0000:bb:00.0"] as const;
/** Hugepages that have to be free: the larger one of the family's drivers takes so many. */
const FREE_HUGEPAGES = 64;

/**
 * Makes ports of one kind.
 *
 * @throws {UsageError} if this machine, or this user, cannot have them.
 */
export async function makeDevices(kind: DeviceKind): Promise<Devices> {
  if (kind === "vfio-user") return new Sockets(await TemporaryDirectory.make());
  checkPlain();
  // In memory: the registers are in these files.
  const directory = await TemporaryDirectory.make("/dev/shm");
  for (const address of PLAIN) await Deno.mkdir(directory.file(address));
  return new PlainDirectory(directory);
}

/** Plain devices need what drivers with physical addresses need. */
function checkPlain(): void {
  if (!isRoot()) {
    throw new UsageError("plain devices are reached by physical addresses: run this as root");
  }
  const meminfo = Deno.readTextFileSync("/proc/meminfo");
  const free = Number(/^HugePages_Free:\s+(\d+)$/m.exec(meminfo)?.[1] ?? 0);
  if (free < FREE_HUGEPAGES) {
    throw new UsageError(
      `plain devices need ${FREE_HUGEPAGES} free hugepages, and there are ${free}: reserve them ` +
        "with `echo 256 > /proc/sys/vm/nr_hugepages`",
    );
  }
}

/** Ports on Unix sockets. */
class Sockets implements Devices {
  readonly addresses: readonly [string, string];
  readonly #directory: TemporaryDirectory;
  readonly #paths: readonly [string, string];

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    this.#paths = [directory.file("a.sock"), directory.file("b.sock")];
    this.addresses = [`vfio-user:${this.#paths[0]}`, `vfio-user:${this.#paths[1]}`];
  }

  simOptions(wire: string): string[] {
    return this.#paths.flatMap((path) => ["--socket", path, "--wire", wire]);
  }

  forwarderCommand(command: readonly string[]): string[] {
    return [...command];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}

/** Ports as directories like those of sysfs. */
class PlainDirectory implements Devices {
  readonly addresses = PLAIN;
  readonly #directory: TemporaryDirectory;

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  simOptions(wire: string): string[] {
    const paths = PLAIN.map((address) => this.#directory.file(address));
    return paths.flatMap((path) => ["--plain", path, "--wire", wire]);
  }

  /** In a mount namespace of its own the forwarder sees these two devices and no others. */
  forwarderCommand(command: readonly string[]): string[] {
    const script = `mount --bind "$1" ${PCI_DEVICES} && mkdir -p ${HUGEPAGES} && ` +
      `mount -t hugetlbfs none ${HUGEPAGES} && shift && exec "$@"`;
    return ["unshare", "--mount", "sh", "-c", script, "sh", this.#directory.path, ...command];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}
