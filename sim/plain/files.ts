/**
 * The files of a plain port: those of `/sys/bus/pci/devices/ADDRESS` with which drivers identify,
 * configure and map a PCI device.
 *
 * There is no file `resource`: it lists physical addresses of registers, which these do not have.
 *
 * @module
 */

import { list } from "../../native/files.ts";
import { Mapping } from "../../native/mapping.ts";
import { path, stubs, SystemError } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";
import { BAR0_BYTES, CONFIG_BYTES } from "../pci/config_space.ts";
import { seesPhysicalAddresses } from "./pages.ts";

const O_RDWR_CREAT = 0o102;
const MODE = 0o644;
/** File that marks a directory with files of a model, which holds a lock on it. */
const MARK = "software-nic";

/** The files of one port. */
export class PlainFiles {
  /** Registers. */
  readonly bar: Mapping;
  /** Configuration space. */
  readonly config: Mapping;
  readonly #directory: string;
  readonly #lock: number;
  readonly #made: string[] = [];
  readonly #mappings: Mapping[] = [];

  /**
   * Creates the files.
   *
   * @param directory The directory, which must exist and be empty.
   * @param deviceId PCI device id.
   * @throws {UsageError} if the directory does not exist, is not empty, belongs to another model or
   * cannot hold such files, or if this process is not root. No file is left then.
   */
  constructor(directory: string, deviceId: number) {
    if (!seesPhysicalAddresses()) {
      throw new UsageError(`${directory}: a plain port needs physical addresses: run this as root`);
    }
    this.#directory = directory;
    this.#checkDirectory();
    this.#lock = this.#open(MARK);
    if (stubs.ixy_lock(this.#lock) < 0) {
      stubs.ixy_close(this.#lock);
      throw new UsageError(`${directory}: another model uses it: give each port its own directory`);
    }
    try {
      this.#text("vendor", "0x8086");
      this.#text("device", `0x${deviceId.toString(16).padStart(4, "0")}`);
      this.#text("subsystem_vendor", "0x8086");
      this.#text("subsystem_device", "0x0003");
      this.#text("class", "0x020000");
      this.#text("numa_node", "-1");
      this.#text("driver_override", "(null)");
      this.#text("enable", "1");
      this.config = this.#map("config", CONFIG_BYTES);
      this.bar = this.#map("resource0", BAR0_BYTES);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether a driver has truncated the files. */
  get lost(): boolean {
    return this.#mappings.some((mapping) => mapping.lost);
  }

  /** Removes the files. A driver that has mapped them keeps the memory, but no model polls it. */
  close(): void {
    for (const mapping of this.#mappings) mapping.unmap();
    for (const name of [...this.#made, MARK]) this.#unlink(name);
    stubs.ixy_close(this.#lock);
  }

  // Refuses a directory with other files: those of a real device must not be written.
  #checkDirectory(): void {
    const there = list(this.#directory);
    if (there.length === 0 || there.includes(MARK)) return;
    throw new UsageError(
      `${this.#directory} is not empty: give a plain port an empty directory, best on a tmpfs`,
    );
  }

  #open(name: string): number {
    const file = `${this.#directory}/${name}`;
    const fd = stubs.ixy_open(path(file), O_RDWR_CREAT, MODE);
    if (fd >= 0) return fd;
    const { message } = new SystemError(file, -fd);
    throw new UsageError(`cannot make ${message}: make the directory first, best on a tmpfs`);
  }

  #unlink(name: string): void {
    stubs.ixy_unlink(path(`${this.#directory}/${name}`));
  }

  #text(name: string, text: string): void {
    stubs.ixy_close(this.#make(name, new TextEncoder().encode(text + "\n")));
  }

  #map(name: string, bytes: number): Mapping {
    const fd = this.#make(name, new Uint8Array(bytes));
    try {
      const mapping = Mapping.file(`${this.#directory}/${name}`, fd, bytes);
      this.#mappings.push(mapping);
      mapping.watch(); // a driver can truncate it
      return mapping;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new UsageError(`${error.message}: a plain port's directory is best on a tmpfs`);
    } finally {
      stubs.ixy_close(fd);
    }
  }

  // Creates a new file: a driver may still use one that a killed model has left.
  #make(name: string, bytes: Uint8Array<ArrayBuffer>): number {
    this.#unlink(name);
    const fd = this.#open(name);
    this.#made.push(name);
    const n = stubs.ixy_pwrite(fd, bytes, bytes.length, 0);
    if (n === bytes.length) return fd;
    stubs.ixy_close(fd);
    const why = n < 0 ? new SystemError("write", -n).message : "no space left";
    throw new UsageError(`cannot fill ${this.#directory}/${name}: ${why}: use a tmpfs of 1 MiB`);
  }
}
