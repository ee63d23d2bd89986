/**
 * A card for the driver in this thread: the NIC model behind the interface of a PCI function. A watcher
 * sees every access of the driver.
 *
 * @module
 */

import { stubs } from "../../../native/stubs.ts";
import { checkErrno } from "../../../native/stubs.ts";
import type { DmaMemory } from "../../../src/dma.ts";
import type { Bar, Doorbell, PciFunction } from "../../../src/pci/function.ts";
import { Config, ETHERNET_CONTROLLER } from "../../../src/pci/function.ts";
import { INTEL } from "../../../ixgbe/models.ts";
import { Nic, type NicOptions } from "../../../sim/nic/nic.ts";

const BAR0_BYTES = 512 * 1024;

/** Sees the driver's accesses, and makes them. */
export interface CardWatcher {
  /** Reads a register of BAR0. */
  read(offset: number): number;
  /** Writes a register of BAR0. */
  write(offset: number, value: number): void;
  /** Turns bus mastering on or off. */
  setBusMaster(on: boolean): void;
}

/** The card. */
export class Card implements PciFunction {
  readonly address: string;
  readonly addressing = "iova" as const;
  readonly behindIommu = false;
  readonly nic: Nic;
  /** Memory that the device can reach. */
  readonly mapped = new Set<DmaMemory>();
  /** Who makes the driver's accesses; default: this class, unwatched. */
  watcher: CardWatcher;
  readonly #deviceId: number;
  /** Eventfds of the MSI-X vectors. */
  readonly #eventfds: number[] = [];
  #bar: Bar | undefined;

  /**
   * Creates a card that has just been powered on.
   *
   * @param address Its name in messages.
   */
  constructor(address: string, options: NicOptions & { readonly deviceId: number }) {
    this.address = address;
    this.#deviceId = options.deviceId;
    const nic = this.nic = new Nic(options);
    this.watcher = {
      read(offset) {
        nic.poll();
        return nic.read32(offset);
      },
      write: (offset, value) => nic.write32(offset, value),
      setBusMaster: (on) => nic.setBusMaster(on),
    };
  }

  readConfig(offset: number, _bytes: 1 | 2 | 4): number {
    if (offset === Config.VENDOR_ID) return INTEL;
    if (offset === Config.DEVICE_ID) return this.#deviceId;
    return offset === Config.CLASS ? ETHERNET_CONTROLLER : 0;
  }

  writeConfig(): void {}

  claim(): void {}

  bar(): Bar {
    return this.#bar ??= {
      size: BAR0_BYTES,
      read: (offset) => this.watcher.read(offset),
      write: (offset, _bytes, value) => this.watcher.write(offset, value),
      // A message, so that the watcher sees each one.
      doorbell: (offset): Doorbell => ({
        words: new Uint32Array(1),
        index: 0,
        write: (value) => this.watcher.write(offset, value),
      }),
    };
  }

  mapDma(memory: DmaMemory): void {
    if (this.mapped.has(memory)) return;
    this.mapped.add(memory);
    memory.pin();
    this.nic.dma.map(memory.busAddress(0, "iova"), memory.buffer, 0, memory.bytes);
  }

  /** Connects each vector to an eventfd, which the device's message signals. */
  interrupts(vectors: number): readonly number[] {
    for (let i = 0; i < vectors; i++) {
      this.#eventfds.push(checkErrno("make an eventfd", stubs.ixy_eventfd()));
    }
    return this.#eventfds;
  }

  /** Signals the eventfd of a vector. */
  signal(vector: number): void {
    const fd = this.#eventfds[vector];
    if (fd !== undefined) checkErrno("signal an eventfd", stubs.ixy_signal(fd));
  }

  setBusMaster(on: boolean): void {
    this.watcher.setBusMaster(on);
  }

  checkAlive(): void {}

  close(): void {
    this.setBusMaster(false);
    this.nic.dma.clear();
    for (const memory of this.mapped) memory.unpin();
    this.mapped.clear();
    for (const fd of this.#eventfds.splice(0)) checkErrno("close an eventfd", stubs.ixy_close(fd));
  }
}
