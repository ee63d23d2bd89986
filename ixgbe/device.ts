/**
 * A NIC of the ixgbe family as a device: what `open` returns for an 82599, X540 or X550.
 *
 * @module
 */

import { type Bus, checkReach, Config } from "../src/bus/bus.ts";
import type { Device, Driver, LinkStatus, OpenOptions, Statistics } from "../src/device.ts";
import { DmaMemory } from "../src/dma.ts";
import { DeviceError } from "../src/errors.ts";
import { waitForLink } from "../src/link.ts";
import type { Mempool } from "../src/mempool.ts";
import { queueOptions } from "../src/queue.ts";
import { offsetOf, Registers } from "../src/registers.ts";
import { BYTES, WORDS } from "./descriptors.ts";
import * as init from "./init.ts";
import { getMac, setMac, setMulticast, setPromiscuous } from "./filters.ts";
import { linkStatus } from "./link.ts";
import { INTEL, type Model, modelOf } from "./models.ts";
import { RDT, TDT } from "./registers.ts";
import { IxgbeRxQueue } from "./rx_queue.ts";
import { Counters } from "./statistics.ts";
import { IxgbeTxQueue } from "./tx_queue.ts";

/** Bytes kept for each ring: those of the largest one. */
const RING_BYTES = 4096 * BYTES;

/** The driver of the ixgbe family. */
export const ixgbe: Driver = { name: "ixgbe", vendor: INTEL, attach };

/** Takes a function over and starts it; what was allocated on the way is freed if that fails. */
async function attach(bus: Bus, options: OpenOptions): Promise<IxgbeDevice> {
  const model = modelOf(bus.address, bus.readConfig(Config.DEVICE_ID, 2));
  checkReach(bus);
  const queues = queueOptions(bus.address, options);
  const rings = new DmaMemory(2 * RING_BYTES);
  const { pool, ownPool, rxEntries, txEntries } = queues;
  const device = new IxgbeDevice(bus, model, pool, rings, ownPool);
  try {
    bus.mapDma(pool.memory);
    bus.mapDma(rings);
    bus.claim(options.force ?? false);
    await device.start(rxEntries, txEntries, options.promiscuous ?? false);
  } catch (error) {
    device.release();
    throw error;
  }
  return device;
}

/** An 82599, X540 or X550. `open` makes it. */
export class IxgbeDevice implements Device {
  readonly address: string;
  readonly driver = "ixgbe";
  readonly model: string;
  readonly pool: Mempool;
  readonly rxQueues: IxgbeRxQueue[] = [];
  readonly txQueues: IxgbeTxQueue[] = [];
  readonly #bus: Bus;
  readonly #model: Model;
  readonly #rings: DmaMemory;
  readonly #ownPool: boolean;
  #regs: Registers | undefined;
  #counters: Counters | undefined;
  #closed = false;

  /** Nothing is touched before {@linkcode IxgbeDevice.start}. */
  constructor(bus: Bus, model: Model, pool: Mempool, rings: DmaMemory, ownPool: boolean) {
    this.address = bus.address;
    this.model = model.name;
    this.pool = pool;
    this.#bus = bus;
    this.#model = model;
    this.#rings = rings;
    this.#ownPool = ownPool;
  }

