/**
 * A port as an ordinary PCI device: a directory like those under `/sys/bus/pci/devices`, for
 * drivers that do not know vfio-user. Registers and configuration space are files that the driver
 * maps or writes. The port reaches memory by physical address.
 *
 * It measures and runs drivers, but does not judge them: `registers.ts` says what it does not see.
 *
 * @module
 */

import { CTRL } from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import { Nic } from "../nic/nic.ts";
import { ConfigSpace } from "../pci/config_space.ts";
import type { Model } from "../pci/model.ts";
import { PlainConfig } from "./config.ts";
import { PlainFiles } from "./files.ts";
import { PlainMemory } from "./memory.ts";
import { PlainRegisters } from "./registers.ts";

/** Options of a plain port. */
export interface PlainOptions {
  /** The directory, which must exist and be empty. */
  readonly path: string;
  /** PCI device id. */
  readonly deviceId: number;
  /** MAC address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Returns a model to put before the NIC, for a trace of the driver's accesses. */
  readonly before?: ((nic: Nic) => Model) | undefined;
  /** Takes a line about each error. */
  readonly log: (line: string) => void;
}

/** Maximum number of looks in a row that each find changes, in case a driver never pauses. */
const LOOKS = 64;
/**
 * A driver that has written nothing for the first time is set up; looks are then the second apart.
 */
const SETTLED_MILLISECONDS = 100, LOOK_MILLISECONDS = 10;
/** Time between two checks of the driver's process. */
const CHECK_MILLISECONDS = 250;

/** One port in a directory. The model's loop polls it as it polls a server. */
export class PlainDevice {
  /** Path of the directory. */
  readonly path: string;
  /** The model. */
  readonly nic: Nic;
  /** None: only looks find what a driver does. */
  readonly fd = -1;
  /** Always 0: reads are not seen. */
  readonly reads = 0;
  readonly #memory: PlainMemory;
  readonly #model: Model;
  readonly #log: (line: string) => void;
  readonly #files: PlainFiles;
  readonly #config: PlainConfig;
  readonly #registers: PlainRegisters;
  #lookAt = 0;
  #checkAt = 0;
  #lost = false;
  #lastWrite = performance.now();

  /**
   * Creates the files.
   *
   * @throws {UsageError} as {@linkcode PlainFiles} does.
   */
  constructor(options: PlainOptions) {
    const { deviceId, mac } = options;
    this.path = options.path;
    this.#files = new PlainFiles(options.path, deviceId);
    this.#log = (line) => options.log(`${this.path}: ${line}`);
    this.#memory = new PlainMemory(this.#log);
    const bar = new Uint32Array(this.#files.bar.buffer);
    const nic = new Nic({
      deviceId,
      mac,
      doorbells: bar,
      pollDoorbells: true,
      plain: true,
      dma: this.#memory,
    });
    this.nic = nic;
    this.#model = options.before?.(nic) ?? nic;
    const space = new ConfigSpace({
      deviceId,
      mac,
      onBusMaster: (on) => this.#setBusMaster(on),
      onReset: () => {
        this.#model.reset("function");
        this.#registers.show();
      },
    });
    this.#config = new PlainConfig(space, new Uint32Array(this.#files.config.buffer));
    this.#registers = new PlainRegisters(nic, (offset, value) => this.#write(offset, value), bar);
  }

  /** Whether bus master is on, and the port has reached a driver's memory. */
  get connected(): boolean {
    return this.busMaster && this.#memory.pages > 0;
  }

  /** Whether the driver lets the port reach memory. */
  get busMaster(): boolean {
    return this.#config.space.busMaster;
  }

  /** Looks for changes by the driver, if a look is due; returns whether there were any. */
  poll(): boolean {
    const now = performance.now();
    if (now < this.#lookAt) return false;
    if (now >= this.#checkAt) {
      this.#checkAt = now + CHECK_MILLISECONDS;
      if (!this.#memory.check()) this.#disconnect();
      this.#checkFiles();
    }
    const written = this.#look();
    if (written) this.#lastWrite = now;
    const settled = now - this.#lastWrite > SETTLED_MILLISECONDS;
    this.#lookAt = settled ? now + LOOK_MILLISECONDS : 0;
    return written;
  }

  /** Resets the port because of an error of the model; returns whether a driver has used it. */
  fail(error: unknown): boolean {
    if (!this.connected) return false;
    this.#log(`the model cannot go on with the driver's descriptors and registers: ${error}`);
    this.#memory.clear();
    this.#disconnect();
    return true;
  }

  /** Resets the model and removes the files. */
  close(): void {
    this.#model.disconnect();
    this.#files.close();
  }

  /** Looks for changes and applies them; returns whether there were any. */
  #look(): boolean {
    const config = this.#config, registers = this.#registers;
    for (let look = 0; look < LOOKS; look++) {
      const more = registers.look();
      if (!config.look() && !more) break;
    }
    // Bus master is turned on before all other changes, and off after them.
    const before = config.wantsBusMaster && config.take();
    const written = registers.take();
    return config.take() || written || before;
  }

  /** Reports once that a driver has truncated the files, so that no driver can reach the port. */
  #checkFiles(): void {
    if (this.#lost || !this.#files.lost) return;
    this.#lost = true;
    this.#log("a driver has truncated this port's files: start the software NIC again");
    this.#disconnect();
  }

  #write(offset: number, value: number): void {
    this.#model.write32(offset, value);
    // After a reset it may be another driver.
    if (offset === offsetOf(CTRL) && value & (CTRL.RST | CTRL.LRST)) this.#memory.clear();
  }

  #setBusMaster(on: boolean): void {
    this.#memory.reachable = on;
    // A guard turns bus mastering of a killed driver off while queues are enabled: that is not a violation.
    this.nic.rules.suspended = !on;
    this.#model.setBusMaster(on);
    // A driver that has released the port gets its pages back.
    if (!on) this.#memory.clear();
  }

  // Handles the end of a driver that has not released the port. As on a card, bus master keeps its
  // value: the next driver may have set it.
  #disconnect(): void {
    this.#model.disconnect();
    this.#model.setBusMaster(this.busMaster);
    this.#registers.show();
  }
}
