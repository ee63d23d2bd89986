/**
 * The sysfs bus: configuration space and BARs by the kernel's files, DMA by physical addresses. It
 * needs root and hugepages, and nothing stands between the device and memory.
 *
 * @module
 */

import { checkErrno, Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, makeCalls, UsageError } from "../errors.ts";
import {
  type Bar,
  Command,
  Config,
  type Doorbell,
  isPortBar,
  type PciFunction,
  writeBusMaster,
} from "./function.ts";
import { FileRegion } from "./file_region.ts";
import { linkName, list, readText, writeText } from "../../native/files.ts";
import { Window } from "./vfio_regions.ts";

const DEVICES = "/sys/bus/pci/devices";
const O_RDWR = 2;
const IFF_UP = 1;
const CONFIG_BYTES = 256;

/**
 * Where the kernel's interfaces on a function may be: in its directory, or in that of a child device,
 * where the driver makes one (virtio does). Links lead to other functions, and are left out.
 *
 * @param directory The function's directory.
 */
export function netDirectories(directory: string): string[] {
  const inside = (name: string) => linkName(`${directory}/${name}`) === undefined;
  return [".", ...list(directory).filter(inside)].map((child) => `${directory}/${child}/net`);
}

/** A BAR that the kernel lets us map whole: every access is a load or a store. */
class MappedBar implements Bar {
  readonly size: number;
  readonly #window: Window;

  constructor(mapping: Mapping) {
    this.size = mapping.bytes;
    this.#window = new Window(mapping, 0);
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    return this.#window.words[bytes][offset / bytes];
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#window.words[bytes][offset / bytes] = value;
  }

  doorbell(offset: number): Doorbell {
    return { words: this.#window.words[4], index: offset >> 2, write: undefined };
  }

  close(): void {
    this.#window.unmap();
  }
}

/** A BAR of I/O ports: every access is a system call. */
class PortBar extends FileRegion {
  readonly #fd: number;

  constructor(device: string, file: string, fd: number, size: number) {
    super(device, file, fd, size);
    this.#fd = fd;
  }

  close(): void {
    stubs.ixy_close(this.#fd);
  }
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
export class SysfsFunction implements PciFunction {
  readonly address: string;
  readonly addressing = "physical" as const;
  readonly #directory: string;
  readonly #drivers: string;
  readonly #fd: number;
  readonly #config: FileRegion;
  readonly #bars = new Map<number, MappedBar | PortBar>();
  readonly #mapped = new Set<DmaMemory>();
  readonly #rebind: boolean;
  #taken: Taken | undefined;
  #claimed = false;
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
    this.address = address;
    this.#rebind = rebind;
    this.#directory = `${devices}/${address}`; // a link, in the kernel's tree
    this.#drivers = `${devices}/../drivers`;
    const file = `${this.#directory}/config`;
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
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
    this.#config = new FileRegion(address, file, fd, CONFIG_BYTES);
    if (stubs.ixy_lock(fd) < 0) {
      stubs.ixy_close(fd);
      throw new UsageError(`${address}: another program of this kind is using the device: end it`);
    }
  }

  get behindIommu(): boolean {
    const type = `${this.#directory}/iommu_group/type`;
    const known = list(`${this.#directory}/iommu_group`).includes("type");
    return known && makeCalls(this.address, () => readText(type)).startsWith("DMA");
  }

  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    return this.#config.read(offset, bytes);
  }

  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#config.write(offset, bytes, value);
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
    this.#claimed = true;
    const enabled = this.#enable();
    const command = this.readConfig(Config.COMMAND, 2);
    const intx = (command & Command.INTX_DISABLE) === 0;
    if (driver !== undefined) this.#taken = { driver, enabled, intx };
    const on = Command.IO | Command.MEMORY | Command.INTX_DISABLE;
    this.writeConfig(Config.COMMAND, 2, (command | on) & ~Command.BUS_MASTER);
  }

  /**
   * Wakes a function that nobody has: it may sleep in D3, where every register reads as ones.
   *
   * @returns Whether there was something to do.
   */
  #enable(): boolean {
    const enable = `${this.#directory}/enable`;
    if (!list(this.#directory).includes("enable") || readText(enable) !== "0") return false;
    writeText(enable, "1");
    return true;
  }

  /** Names of the kernel's interfaces on this function that are up. */
  #interfacesUp(): string[] {
    return netDirectories(this.#directory).flatMap((net) => {
      return list(net).filter((name) => Number(readText(`${net}/${name}/flags`)) & IFF_UP);
    });
  }

  bar(index: number): Bar {
    let bar = this.#bars.get(index);
    if (!bar) this.#bars.set(index, bar = this.#openBar(index));
    return bar;
  }

  #openBar(index: number): MappedBar | PortBar {
    const file = `${this.#directory}/resource${index}`;
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd === -Errno.ENOENT) throw new DeviceError(this.address, `no BAR ${index}: no ${file}`);
    if (fd < 0) {
      const cause = new SystemError(`open ${file}`, -fd);
      throw new UsageError(`${this.address}: ${cause.message}: is the kernel locked down?`, {
        cause,
      });
    }
    let ports: PortBar | undefined;
    try {
      const size = new Float64Array(1);
      checkErrno(`stat ${file}`, stubs.ixy_size(fd, size));
      if (!isPortBar(this, index)) return new MappedBar(Mapping.file(file, fd, size[0]));
      return ports = new PortBar(this.address, file, fd, size[0]);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new UsageError(
        `${this.address}: ${error.message}: boot with iomem=relaxed, or end what uses the device`,
        { cause: error },
      );
    } finally {
      if (!ports) stubs.ixy_close(fd);
    }
  }

  mapDma(memory: DmaMemory): void {
    if (!memory.has(this.addressing)) {
      throw new UsageError(
        `${this.address}: needs memory with physical addresses, and this process has no hugepages ` +
          `or may not see their addresses: run as root after \`echo 256 > /proc/sys/vm/nr_hugepages\``,
      );
    }
    if (!this.#mapped.has(memory)) memory.pin();
    this.#mapped.add(memory);
  }

  setBusMaster(on: boolean): void {
    writeBusMaster(this, on);
  }

  checkAlive(): void {
    // A function that was pulled out reads as ones everywhere.
    if (this.readConfig(Config.VENDOR_ID, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  close(): void {
    if (this.#closed) return;
    if (this.#claimed) this.setBusMaster(false);
    this.#closed = true;
    for (const bar of this.#bars.values()) bar.close();
    for (const memory of this.#mapped) memory.unpin();
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
