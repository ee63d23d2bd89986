/**
 * The sysfs bus: configuration space and BARs by the kernel's files, DMA by physical addresses. It
 * needs root and hugepages, and nothing stands between the device and memory.
 *
 * @module
 */

import { Errno, Open, path, stubs, SystemError } from "../../native/stubs.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, makeCalls, UsageError } from "../errors.ts";
import { Command, Config, isPortBar } from "./function.ts";
import { FunctionBase } from "./function_base.ts";
import { FileRegion } from "./file_region.ts";
import type { MappedBar } from "./mapped_bar.ts";
import { ifReadable, linkName, list, readText, writeText } from "../../native/files.ts";
import { openResource } from "./resource_file.ts";

const DEVICES = "/sys/bus/pci/devices";
const IFF_UP = 1;

/**
 * The kernel's interfaces on a function, and whether each is up. They are in its directory, or in that of
 * a child device, where the driver makes one (virtio does). Links lead to other functions.
 *
 * @param directory The function's directory.
 */
export function kernelInterfaces(directory: string): { name: string; up: boolean }[] {
  const inside = (name: string) => linkName(`${directory}/${name}`) === undefined;
  return [".", ...list(directory).filter(inside)].flatMap((child) => {
    const net = `${directory}/${child}/net`;
    return list(net).sort().map((name) => {
      return { name, up: (Number(readText(`${net}/${name}/flags`)) & IFF_UP) !== 0 };
    });
  });
}

/** The kernel driver that a function was taken from, and what has to be undone before it has it. */
interface Taken {
  /** Its name. */
  readonly driver: string;
  /** Whether the function was enabled here. */
  readonly enabled: boolean;
  /** Whether INTx was not disabled. */
  readonly intx: boolean;
}

/** A PCI function by its files under `/sys/bus/pci/devices`. */
export class SysfsFunction extends FunctionBase {
  readonly addressing = "physical" as const;
  readonly #directory: string;
  readonly #drivers: string;
  readonly #fd: number;
  protected readonly config: FileRegion;
  readonly #rebind: boolean;
  #taken: Taken | undefined;
  #closed = false;

  /**
   * Opens the function and changes nothing.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param devices Directory that has a directory for each function, beside that of the drivers.
   * @param rebind Whether closing gives the function back to the kernel driver that it is taken from.
   * @throws {UsageError} if there is no such function, it is open already, or root is needed.
   */
  constructor(address: string, devices = DEVICES, rebind = false) {
    super(address);
    this.#rebind = rebind;
    this.#directory = `${devices}/${address}`; // a link, in the kernel's tree
    this.#drivers = `${devices}/../drivers`;
    const file = `${this.#directory}/config`;
    const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
    if (fd === -Errno.ENOENT) {
      throw new UsageError(`${address}: no such PCI device: see \`lspci -D\` for those there are`);
    }
    if (fd === -Errno.EACCES || fd === -Errno.EPERM) {
      throw new UsageError(`${address}: no permission to open ${file}: run this as root`);
    }
    if (fd < 0) {
      const cause = new SystemError(`open ${file}`, -fd);
      throw new UsageError(`${address}: ${cause.message}: is /sys mounted for writing?`, { cause });
    }
    this.#fd = fd;
    this.config = new FileRegion(address, file, fd);
    if (stubs.ixy_lock(fd) < 0) {
      stubs.ixy_close(fd);
      throw new UsageError(`${address}: another program of this kind is using the device: end it`);
    }
  }

  get behindIommu(): boolean {
    const type = ifReadable(() => readText(`${this.#directory}/iommu_group/type`));
    return type !== undefined && type.startsWith("DMA");
  }

  claim(force: boolean): void {
    makeCalls(this.address, () => this.#claim(force));
  }

  #claim(force: boolean): void {
    const driver = linkName(`${this.#directory}/driver`);
    if (driver === "vfio-pci") {
      throw new UsageError(
        `${this.address}: bound to vfio-pci, whose devices are not reached by physical addresses: ` +
          `unbind it with \`echo ${this.address} > ${this.#directory}/driver/unbind\``,
      );
    }
    const up = this.#interfacesUp();
    if (up.length > 0 && !force) {
      throw new UsageError(
        `${this.address}: its kernel interface ${up.join(", ")} is up: take it down with ` +
          `\`ip link set ${up[0]} down\` if nothing needs it, or set \`force\``,
        { option: "force" },
      );
    }
    if (driver !== undefined) {
      writeText(`${this.#directory}/driver/unbind`, this.address);
      this.#taken = { driver, enabled: false, intx: false };
    }
    this.claimed = true;
    const enabled = this.#enable();
    if (driver !== undefined) this.#taken = { driver, enabled, intx: false };
    const before = this.claimCommand(Command.IO | Command.MEMORY | Command.INTX_DISABLE);
    const intx = (before & Command.INTX_DISABLE) === 0;
    if (driver !== undefined) this.#taken = { driver, enabled, intx };
  }

  /**
   * Wakes a function that nobody has: it may sleep in D3, where every register reads as ones.
   *
   * @returns Whether there was something to do.
   */
  #enable(): boolean {
    const enable = `${this.#directory}/enable`;
    if (ifReadable(() => readText(enable)) !== "0") return false;
    writeText(enable, "1");
    return true;
  }

  /** Names of the kernel's interfaces on this function that are up. */
  #interfacesUp(): string[] {
    return kernelInterfaces(this.#directory).filter(({ up }) => up).map(({ name }) => name);
  }

  protected openBar(index: number): MappedBar {
    return openResource(this.address, this.#directory, index, isPortBar(this, index));
  }

  protected mapMemory(memory: DmaMemory): void {
    if (memory.has(this.addressing)) return;
    throw new UsageError(
      `${this.address}: needs memory with physical addresses, and this process has no hugepages ` +
        `or may not see their addresses: run as root after \`echo 256 > /proc/sys/vm/nr_hugepages\``,
    );
  }

  checkAlive(): void {
    // A function that was pulled out reads as ones everywhere.
    if (this.readConfig(Config.VENDOR_ID, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  close(): void {
    if (this.#closed) return;
    if (this.claimed) this.setBusMaster(false);
    this.#closed = true;
    this.closeBars();
    for (const memory of this.mapped) memory.unpin();
    try {
      if (this.#rebind && this.#taken) this.#giveBack(this.#taken);
    } finally {
      stubs.ixy_close(this.#fd); // and with it the lock
    }
  }

  /** Gives the function to the kernel driver that had it, as that has left it. */
  #giveBack({ driver, enabled, intx }: Taken): void {
    try {
      // The driver turns bus mastering on before it resets the device: a ring that one which did not
      // come to rest still has would then be in its reach again.
      if (list(this.#directory).includes("reset")) writeText(`${this.#directory}/reset`, "1");
      if (intx) {
        const command = this.readConfig(Config.COMMAND, 2);
        this.writeConfig(Config.COMMAND, 2, command & ~Command.INTX_DISABLE);
      }
      // The kernel counts, and sets up a function's interrupt when its count goes from 0 to 1 only.
      if (enabled) writeText(`${this.#directory}/enable`, "0");
      writeText(`${this.#drivers}/${driver}/bind`, this.address);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new DeviceError(
        this.address,
        `DMA is off, but the kernel driver ${driver} does not take it back (${error.message}): see ` +
          `what dmesg says, then \`echo ${this.address} > ${this.#drivers}/${driver}/bind\``,
        { cause: error },
      );
    }
  }
}
