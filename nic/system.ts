/**
 * The machine's network functions, read from the kernel's files: their drivers, their interfaces,
 * and their IOMMU groups. Changes nothing.
 *
 * @module
 */

import { ifReadable, linkName, list, readText } from "../native/files.ts";
import { parsePciAddress } from "../src/pci/address.ts";
import { ETHERNET_CONTROLLER } from "../src/pci/function.ts";
import { hidesInterface, kernelInterfaces } from "../src/pci/sysfs.ts";
import { HARMLESS } from "../src/pci/vfio_group.ts";
import { SystemError, UsageError } from "../src/errors.ts";

/** A kernel interface of a function. */
export interface KernelInterface {
  /** Its name: `eth0`. */
  readonly name: string;
  /** Whether it is up. */
  readonly up: boolean;
  /** Whether it carries a default route, itself or by an interface on top (bridge, bond, VLAN). */
  readonly defaultRoute: boolean;
}

/** Another function of the same IOMMU group. */
export interface Neighbour {
  /** Its address. */
  readonly address: string;
  /** Its kernel driver, or null. */
  readonly driver: string | null;
  /** Whether the driver prevents use of the group from user space. */
  readonly blocks: boolean;
}

/** The IOMMU group of a function. */
export interface IommuGroup {
  /** Its number, as in `/dev/vfio/N`. */
  readonly number: string;
  /** Its type: `DMA` and `DMA-FQ` translate addresses, `identity` does not. Null if unknown. */
  readonly type: string | null;
  /** The other functions of the group. */
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
  /** The kernel driver that it is bound to, or null. */
  readonly driver: string | null;
  /** The only driver that it may be bound to, or null for any. */
  readonly driverOverride: string | null;
  /** Its kernel interfaces. */
  readonly interfaces: readonly KernelInterface[];
  /** Whether it has a kernel interface in another network namespace, which this process cannot see. */
  readonly hidesInterface: boolean;
  /** Its IOMMU group; null if it is not behind an IOMMU. */
  readonly group: IommuGroup | null;
}

/** The PCI functions of a machine. */
export interface Survey {
  /** Those that can be read, ordered by address. */
  readonly functions: readonly FunctionFiles[];
  /** A sentence about each of the others. */
  readonly problems: readonly string[];
}

/** The kernel's files of a machine. */
export class System {
  /** Directory of PCI functions. */
  readonly devices: string;
  readonly #root: string;

  /**
   * Creates a view of a machine's files.
   *
   * @param root Prefix of `/sys`, `/proc` and `/dev`; default: empty, for the real machine.
   */
  constructor(root = "") {
    this.#root = root;
    this.devices = this.file("/sys/bus/pci/devices");
  }

  /** Returns the path of a file of the kernel. */
  file(name: string): string {
    return this.#root + name;
  }

  /** Returns whether a directory has an entry. */
  has(directory: string, entry: string): boolean {
    return list(this.file(directory)).includes(entry);
  }

  /**
   * Reads a file, without white space at its ends.
   *
   * @returns The text, or undefined if the file does not exist or the user may not read it.
   */
  text(name: string): string | undefined {
    return ifReadable(() => readText(this.file(name)));
  }

  /** Returns all Ethernet controllers. One that cannot be read does not hide the others. */
  ethernetFunctions(): Survey {
    const functions: FunctionFiles[] = [], problems: string[] = [];
    if (list(this.file("/sys/bus")).length === 0) {
      problems.push("/sys is not mounted: mount it, in a container with `-v /sys:/sys`");
    }
    for (const address of list(this.devices).sort()) {
      try {
        const found = this.#read(address);
        if (found.class === ETHERNET_CONTROLLER) functions.push(found);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        const gone = !list(this.devices).includes(address); // unplugged since it was listed
        if (!gone) problems.push(`${address}: ${error.message}: see what dmesg says`);
      }
    }
    return { functions, problems };
  }

  /**
   * Returns a function of any class.
   *
   * @param name `0000:03:00.0` or `03:00.0`.
   * @throws {UsageError} if the name has another form, or the function does not exist.
   */
  function(name: string): FunctionFiles {
    const address = parsePciAddress(name);
    if (address === undefined) {
      throw new UsageError(
        `"${name}" is not the address of a PCI function: use one such as 0000:03:00.0, see ` +
          `\`nic.ts list\``,
      );
    }
    const unknown = () => {
      return new UsageError(
        `${address}: no such PCI device: see \`nic.ts list\` for those of this machine`,
      );
    };
    if (!list(this.devices).includes(address)) throw unknown();
    try {
      return this.#read(address);
    } catch (error) {
      if (list(this.devices).includes(address)) throw error;
      throw unknown(); // it was unplugged
    }
  }

  #read(address: string): FunctionFiles {
    const directory = `${this.devices}/${address}`;
    const id = (name: string) => Number(readText(`${directory}/${name}`));
    const override = ifReadable(() => readText(`${directory}/driver_override`)) ?? "";
    return {
      address,
      vendor: id("vendor"),
      device: id("device"),
      class: id("class") >> 8,
      driver: linkName(`${directory}/driver`) ?? null,
      driverOverride: override === "" || override === "(null)" ? null : override,
      interfaces: this.#interfaces(directory),
      hidesInterface: hidesInterface(directory),
      group: this.#group(address),
    };
  }

  #interfaces(directory: string): KernelInterface[] {
    const routes = this.#defaultRoutes();
    return kernelInterfaces(directory).map(({ name, up }) => {
      return { name, up, defaultRoute: this.#withUppers(name).some((each) => routes.has(each)) };
    });
  }

  /** Returns the names of an interface and of all on top of it. */
  #withUppers(name: string, seen: string[] = []): string[] {
    if (seen.includes(name)) return seen;
    seen.push(name);
    for (const entry of list(this.file(`/sys/class/net/${name}`))) {
      if (entry.startsWith("upper_")) this.#withUppers(entry.slice("upper_".length), seen);
    }
    return seen;
  }

  /** Returns the names of the interfaces that carry a default route in this network namespace. */
  #defaultRoutes(): Set<string> {
    const rows = (file: string) =>
      (this.text(file) ?? "").split("\n").map((row) => row.split(/[ \t]+/));
    const zeros = /^0+$/;
    const v4 = rows("/proc/net/route").filter(([, to, , , , , , mask]) => {
      return zeros.test(to) && zeros.test(mask);
    }).map(([name]) => name);
    // The kernel's entry for unreachable addresses is on lo.
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
