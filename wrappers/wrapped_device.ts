/**
 * What all wrappers of devices have in common: a device that has queues of its own around those of
 * another device, and leaves everything else to that.
 *
 * @module
 */

import type { Device, LinkStatus, RxQueue, Statistics, TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";

/**
 * A device around a device. It stays in its thread: only the device inside can transfer queues to workers.
 * Closing it closes the device inside; so close the outermost of several, and
 * that alone, or `using` does.
 */
export class WrappedDevice<Rx extends RxQueue = RxQueue, Tx extends TxQueue = TxQueue>
  implements Device {
  readonly rxQueues: readonly Rx[];
  readonly txQueues: readonly Tx[];
  readonly #device: Device;

  /**
   * Takes a device over: use it through this one only.
   *
   * @param rxQueues What its receive queues have become, by their numbers.
   * @param txQueues What its transmit queues have become, by their numbers.
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

  setPromiscuous(on: boolean): void {
    this.#device.setPromiscuous(on);
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#device.setMulticast(addresses);
  }

  /** Counts of the device inside, which does not know of the wrapper. */
  statistics(): Statistics {
    return this.#device.statistics();
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
