/**
 * What the kernel says of the machine's network functions, read from its files: who drives them, which
 * interfaces they have, and what shares their IOMMU group. Changes nothing.
 *
 * @module
 */

import { ifReadable, linkName, list, readText } from "../native/files.ts";
import { parsePciAddress } from "../src/pci/address.ts";
import { ETHERNET_CONTROLLER } from "../src/pci/function.ts";
import { kernelInterfaces } from "../src/pci/sysfs.ts";
import { HARMLESS } from "../src/pci/vfio_group.ts";
import { UsageError } from "../src/errors.ts";

/** An interface of the kernel on a function. */
export interface KernelInterface {
  /** Its name: `eth0`. */
  readonly name: string;
  /** Whether it is up. */
  readonly up: boolean;
  /** Whether a default route leads through it, or through one on top of it (bridge, bond, VLAN). */
  readonly defaultRoute: boolean;
}

/** Another function of the same IOMMU group. */
export interface Neighbour {
  /** Its address. */
  readonly address: string;
  /** Its kernel driver, or null. */
  readonly driver: string | null;
  /** Whether that driver keeps the group from user space. */
  readonly blocks: boolean;
}

/** An IOMMU group, as one of its functions sees it. */
export interface IommuGroup {
  /** Its number, as in `/dev/vfio/N`. */
  readonly number: string;
  /** What the kernel uses it for: `DMA` and `DMA-FQ` translate addresses, `identity` does not. */
  readonly type: string | null;
  /** Who else is in it. */
  readonly others: readonly Neighbour[];
}

/** A PCI function. */
export interface FunctionFiles {
  /** Domain, bus, device and function: `0000:03:00.0`. */
  readonly address: string;
  /** PCI vendor id. */
  readonly vendor: number;
  /** PCI device id. */
  readonly device: number;
  /** Base class and sub-class: 0x0200 for Ethernet controllers. */
  readonly class: number;
  /** The kernel driver that has it, or null. */
  readonly driver: string | null;
  /** The one driver that it may be given to, or null for any. */
  readonly driverOverride: string | null;
  /** The kernel's interfaces on it. */
  readonly interfaces: readonly KernelInterface[];
  /** Its IOMMU group; null if no IOMMU stands before it. */
  readonly group: IommuGroup | null;
}

/** The kernel's files of a machine. */
export class System {
  /** Directory of PCI functions. */
  readonly devices: string;
  readonly #root: string;

  /** @param root What stands before `/sys`, `/proc` and `/dev`; nothing on a real machine. */
  constructor(root = "") {
    this.#root = root;
    this.devices = this.file("/sys/bus/pci/devices");
  }

  /** Where a file of the kernel is. */
  file(name: string): string {
    return this.#root + name;
  }

  /** Whether a directory has such an entry. */
  has(directory: string, entry: string): boolean {
    return list(this.file(directory)).includes(entry);
  }

  /**
   * The text of a file, without white space at its ends.
   *
   * @returns Undefined if there is no such file, or this user may not read it.
   */
  text(name: string): string | undefined {
    return ifReadable(() => readText(this.file(name)));
  }

  /** Every Ethernet controller, in the order of their addresses. */
  ethernetFunctions(): FunctionFiles[] {
    return list(this.devices).sort().map((address) => this.#read(address))
      .filter((found) => found.class === ETHERNET_CONTROLLER);
  }

  /**
   * One function of any class.
   *
   * @param name `0000:03:00.0` or `03:00.0`.
   * @throws {UsageError} if the name has no such form, or there is no such function.
   */
  function(name: string): FunctionFiles {
    const address = parsePciAddress(name);
    if (address === undefined) {
      throw new UsageError(
        `"${name}" is no address of a PCI function: use 0000:03:00.0, as \`nic.ts list\` shows it`,
      );
    }
    if (!list(this.devices).includes(address)) {
      throw new UsageError(
        `${address}: no such PCI device: see \`nic.ts list\` for those there are`,
      );
    }
    return this.#read(address);
  }

  #read(address: string): FunctionFiles {
    const directory = `${this.devices}/${address}`;
    const id = (name: string) => Number(readText(`${directory}/${name}`));
    // Kernels older than the file driver_override do not matter here: it came with 3.16.
    const override = readText(`${directory}/driver_override`);
    return {
      address,
      vendor: id("vendor"),
      device: id("device"),
      class: id("class") >> 8,
      driver: linkName(`${directory}/driver`) ?? null,
      driverOverride: override === "" || override === "(null)" ? null : override,
      interfaces: this.#interfaces(directory),
      group: this.#group(address),
    };
  }

  #interfaces(directory: string): KernelInterface[] {
    const routes = this.#defaultRoutes();
    return kernelInterfaces(directory).map(({ name, up }) => {
      return { name, up, defaultRoute: this.#withUppers(name).some((each) => routes.has(each)) };
    });
  }

  /** An interface and all that stand on it. */
  #withUppers(name: string, seen: string[] = []): string[] {
    if (seen.includes(name)) return seen;
    seen.push(name);
    for (const entry of list(this.file(`/sys/class/net/${name}`))) {
      if (entry.startsWith("upper_")) this.#withUppers(entry.slice("upper_".length), seen);
    }
    return seen;
  }

  /** Interfaces that a default route of this network namespace leads through. */
  #defaultRoutes(): Set<string> {
    const rows = (file: string) =>
      (this.text(file) ?? "").split("\n").map((row) => row.split(/\s+/));
    const zeros = /^0+$/;
    const v4 = rows("/proc/net/route").filter(([, to, , , , , , mask]) => {
      return zeros.test(to) && zeros.test(mask);
    }).map(([name]) => name);
    // The kernel's own entry for what has no route stands on lo.
    const v6 = rows("/proc/net/ipv6_route").filter(([to, bits]) => zeros.test(to) && bits === "00")
      .map((row) => row[9]).filter((name) => name !== "lo");
    return new Set([...v4, ...v6]);
  }

  #group(address: string): IommuGroup | null {
    const directory = `${this.devices}/${address}/iommu_group`;
    const number = linkName(directory);
    if (number === undefined) return null;
    const type = ifReadable(() => readText(`${directory}/type`)) ?? null;
    const members = list(this.file(`/sys/kernel/iommu_groups/${number}/devices`)).sort();
    const others = members.filter((member) => member !== address).map((member) => {
      const driver = linkName(`${this.devices}/${member}/driver`) ?? null;
      return { address: member, driver, blocks: driver !== null && !HARMLESS.includes(driver) };
    });
    return { number, type, others };
  }
}
