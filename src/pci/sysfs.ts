/**
 * Access to a PCI function through sysfs: configuration space and BARs are files of the kernel, and DMA
 * uses physical addresses. It needs root and hugepages, and nothing protects memory from the device. If
 * this process is killed, a {@linkcode Guard} turns DMA off.
 *
 * @module
 */

import { spinUntil } from "../../native/clock.ts";
import { Errno, Open, path, stubs, SystemError } from "../../native/stubs.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, makeCalls, UsageError } from "../errors.ts";
import { Command, Config, isPortBar } from "./function.ts";
import { FunctionBase } from "./function_base.ts";
import { FileRegion, READ_ONLY_REMEDY } from "./file_region.ts";
import { Guard } from "./guard.ts";
import type { MappedBar } from "./mapped_bar.ts";
import {
  ifReadable,
  linkName,
  list,
  readText,
  shellWord,
  visible,
  writeText,
} from "../../native/files.ts";
import { openResource } from "./resource_file.ts";

const DEVICES = "/sys/bus/pci/devices";
const IFF_UP = 1;
/** Bytes of configuration space that any user may read: its header. */
const HEADER_BYTES = 64;
/** Milliseconds to wait for the lock, which the guard of a killed program holds until DMA is off. */
const LOCK_MS = 1000;
/** Milliseconds between two attempts to lock. */
const LOCK_PAUSE_MS = 10;
/** What to do about an interface in another network namespace. */
export const HIDDEN_REMEDY =
  "run this in the network namespace of the machine (`nsenter -t 1 -n`, in a container with " +
  "`--network host`)";

/**
 * Returns the directories that list the kernel's network interfaces on a function: in its own directory,
 * and in those of child devices, which some drivers create (virtio does). Symbolic links lead to other
 * functions and are skipped.
 */
function interfaceDirectories(directory: string): string[] {
  const names = list(directory),
    children = names.filter((name) => {
      return linkName(`${directory}/${name}`) === undefined &&
        list(`${directory}/${name}`).includes("net");
    });
  const own = names.includes("net") ? [`${directory}/net`] : [];
  return [...own, ...children.map((child) => `${directory}/${child}/net`)];
}

/**
 * Returns the kernel's network interfaces on a function, and whether each is up.
 *
 * @param directory The function's sysfs directory.
 * @throws {SystemError} if a file of an interface cannot be read.
 */
export function kernelInterfaces(directory: string): { name: string; up: boolean }[] {
  return interfaceDirectories(directory).flatMap((net) => {
    for (;;) {
      const names = list(net).sort();
      try {
        return names.map((name) => {
          return { name, up: (Number(readText(`${net}/${name}/flags`)) & IFF_UP) !== 0 };
        });
      } catch (error) {
        if (names.join("/") === list(net).sort().join("/")) throw error;
        // An interface was renamed or removed in between.
      }
    }
  });
}

/**
 * Returns whether the kernel has an interface on a function in another network namespace, so this process
 * does not see whether it is up. The directory then exists, but is empty: it lists only interfaces of the
 * namespace in which `/sys` was mounted.
 *
 * @param directory The function's sysfs directory.
 */
export function hidesInterface(directory: string): boolean {
  return interfaceDirectories(directory).some((net) => list(net).length === 0);
}

/** Returns the error for a function whose configuration space cannot be opened. */
function cannotOpen(address: string, devices: string, file: string, errno: number): UsageError {
  const cause = new SystemError(`open ${file}`, errno);
  let problem = `${cause.message}: check that /sys is mounted`;
  if (errno === Errno.EACCES || errno === Errno.EPERM) {
    problem = `no permission to open ${file}: run this as root, in a container with ` +
      "`--user 0 --userns host --security-opt apparmor=unconfined`";
  } else if (errno === Errno.EROFS) {
    problem = `${cause.message}: ${READ_ONLY_REMEDY}`;
  } else if (errno === Errno.ENOENT) {
    problem = list(devices).length > 0
      ? "no such PCI device: `lspci -D` lists the devices"
      : `no such PCI device: ${devices} lists none: check that /sys is mounted, in a container with ` +
        "`-v /sys:/sys`";
  }
  return new UsageError(`${address}: ${problem}`, { cause });
}

/** Locks the open file of a function against other programs; returns whether it succeeds. */
function lock(fd: number): boolean {
  return spinUntil(LOCK_MS, () => {
    if (stubs.ixy_lock(fd) === 0) return true;
    stubs.ixy_poll(new Uint8Array(0), 0, LOCK_PAUSE_MS);
    return false;
  });
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
    if (fd < 0) throw cannotOpen(address, devices, file, -fd);
    this.#fd = fd;
    this.config = new FileRegion(address, file, fd);
    if (stubs.ixy_pread(fd, new Uint8Array(1), 1, HEADER_BYTES) === 0) {
      stubs.ixy_close(fd);
      throw new UsageError(
        `${address}: the kernel shows this process only the header of its configuration space: run this as ` +
          "root with CAP_SYS_ADMIN, in a container with `--cap-add SYS_ADMIN`",
      );
    }
    using opened = new DisposableStack();
    opened.defer(() => stubs.ixy_close(fd));
    if (!lock(fd)) {
      throw new UsageError(
        `${address}: another program that uses ixy.ts has the device open: end it`,
      );
    }
    opened.move();
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
        `${this.address}: its kernel interface ${
          visible(up.join(", "))
        } is up: take it down with ` +
          `\`ip link set ${shellWord(up[0])} down\` if nothing needs it, or set \`force\``,
        { option: "force" },
      );
    }
    if (up.length === 0 && hidesInterface(this.#directory) && !force) {
      throw new UsageError(
        `${this.address}: its kernel interface is in another network namespace, so this process does not ` +
          `see whether it is up: ${HIDDEN_REMEDY}, or set \`force\``,
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
    memory.checkPhysical(this.address); // the kernel may have moved it since it was allocated
    this.#guard?.hold(memory.fd); // else `claim` does it
  }

  /** @throws {DeviceError} if bus mastering is to be turned on, and memory has moved. */
  override setBusMaster(on: boolean): void {
    if (on) { for (const memory of this.mapped) memory.checkPhysical(this.address); }
    super.setBusMaster(on);
  }

  checkAlive(): void {
    // A function that was unplugged reads as ones everywhere.
    if (this.readConfig(Config.VENDOR_ID, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
    this.#guard?.checkAlive();
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
