/**
 * The two ports to forward between, and how software NIC and forwarder reach them: vfio-user
 * sockets, or ordinary PCI devices in the forwarder's own mount namespace.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { isRoot } from "./machine.ts";

/** How the software NIC serves the ports. */
export type DeviceKind = "vfio-user" | "plain";

/** Two ports that a software NIC can serve, once. */
export interface Devices extends AsyncDisposable {
  /** Their addresses for a forwarder. */
  readonly addresses: readonly [string, string];
  /** Returns the options that make the software NIC serve them. */
  simOptions(wire: string): string[];
  /** Returns the command that starts a forwarder: its own, or one around it. */
  forwarderCommand(command: readonly string[]): string[];
}

/** Where drivers look for PCI devices, and where they look for hugepages. */
const PCI_DEVICES = "/sys/bus/pci/devices", HUGEPAGES = "/mnt/huge";
/** The ports' addresses. */
const PLAIN = ["0000:aa:00.0", "0000:bb:00.0"] as const;
/** Free hugepages that the largest of the family's drivers needs. */
const FREE_HUGEPAGES = 64;

/**
 * Creates ports of one kind.
 *
 * @throws {UsageError} if this machine or this user does not allow it.
 */
export async function makeDevices(kind: DeviceKind): Promise<Devices> {
  if (kind === "vfio-user") return new Sockets(await TemporaryDirectory.make());
  checkPlain();
  // In memory, because the registers are in these files.
  const directory = await TemporaryDirectory.make("/dev/shm");
  for (const address of PLAIN) await Deno.mkdir(directory.file(address));
  return new PlainDirectory(directory);
}

/** Asserts that this process can use physical addresses. */
function checkPlain(): void {
  if (!isRoot()) {
    throw new UsageError("plain devices need physical addresses: run this as root");
  }
  const meminfo = Deno.readTextFileSync("/proc/meminfo");
  const free = Number(/^HugePages_Free:\s+(\d+)$/m.exec(meminfo)?.[1] ?? 0);
  if (free < FREE_HUGEPAGES) {
    throw new UsageError(
      `plain devices need ${FREE_HUGEPAGES} free hugepages, and ${free} are free: reserve them ` +
        "with `echo 256 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages`",
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
