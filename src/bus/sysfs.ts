/**
 * The sysfs bus: configuration space and BARs by the kernel's files, DMA by physical addresses. It
 * needs root and hugepages, and nothing stands between the device and memory.
 *
 * @module
 */

import { check, Errno, Mapping, path, stubs, SystemError } from "../../native/native.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, UsageError } from "../errors.ts";
import { type Bar, type Bus, Command, Config, type Doorbell, writeBusMaster } from "./bus.ts";
import { linkName, list, readText, writeText } from "./files.ts";

const DEVICES = "/sys/bus/pci/devices";
const O_RDWR = 2;
const IFF_UP = 1;

/** A BAR that the kernel lets us map whole: every access is a load or a store. */
class MappedBar implements Bar {
  readonly size: number;
  readonly #mapping: Mapping;
  readonly #words: Uint32Array;

  constructor(mapping: Mapping) {
    this.size = mapping.bytes;
    this.#mapping = mapping;
    this.#words = new Uint32Array(mapping.buffer);
  }

  read32(offset: number): number {
    return this.#words[offset >> 2];
  }

  write32(offset: number, value: number): void {
    this.#words[offset >> 2] = value;
  }

  doorbell(offset: number): Doorbell {
    return { words: this.#words, index: offset >> 2, ring: undefined };
  }

  unmap(): void {
    this.#mapping.unmap();
  }
}

/** A PCI function by its files under `/sys/bus/pci/devices`. */
export class SysfsBus implements Bus {
  readonly address: string;
  readonly addressing = "physical" as const;
  readonly #directory: string;
  readonly #config: number;
  readonly #bars = new Map<number, MappedBar>();
  readonly #mapped = new Set<DmaMemory>();
  #claimed = false;
  #closed = false;

  /**
   * Opens the function and changes nothing.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param devices Directory that has a directory for each function.
   * @throws {UsageError} if there is no such function, it is open already, or root is needed.
   */
  constructor(address: string, devices = DEVICES) {
    this.address = address;
    this.#directory = `${devices}/${address}`;
    const file = `${this.#directory}/config`;
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd === -Errno.ENOENT) {
      throw new UsageError(`${address}: no such PCI device: see \`lspci -D\` for those there are`);
    }
    if (fd === -Errno.EACCES || fd === -Errno.EPERM) {
      throw new UsageError(`${address}: no permission to open ${file}: run this as root`);
    }
    this.#config = check(`open ${file}`, fd);
    if (stubs.ixy_lock(fd) < 0) {
      stubs.ixy_close(fd);
      throw new UsageError(`${address}: another program of this kind is using the device: end it`);
    }
  }

  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    const view = new DataView(new ArrayBuffer(4));
    const what = `read ${this.#directory}/config`;
    const n = check(what, stubs.ixy_pread(this.#config, view, bytes, offset));
    if (n !== bytes) throw new DeviceError(this.address, `${what} at ${offset}: ${n} of ${bytes}`);
    return view.getUint32(0, true);
  }

  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, value, true);
    const what = `write ${this.#directory}/config`;
    const n = check(what, stubs.ixy_pwrite(this.#config, view, bytes, offset));
    if (n !== bytes) throw new DeviceError(this.address, `${what} at ${offset}: ${n} of ${bytes}`);
  }

  claim(force: boolean): void {
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
          `\`ip link set ${up[0]} down\` if nothing needs it, or use --force`,
      );
    }
    if (driver !== undefined) writeText(`${this.#directory}/driver/unbind`, this.address);
    this.#claimed = true;
    // A function without a driver may sleep in D3, where every register reads as ones.
    const enable = `${this.#directory}/enable`;
    if (list(this.#directory).includes("enable") && readText(enable) === "0") {
      writeText(enable, "1");
    }
    const command = this.readConfig(Config.COMMAND, 2);
    this.writeConfig(Config.COMMAND, 2, (command | Command.MEMORY) & ~Command.BUS_MASTER);
  }

  /** Names of the kernel's interfaces on this function that are up. */
  #interfacesUp(): string[] {
    return list(`${this.#directory}/net`).filter((name) =>
      (Number(readText(`${this.#directory}/net/${name}/flags`)) & IFF_UP) !== 0
    );
  }

  bar(index: number): Bar {
    let bar = this.#bars.get(index);
    if (!bar) this.#bars.set(index, bar = new MappedBar(this.#mapBar(index)));
    return bar;
  }

  #mapBar(index: number): Mapping {
    const file = `${this.#directory}/resource${index}`;
    const fd = stubs.ixy_open(path(file), O_RDWR, 0);
    if (fd < 0) {
      const { message } = new SystemError(`open ${file}`, -fd);
      throw new DeviceError(this.address, `${message}: is the kernel locked down?`);
    }
    try {
      const size = new Float64Array(1);
      check(`stat ${file}`, stubs.ixy_size(fd, size));
      return Mapping.file(file, fd, size[0]);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new DeviceError(
        this.address,
        `${error.message}: boot with iomem=relaxed, or end what uses the device`,
      );
    } finally {
      stubs.ixy_close(fd);
    }
  }

  mapDma(memory: DmaMemory): void {
    if (!memory.has(this.addressing)) {
      throw new UsageError(
        `${this.address}: needs memory with physical addresses, and this process has no hugepages ` +
          `or may not see their addresses: run as root after \`echo 256 > /proc/sys/vm/nr_hugepages\``,
      );
    }
    if (!this.#mapped.has(memory)) memory.hold();
    this.#mapped.add(memory);
  }

  setBusMaster(on: boolean): void {
    writeBusMaster(this, on);
  }

  check(): void {
    // A function that was pulled out reads as ones everywhere.
    if (this.readConfig(Config.VENDOR_ID, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  close(): void {
    if (this.#closed) return;
    if (this.#claimed) this.setBusMaster(false);
    this.#closed = true;
    for (const bar of this.#bars.values()) bar.unmap();
    stubs.ixy_close(this.#config);
    for (const memory of this.#mapped) memory.release();
  }
}
