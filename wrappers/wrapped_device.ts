/**
 * The common part of all wrappers: a device with queues around those of another device, to which it
 * leaves everything else.
 *
 * @module
 */

import type { Device, Interrupt, LinkStatus, RxQueue, Statistics, TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";

/**
 * A device that wraps a device. It stays in its thread: only the wrapped device can transfer queues
 * to workers. Closing it closes the wrapped device, so close only the outermost wrapper.
 */
export class WrappedDevice<Rx extends RxQueue = RxQueue, Tx extends TxQueue = TxQueue>
  implements Device {
  readonly rxQueues: readonly Rx[];
  readonly txQueues: readonly Tx[];
  readonly #device: Device;

  /**
   * Takes ownership of a device: use it through this wrapper only.
   *
   * @param rxQueues Its wrapped receive queues, by number.
   * @param txQueues Its wrapped transmit queues, by number.
   */
  constructor(device: Device, rxQueues: readonly Rx[], txQueues: readonly Tx[]) {
    this.#device = device;
    this.rxQueues = rxQueues;
    this.txQueues = txQueues;
  }

  get address(): string {
    return this.#device.address;
  }

  get driver(): string {
    return this.#device.driver;
  }

  get model(): string {
    return this.#device.model;
  }

  get pool(): Mempool {
    return this.#device.pool;
  }

  get linkInterrupt(): Interrupt | undefined {
    return this.#device.linkInterrupt;
  }

  linkStatus(): LinkStatus {
    return this.#device.linkStatus();
  }

  waitForLink(milliseconds?: number): Promise<LinkStatus> {
    return this.#device.waitForLink(milliseconds);
  }

  macAddress(): Uint8Array {
    return this.#device.macAddress();
  }

  setMacAddress(mac: Uint8Array): void {
    this.#device.setMacAddress(mac);
  }

  endStandby(): void {
    this.#device.endStandby?.();
  }

  setPromiscuous(on: boolean): void {
    this.#device.setPromiscuous(on);
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#device.setMulticast(addresses);
  }

  /** Returns the counts of the wrapped device, which does not know about the wrapper. */
  statistics(refresh?: boolean): Statistics {
    return this.#device.statistics(refresh);
  }

  counters(): Readonly<Record<string, number>> {
    return this.#device.counters();
  }

  checkAlive(): void {
    this.#device.checkAlive();
  }

  close(): void {
    this.#device.close();
  }

  /** Closes. */
  [Symbol.dispose](): void {
    this.close();
  }
}
