/**
 * The two ports to forward between, and how the device and a forwarder reach them: the instrument's ports
 * are PCI devices in the forwarder's own mount namespace, those of the software NIC are vfio-user sockets.
 *
 * @module
 */

import { reserveHugepages } from "../src/dma.ts";
import { UsageError } from "../src/errors.ts";
import { INLINE_MORE } from "../sim/v8_flags.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { ADDRESSES, makePciFiles, makeUioFiles, type Mount } from "./faces.ts";
import { isRoot } from "./machine.ts";
import { type Traffic, wireOf } from "./window.ts";

/** What serves the ports: the instrument (plain PCI devices), or the software NIC. */
export const DEVICE_KINDS = ["instrument", "vfio-user"] as const;
/** The name of what serves the ports. */
export type DeviceKind = typeof DEVICE_KINDS[number];

/** Two ports that a device can serve, once. */
export interface Devices extends AsyncDisposable {
  /** What serves them, in errors. */
  readonly name: string;
  /** Their addresses for a forwarder. */
  readonly addresses: readonly [string, string];
  /** Whether traffic can start before the forwarder, so that its start can be measured. */
  readonly startsEarly: boolean;
  /** Returns the command that serves them. */
  command(traffic: Traffic): string[];
  /** Returns the command that starts a forwarder: its own, or one around it. */
  forwarderCommand(command: readonly string[]): string[];
}

/** Free hugepages that the largest forwarder needs: 16 queues of each port. */
const FREE_HUGEPAGES = 256;
/** Where forwarders look for hugepages. */
const HUGEPAGES = "/mnt/huge";

/**
 * Asserts that this user can use devices of this kind on this machine.
 *
 * @throws {UsageError} otherwise.
 */
export function checkDevices(kind: DeviceKind): void {
  if (kind === "vfio-user") return;
  const instead = "or measure on the software NIC: --device vfio-user";
  if (!isRoot()) {
    throw new UsageError(
      `the instrument needs physical addresses: run this as root, ${instead}`,
    );
  }
  const meminfo = Deno.readTextFileSync("/proc/meminfo");
  const free = Number(/^HugePages_Free:\s+(\d+)$/m.exec(meminfo)?.[1] ?? 0);
  if (free >= FREE_HUGEPAGES) return;
  throw new UsageError(
    `the instrument needs ${FREE_HUGEPAGES} free hugepages, and ${free} are free: reserve them with ` +
      `\`${reserveHugepages(2 * FREE_HUGEPAGES)}\`, ${instead}`,
  );
}

/**
 * Creates ports of one kind.
 *
 * @param program The instrument's program; unused for the software NIC.
 * @param uio Whether the ports look as if they were bound to uio_pci_generic, for DPDK.
 */
export async function makeDevices(
  kind: DeviceKind,
  program: string | undefined,
  uio: boolean,
): Promise<Devices> {
  if (kind === "vfio-user") return new Sockets(await TemporaryDirectory.make());
  // In memory, because the registers are in these files.
  const directory = await TemporaryDirectory.make("/dev/shm");
  const mounts = makePciFiles(directory.path);
  if (uio) mounts.push(...await makeUioFiles(directory.path));
  return new PlainDirectories(directory, program!, mounts);
}

/** Ports of the software NIC on Unix sockets. */
class Sockets implements Devices {
  readonly name = "the software NIC";
  readonly addresses: readonly [string, string];
  readonly startsEarly = false;
  readonly #directory: TemporaryDirectory;
  readonly #paths: readonly [string, string];

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    this.#paths = [directory.file("a.sock"), directory.file("b.sock")];
    this.addresses = [`vfio-user:${this.#paths[0]}`, `vfio-user:${this.#paths[1]}`];
  }

  command(traffic: Traffic): string[] {
    const flags = INLINE_MORE + (traffic.latency ? SELDOM_COLLECT : "");
    const wire = wireOf(traffic);
    return [
      ...[Deno.execPath(), "run", "--quiet", "--allow-ffi", flags, "sim/main.ts"],
      ...["--json", "--quiet", "--control"],
      ...this.#paths.flatMap((path) => ["--socket", path, "--wire", wire]),
    ];
  }

  forwarderCommand(command: readonly string[]): string[] {
    return [...command];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}

/**
 * Flags for measuring latency: the software NIC collects garbage every few seconds instead of every
 * few milliseconds, and in its own thread, because other threads would wait for its core.
 */
const SELDOM_COLLECT = ",--single-threaded-gc,--min-semi-space-size=128,--max-semi-space-size=128";

/** Ports of the instrument: directories like those of sysfs. */
class PlainDirectories implements Devices {
  readonly name = "the instrument";
  readonly addresses = ADDRESSES;
  readonly startsEarly = true;
  readonly #directory: TemporaryDirectory;
  readonly #program: string;
  readonly #mounts: readonly Mount[];

  constructor(directory: TemporaryDirectory, program: string, mounts: readonly Mount[]) {
    this.#directory = directory;
    this.#program = program;
    this.#mounts = mounts;
  }

  command({ size, flows = 1, rate = 0, latency }: Traffic): string[] {
    const ports = ADDRESSES.map((address) => this.#directory.file(`devices/${address}`));
    const numbers = [size, flows, rate / 2, latency ? 1 : 0];
    return [this.#program, ...ports, ...numbers.map(String)];
  }

  /** In a mount namespace of its own the forwarder sees these two devices and no others. */
  forwarderCommand(command: readonly string[]): string[] {
    const script = `mkdir -p ${HUGEPAGES} && mount -t hugetlbfs none ${HUGEPAGES} && ` +
      'while [ "$1" != -- ]; do mount --rbind "$1" "$2" || exit; shift 2; done; shift; exec "$@"';
    const mounts = this.#mounts.flatMap(({ source, target }) => [source, target]);
    return ["unshare", "--mount", "sh", "-c", script, "sh", ...mounts, "--", ...command];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}
