/**
 * Access to a PCI function through sysfs: configuration space and BARs are files of the kernel, and DMA
 * uses physical addresses. It needs root and hugepages, and nothing protects memory from the device. If
 * this process is killed, a {@linkcode Guard} turns DMA off.
 *
 * @module
 */

import { Errno, Open, path, stubs, SystemError } from "../../native/stubs.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, makeCalls, UsageError } from "../errors.ts";
import { Command, Config, isPortBar } from "./function.ts";
import { FunctionBase } from "./function_base.ts";
import { FileRegion } from "./file_region.ts";
import { Guard } from "./guard.ts";
import type { MappedBar } from "./mapped_bar.ts";
import { ifReadable, linkName, list, readText, writeText } from "../../native/files.ts";
import { openResource } from "./resource_file.ts";

const DEVICES = "/sys/bus/pci/devices";
const IFF_UP = 1;
/** How long to wait for the lock, which the guard of a killed program holds until DMA is off. */
const LOCK_TRIES = 100, LOCK_PAUSE_MS = 10;

/**
 * Returns the kernel's network interfaces on a function, and whether each is up. They are listed in the
 * function's directory, and in those of child devices, which some drivers create (virtio does). Symbolic
 * links lead to other functions and are skipped.
 *
 * @param directory The function's sysfs directory.
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

/** Locks the open file of a function against other programs; returns whether it succeeds. */
function lock(fd: number): boolean {
  for (let i = 1;; i++) {
    if (stubs.ixy_lock(fd) === 0) return true;
    if (i === LOCK_TRIES) return false;
    stubs.ixy_poll(new Uint8Array(0), 0, LOCK_PAUSE_MS);
  }
}

/** The kernel driver that a function was taken from, and the changes to undo before giving it back. */
interface Taken {
  /** Name of the driver. */
  readonly driver: string;
  /** Whether `claim` enabled the function. */
  readonly enabled: boolean;
  /** Whether `claim` disabled INTx. */
  readonly intx: boolean;
}

/** Options of {@linkcode SysfsFunction}. */
export interface SysfsOptions {
  /** Whether closing returns the function to the kernel driver that it is taken from (default: false). */
  readonly rebind?: boolean | undefined;
  /** Whether a {@linkcode Guard} turns DMA off if this process ends without closing (default: true). */
  readonly guard?: boolean | undefined;
}

/** A PCI function accessed through its files under `/sys/bus/pci/devices`. */
export class SysfsFunction extends FunctionBase {
  readonly addressing = "physical" as const;
  readonly #directory: string;
  readonly #drivers: string;
  readonly #fd: number;
  protected readonly config: FileRegion;
  readonly #options: SysfsOptions;
  #guard: Guard | undefined;
  #taken: Taken | undefined;
  #closed = false;

  /**
   * Opens the function without changing it.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param devices The directory of all functions; `../drivers` beside it lists the drivers.
   * @throws {UsageError} if the function does not exist, is open already, or permission is missing.
   */
  constructor(address: string, devices = DEVICES, options: SysfsOptions = {}) {
    super(address);
    this.#options = options;
    this.#directory = `${devices}/${address}`; // a symbolic link in the real sysfs
    this.#drivers = `${devices}/../drivers`;
    const file = `${this.#directory}/config`;
    const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
    if (fd === -Errno.ENOENT) {
      throw new UsageError(`${address}: no such PCI device: \`lspci -D\` lists the devices`);
    }
    if (fd === -Errno.EACCES || fd === -Errno.EPERM) {
      throw new UsageError(`${address}: no permission to open ${file}: run this as root`);
    }
    if (fd < 0) {
      const cause = new SystemError(`open ${file}`, -fd);
      throw new UsageError(`${address}: ${cause.message}: check that /sys is mounted for writing`, {
        cause,
      });
    }
    this.#fd = fd;
    this.config = new FileRegion(address, file, fd);
    if (!lock(fd)) {
      stubs.ixy_close(fd);
      throw new UsageError(
        `${address}: another program that uses ixy.ts has the device open: end it`,
      );
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
        `${this.address}: devices bound to vfio-pci cannot be used with physical addresses: ` +
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
    const { guard = true } = this.#options;
    if (guard) this.#guard = new Guard(this.address, this.#fd);
    if (driver !== undefined) {
      writeText(`${this.#directory}/driver/unbind`, this.address);
      this.#taken = { driver, enabled: false, intx: false };
    }
    this.#guard?.arm(); // not before: the kernel driver would lose its DMA
    for (const memory of this.mapped) this.#guard?.hold(memory.fd);
    this.claimed = true;
    const enabled = this.#enable();
    if (driver !== undefined) this.#taken = { driver, enabled, intx: false };
    const before = this.claimCommand(Command.IO | Command.MEMORY | Command.INTX_DISABLE);
    const intx = (before & Command.INTX_DISABLE) === 0;
    if (driver !== undefined) this.#taken = { driver, enabled, intx };
  }

  /**
   * Enables a function without a driver: it may be in D3, where every register reads as ones.
   *
   * @returns Whether it was disabled.
   */
  #enable(): boolean {
    const enable = `${this.#directory}/enable`;
    if (ifReadable(() => readText(enable)) !== "0") return false;
    writeText(enable, "1");
    return true;
  }

