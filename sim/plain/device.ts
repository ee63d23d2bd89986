/**
 * A port as an ordinary PCI device: a directory like those under `/sys/bus/pci/devices`, for drivers
 * that know nothing of vfio-user. Registers and configuration space are files that the driver maps
 * or writes, memory is reached by physical address.
 *
 * It is for measuring and for trying drivers out, not for judging them: `registers.ts` says what it does
 * not see.
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

/** What a plain port is made of. */
export interface PlainOptions {
  /** The directory: it is there, and empty. */
  readonly path: string;
  /** PCI device id. */
  readonly deviceId: number;
  /** MAC address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Puts something before the model, for what the driver does to it. */
  readonly before?: ((nic: Nic) => Model) | undefined;
  /** Takes a line about what is not as it should be. */
  readonly log: (line: string) => void;
}

/** Looks in a row that find more written, until what there is will do: a driver that never rests. */
const LOOKS = 64;
/** A driver that has done nothing for so long is set up, and is looked at no oftener than so. */
const SETTLED_MILLISECONDS = 100, LOOK_MILLISECONDS = 10;
/** How often to look whether the driver's process is there. */
const CHECK_MILLISECONDS = 250;

/** One port in a directory. It is polled by the model's loop, in a server's place. */
export class PlainDevice {
  /** Where it is. */
  readonly path: string;
  /** The model. */
  readonly nic: Nic;
  /** Nothing wakes a loop that rests: what a driver does is seen by looking. */
  readonly fd = -1;
  /** No read is waited for. */
  readonly reads = 0;
  readonly #memory: PlainMemory;
  readonly #model: Model;
  readonly #files: PlainFiles;
  readonly #config: PlainConfig;
  readonly #registers: PlainRegisters;
  #lookAt = 0;
  #checkAt = 0;
  #lastWrite = performance.now();

  /**
   * Makes the files.
   *
   * @throws {UsageError} as {@linkcode PlainFiles} does.
   */
  constructor(options: PlainOptions) {
    const { deviceId, mac } = options;
    this.path = options.path;
    this.#files = new PlainFiles(options.path, deviceId);
    this.#memory = new PlainMemory((line) => options.log(`${this.path}: ${line}`));
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

  /** Whether there is a driver whose memory the port has reached. */
  get connected(): boolean {
    return this.busMaster && this.#memory.pages > 0;
  }

  /** Whether the driver lets the port reach memory. */
  get busMaster(): boolean {
    return this.#config.space.busMaster;
  }

  /** Looks what the driver has done, if it is time for that; returns whether it has done anything. */
  poll(): boolean {
    const now = performance.now();
    if (now < this.#lookAt) return false;
    if (now >= this.#checkAt) {
      this.#checkAt = now + CHECK_MILLISECONDS;
      if (!this.#memory.check()) this.#disconnect();
    }
    const written = this.#look();
    if (written) this.#lastWrite = now;
    const settled = now - this.#lastWrite > SETTLED_MILLISECONDS;
    this.#lookAt = settled ? now + LOOK_MILLISECONDS : 0;
    return written;
  }

  /** Takes the files away. */
  close(): void {
    this.#model.disconnect();
    this.#files.close();
  }

  /** Does what was written; returns whether anything was. */
  #look(): boolean {
    const config = this.#config, registers = this.#registers;
    for (let look = 0; look < LOOKS; look++) {
      const more = registers.look();
      if (!config.look() && !more) break;
    }
    // Bus master goes on before all else is done, and off after it.
    const before = config.wantsBusMaster && config.take();
    const written = registers.take();
    return config.take() || written || before;
  }

  #write(offset: number, value: number): void {
    this.#model.write32(offset, value);
    // A driver that resets may be another one than before.
    if (offset === offsetOf(CTRL) && value & (CTRL.RST | CTRL.LRST)) this.#memory.clear();
  }

  #setBusMaster(on: boolean): void {
    this.#model.setBusMaster(on);
    // So that a driver which has let go of the port gets its pages back, and keeps none from others.
    if (!on) this.#memory.clear();
  }

  // The driver has ended, and has not let go of the port. As on a card, bus master stays as it is: the
  // next driver may have turned it on.
  #disconnect(): void {
    this.#model.disconnect();
    this.#model.setBusMaster(this.busMaster);
    this.#registers.show();
  }
}
