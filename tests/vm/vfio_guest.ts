/**
 * A virtual machine with an IOMMU, for tests of VFIO. Not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { Command } from "../../src/pci/function.ts";
import {
  type GuestProgram,
  type GuestResult,
  Machine,
  type MachineOptions,
} from "../../vm/machine.ts";

/** The forwarder's command line, without the devices. */
export const FORWARD = "deno run --no-prompt --allow-ffi fwd.ts --json";

/** The self-test's command line, without the device. */
const SELFTEST = "deno run --no-prompt --allow-ffi nic.ts selftest --json";
/** Longest time that it may take on an emulated processor, in milliseconds. */
const SELFTEST_MS = 300000;

/** Id of a user other than root. */
export const USER = 1000;

/** A virtual machine with an IOMMU. */
export class Guest implements AsyncDisposable {
  /**
   * Creates a guest.
   *
   * @param vm The machine.
   */
  private constructor(readonly vm: Machine) {}

  /** Boots a machine with these arguments for QEMU, and loads the kernel's modules. */
  static async boot(args: readonly string[], options: MachineOptions = {}): Promise<Guest> {
    const iommu = [
      ...["-machine", "kernel-irqchip=split"],
      ...["-device", "intel-iommu,intremap=on,caching-mode=on"], // before the devices behind it
    ];
    const vm = await Machine.boot({
      ...options,
      machine: "q35",
      arguments: [...iommu, ...args],
      append: "intel_iommu=on",
    });
    const guest = new Guest(vm);
    await guest.do("modprobe vfio_iommu_type1 && modprobe vfio_pci");
    return guest;
  }

  /** Returns a running machine without an IOMMU as a guest; the caller ends the machine. */
  static of(vm: Machine): Guest {
    return new Guest(vm);
  }

  /** Runs a command, which must succeed; returns its output. */
  async do(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.vm.run(command);
    assertEquals(code, 0, `${command}: ${stderr}`);
    return stdout.trim();
  }

  /** Binds functions to vfio-pci, from any driver. */
  async bind(...addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      const device = `/sys/bus/pci/devices/${address}`;
      await this.do(`[ ! -e ${device}/driver ] || echo ${address} > ${device}/driver/unbind`);
      await this.do(`echo vfio-pci > ${device}/driver_override`);
      await this.do(`echo ${address} > /sys/bus/pci/drivers_probe`);
      assertEquals(await this.do(`basename $(readlink ${device}/driver)`), "vfio-pci");
    }
  }

  /** Returns whether bus mastering is on, for each function. */
  async busMasters(...addresses: readonly string[]): Promise<boolean[]> {
    const masters: boolean[] = [];
    for (const address of addresses) {
      const file = `/sys/bus/pci/devices/${address}/config`;
      const command = Number(await this.do(`hexdump -s 4 -n 2 -e '"%d"' ${file}`));
      masters.push((command & Command.BUS_MASTER) !== 0);
    }
    return masters;
  }

  /** Returns the file of a function's IOMMU group. */
  async groupFile(address: string): Promise<string> {
    const link = `/sys/bus/pci/devices/${address}/iommu_group`;
    return `/dev/vfio/${await this.do(`basename $(readlink ${link})`)}`;
  }

  /**
   * Adds a user; returns a function that makes a command run as this user with a memory-lock limit.
   */
  async addUser(): Promise<(command: string, lockKiB: number) => string> {
    const users = `root:x:0:0::/:/bin/sh\\nuser:x:${USER}:${USER}::/tmp:/bin/sh\\n`;
    await this.do(`printf '${users}' > /etc/passwd`);
    return (command, lockKiB) => {
      const settings = `ulimit -l ${lockKiB}; export DENO_DIR=/tmp/user`;
      return `${settings}; exec su user -c 'exec ${command}'`;
    };
  }

  /** Runs the forwarder to its end. */
  forward(a: string, b: string): Promise<GuestResult> {
    return this.vm.run(`${FORWARD} ${a} ${b}`);
  }

  /** Starts the forwarder, by its command line, and waits until it forwards. */
  async startForwarder(command: string): Promise<GuestProgram> {
    const forwarder = await this.vm.start(command);
    const ready = await forwarder.line((line) => line === '{"ready":true}');
    assertEquals(ready, '{"ready":true}', forwarder.stderr);
    return forwarder;
  }

  /** Runs the self-test of a card; returns the number of checks, and those that failed or were skipped. */
  async selftest(
    address: string,
  ): Promise<{ checks: number; failed: string[]; skipped: string[] }> {
    const { code, stdout, stderr } = await this.vm.run(`${SELFTEST} ${address}`, {
      milliseconds: SELFTEST_MS,
    });
    assertEquals(stderr, "");
    const results = JSON.parse(stdout).results as Record<"check" | "verdict" | "detail", string>[];
    const failed = results.filter(({ verdict }) => verdict === "FAILED");
    assertEquals(code, failed.length > 0 ? 1 : 0);
    return {
      checks: results.length,
      failed: failed.map(({ check, detail }) => `${check}: ${detail}`),
      skipped: results.filter(({ verdict }) => verdict === "skipped").map(({ check }) => check),
    };
  }

  /** Ends the machine. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.vm[Symbol.asyncDispose]();
  }
}

/**
 * Ends a forwarder by a signal; asserts its success, and returns its counts of each device.
 *
 * @param said What it has said about links.
 */
export async function stopForwarder(
  forwarder: GuestProgram,
  said: string | RegExp = "",
): Promise<readonly Readonly<Record<string, number>>[]> {
  await forwarder.kill("INT");
  const { code, stdout, stderr } = await forwarder.finish();
  if (typeof said === "string") assertEquals(stderr, said);
  else assertMatch(stderr, said);
  assertEquals(code, 0);
  const { total, ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(total, true);
  return ports;
}