  /** Returns the names of the function's kernel interfaces that are up. */
  #interfacesUp(): string[] {
    return kernelInterfaces(this.#directory).filter(({ up }) => up).map(({ name }) => name);
  }

  protected openBar(index: number): MappedBar {
    return openResource(this.address, this.#directory, index, isPortBar(this, index));
  }

  protected mapMemory(memory: DmaMemory): void {
    if (!memory.has(this.addressing)) {
      throw new UsageError(
        `${this.address}: the device needs memory with physical addresses, and ${memory.noPhysical}`,
      );
    }
    this.#guard?.hold(memory.fd); // else `claim` does it
  }

  checkAlive(): void {
    // A function that was unplugged reads as ones everywhere.
    if (this.readConfig(Config.VENDOR_ID, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  close(): void {
    if (this.#closed) return;
    const stopped = this.#stopDma();
    this.#closed = true;
    if (stopped) this.#guard?.end(); // before the memory is freed, which the guard holds
    this.closeBars();
    for (const memory of this.mapped) {
      if (!stopped) memory.keep();
      memory.unpin();
    }
    try {
      if (this.#options.rebind && this.#taken) this.#giveBack(this.#taken);
    } finally {
      stubs.ixy_close(this.#fd); // releases the lock too
    }
  }

  /**
   * Turns bus mastering off.
   *
   * @returns Whether it is certainly off. It is not if the function reads as ones, because some faults
   * prevent reads but not the function's writes. The guard tries once more when this process ends.
   */
  #stopDma(): boolean {
    if (!this.claimed) return true;
    this.setBusMaster(false);
    return (this.readConfig(Config.COMMAND, 2) & Command.BUS_MASTER) === 0;
  }

  /** Returns the function to its kernel driver, in the state in which the driver left it. */
  #giveBack({ driver, enabled, intx }: Taken): void {
    try {
      // The kernel driver turns bus mastering on before it resets the device. A device that did not stop
      // in time would then use its old rings again: reset it first.
      if (list(this.#directory).includes("reset")) writeText(`${this.#directory}/reset`, "1");
      if (intx) {
        const command = this.readConfig(Config.COMMAND, 2);
        this.writeConfig(Config.COMMAND, 2, command & ~Command.INTX_DISABLE);
      }
      // The kernel counts enables, and sets up the interrupt only when the count goes from 0 to 1.
      if (enabled) writeText(`${this.#directory}/enable`, "0");
      writeText(`${this.#drivers}/${driver}/bind`, this.address);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new DeviceError(
        this.address,
        `DMA is off, but the kernel driver ${driver} does not take the device back ` +
          `(${error.message}): see what dmesg says, then ` +
          `\`echo ${this.address} > ${this.#drivers}/${driver}/bind\``,
        { cause: error },
      );
    }
  }
}