  /** The device's registers, for those who want to look closer. */
  get registers(): Registers {
    if (this.#regs === undefined) throw new Error(`${this.address} is closed`);
    return this.#regs;
  }

  /** Brings the NIC up in the order of section 4.6.3. */
  async start(rxEntries: number, txEntries: number, promiscuous: boolean): Promise<void> {
    const bar = this.#bus.bar(0);
    const regs = this.#regs = new Registers(bar, this.address);
    const { bufferSize } = this.pool;
    await init.reset(regs, this.address, this.#model);
    this.#bus.setBusMaster(true);
    this.#counters = new Counters(regs);

    init.initReceive(regs, this.#model, bufferSize);
    setPromiscuous(regs, promiscuous);
    const rxRing = this.#ring(0, rxEntries);
    const rx = new IxgbeRxQueue(
      0,
      this.pool,
      this.#bus.addressing,
      rxRing.words,
      bar.doorbell(offsetOf(RDT, 0)),
    );
    this.rxQueues.push(rx);
    await init.enableRxQueue(regs, 0, rxRing, bufferSize);
    rx.start();

    init.initTransmit(regs);
    const txRing = this.#ring(RING_BYTES, txEntries);
    const tx = new IxgbeTxQueue(
      0,
      this.pool,
      this.#bus.addressing,
      txRing.words,
      bar.doorbell(offsetOf(TDT, 0)),
    );
    this.txQueues.push(tx);
    await init.enableTxQueue(regs, 0, txRing);

    init.enableReceiver(regs);
  }

  #ring(offset: number, entries: number): init.Ring & { words: Uint32Array } {
    const words = new Uint32Array(this.#rings.buffer, offset, entries * WORDS);
    return { words, entries, busAddress: this.#rings.busAddress(offset, this.#bus.addressing) };
  }

  linkStatus(): LinkStatus {
    return linkStatus(this.registers, this.#model);
  }

  waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    return waitForLink(this.address, () => this.linkStatus(), milliseconds);
  }

  macAddress(): Uint8Array {
    return getMac(this.registers);
  }

  setMacAddress(mac: Uint8Array): void {
    setMac(this.registers, this.address, mac);
  }

  setPromiscuous(on: boolean): void {
    setPromiscuous(this.registers, on);
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    setMulticast(this.registers, this.address, addresses);
  }

  statistics(): Statistics {
    if (this.#counters === undefined) throw new Error(`${this.address} is closed`);
    const { missed, errors } = this.#counters.failures();
    const sum = <Q>(queues: readonly Q[], of: (queue: Q) => number): bigint =>
      queues.reduce((total, queue) => total + BigInt(of(queue)), 0n);
    return {
      rxPackets: sum(this.rxQueues, (q) => q.packets),
      rxBytes: sum(this.rxQueues, (q) => q.bytes),
      txPackets: sum(this.txQueues, (q) => q.packets),
      txBytes: sum(this.txQueues, (q) => q.bytes),
      rxMissed: missed,
      rxErrors: errors + sum(this.rxQueues, (q) => q.damaged),
      rxTooLong: sum(this.rxQueues, (q) => q.tooLong),
      rxNoBuffer: sum(this.rxQueues, (q) => q.noBuffer),
    };
  }

  counters(): Record<string, bigint> {
    if (this.#counters === undefined) throw new Error(`${this.address} is closed`);
    return this.#counters.all();
  }

  check(): void {
    this.#bus.check();
  }

  /**
   * Stops the NIC (packets handed over still leave), resets it, turns bus mastering off, and only
   * then gives buffers and rings back. Again: nothing happens.
   *
   * @throws {DeviceError} if the NIC did not come to rest as it should; its memory is safe all the
   * same, since bus mastering is off.
   */
  close(): void {
    if (this.#closed) return;
    let late: string[] = [];
    try {
      if (this.#regs) late = init.shutDown(this.#regs, this.rxQueues.length, this.txQueues.length);
    } catch (error) {
      // A device that is gone does no DMA; the error that says so has been or will be seen.
      if (!(error instanceof DeviceError)) throw error;
    } finally {
      this.release();
    }
    if (late.length > 0) {
      throw new DeviceError(
        this.address,
        `${late.join(", ")} did not come to rest while closing: DMA is off, but reset the device`,
      );
    }
  }

  /** Turns DMA off and gives everything back. If DMA cannot be turned off, the memory is kept. */
  release(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#regs = undefined;
    this.#counters = undefined;
    this.#bus.close();
    for (const queue of [...this.rxQueues, ...this.txQueues]) queue.close();
    this.#rings.free();
    if (this.#ownPool) this.pool[Symbol.dispose]();
  }

  /** Closes. */
  [Symbol.dispose](): void {
    this.close();
  }
}
