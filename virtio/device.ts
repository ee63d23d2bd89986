/**
 * VirtIO network devices as `open` returns them, over any transport.
 *
 * @module
 */

import type {
  Device,
  LinkStatus,
  OpenOptions,
  RxQueue,
  Statistics,
  TxQueue,
} from "../src/device.ts";
import { unstoppable } from "../native/stop.ts";
import { UsageError } from "../src/errors.ts";
import {
  checkMulticast,
  checkUnicast,
  type QueueOptions,
  queueOptions,
  waitForLink,
} from "../src/driver.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseOptions } from "../src/options.ts";
import { Control, MAX_DATA } from "./control_queue.ts";
import { Feature, featureNames, negotiate } from "./features.ts";
import { Queues } from "./queues.ts";
import { NetConfig } from "./registers.ts";
import { Status, type Transport } from "./transport.ts";

/** Bytes before each packet in which the driver has room for the header: one cache line. */
export const HEADROOM = 64;
/** Most queues of each kind that the driver uses, and the headroom of a pool of its own. */
const LIMITS = { rx: 16, tx: 16, headroom: HEADROOM } as const;
const LINK_UP = 1;
const SPEED_UNKNOWN = 0xffffffff;

/**
 * Opens a device through its transport.
 *
 * @param connect Creates the transport, for a device that will access these pools. If it throws,
 * the device cannot access any of them.
 * @throws {UsageError} if the device lacks a required feature, or an option is out of range.
 * @throws {DeviceError} if the device violates its specification.
 */
export async function openVirtio(
  address: string,
  options: OpenOptions,
  connect: (pools: readonly Mempool[]) => Transport | Promise<Transport>,
): Promise<VirtioDevice> {
  refuseOptions(address, "VirtIO", options, ["interrupts", "rssKey", "speeds", "xdp"]);
  const { rxQueues = 1, txQueues = 1 } = options;
  if (rxQueues !== txQueues) {
    throw new UsageError(
      `${address}: a VirtIO device has as many receive queues as transmit queues, not ` +
        `${rxQueues} and ${txQueues}: set both numbers to the same value`,
      { option: "txQueues" },
    );
  }
  const queues = queueOptions(address, options, LIMITS);
  using opened = new DisposableStack();
  if (queues.ownPool) opened.use(queues.pool);
  const transport = opened.adopt(await connect(queues.pools), (transport) => transport.close());
  const pairs = checkPairs(transport, rxQueues);
  const device = new VirtioDevice(transport, queues, pairs);
  opened.move(); // the device owns the pool and the transport from here on
  using failed = new DisposableStack();
  failed.use(device);
  await device.start(queues, options.promiscuous ?? false);
  failed.move();
  return device;
}

/** Returns how many pairs of queues a device has; 1 if only one is wanted. Changes nothing. */
function checkPairs(transport: Transport, wanted: number): number {
  if (wanted === 1) return 1;
  const pairs = transport.queuePairs();
  if (pairs >= wanted) return pairs;
  throw new UsageError(
    `${transport.address}: has ${pairs} pair${
      pairs === 1 ? "" : "s"
    } of queues, not ${wanted}: use ` +
      `fewer, or configure the device with more`,
    { option: "rxQueues" },
  );
}

/** A VirtIO network device. `open` creates it. */
export class VirtioDevice implements Device {
  readonly address: string;
  readonly driver = "virtio";
  readonly model: string;
  readonly pool: Mempool;
  readonly rxQueues: readonly RxQueue[];
  readonly txQueues: readonly TxQueue[];
  readonly #transport: Transport;
  readonly #queues: Queues;
  /** Pairs of queues of the device; 1 if only one is used. */
  readonly #pairs: number;
  readonly #ownPool: boolean;
  #features = 0n;
  /** The MAC address to use if the device does not have one. */
  readonly #mac = crypto.getRandomValues(new Uint8Array(6));
  #closed = false;

  /**
   * @ignore For `openVirtio`. Does not touch the device: {@linkcode VirtioDevice.prototype.start}
   * does.
   */
  constructor(transport: Transport, { pool, ownPool }: QueueOptions, pairs: number) {
    this.address = transport.address;
    this.model = `VirtIO, ${transport.name}`;
    this.pool = pool;
    this.#transport = transport;
    this.#queues = new Queues(transport);
    this.rxQueues = this.#queues.rx;
    this.txQueues = this.#queues.tx;
    this.#pairs = pairs;
    this.#ownPool = ownPool;
    this.#mac[0] = this.#mac[0] & ~1 | 2; // unicast, locally administered
  }

  /** The negotiated features: bits of `Feature`. */
  get features(): bigint {
    return this.#features;
  }

  /** @ignore For `openVirtio`. Initialises the device in the order of section 3.1.1. */
  async start(options: QueueOptions, promiscuous: boolean): Promise<void> {
    const transport = this.#transport;
    await transport.reset();
    let status = 0;
    const setStatus = (bit: number) => transport.setStatus(status |= bit);
    setStatus(Status.ACKNOWLEDGE);
    setStatus(Status.DRIVER);
    const offered = transport.features();
    const taken = this.#features = negotiate(offered, options.pools.length > 1);
    const modern = this.#has(Feature.VERSION_1);
    if (!modern && !transport.legacy) {
      throw new UsageError(
        `${this.address}: the device does not offer VERSION_1, which the modern interface ` +
          `requires: use another device`,
      );
    }
    transport.setFeatures(taken);
    if (modern) {
      setStatus(Status.FEATURES_OK);
      if ((transport.status() & Status.FEATURES_OK) === 0) {
        throw new UsageError(
          `${this.address}: the device requires a feature that this driver does not support, one ` +
            `of ${featureNames(offered & ~taken).join(", ")}: use another device`,
        );
      }
    }
    for (const { memory } of new Set(options.pools)) transport.mapDma(memory);
    this.#queues.setUp(options, { offered, taken, pairs: this.#pairs });
    setStatus(Status.DRIVER_OK);
    this.#queues.start();
    this.setPromiscuous(promiscuous);
  }

  #has(feature: bigint): boolean {
    return (this.#features & feature) !== 0n;
  }

  linkStatus(): LinkStatus {
    this.#checkOpen();
    if (this.#has(Feature.STATUS)) {
      const [low] = this.#transport.readConfig(NetConfig.STATUS, 2);
      if ((low & LINK_UP) === 0) return { up: false, megabits: 0 };
    }
    return { up: true, megabits: this.#has(Feature.SPEED_DUPLEX) ? this.#speed() : 0 };
  }

  #speed(): number {
    const bytes = this.#transport.readConfig(NetConfig.SPEED, 4);
    const speed = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    return speed === SPEED_UNKNOWN ? 0 : speed;
  }

  waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    return waitForLink(this.address, () => this.linkStatus(), milliseconds);
  }

  /** Returns the device's MAC address; a random one if the device does not have its own. */
  macAddress(): Uint8Array {
    this.#checkOpen();
    return this.#has(Feature.MAC)
      ? this.#transport.readConfig(NetConfig.MAC, 6)
      : this.#mac.slice();
  }

  setMacAddress(mac: Uint8Array): void {
    this.#checkOpen();
    checkUnicast(this.address, mac);
    if (!this.#has(Feature.MAC)) this.#mac.set(mac);
    else if (this.#has(Feature.CTRL_MAC_ADDR)) {
      this.#queues.control!.command(Control.MAC_ADDR_SET, mac);
    } else if (!this.#has(Feature.VERSION_1)) {
      // Legacy devices take it through their configuration space (section 5.1.4.1).
      mac.forEach((byte, i) => this.#transport.writeConfig(NetConfig.MAC + i, byte));
    } else {
      throw new UsageError(
        `${this.address}: the device cannot change its MAC address (no CTRL_MAC_ADDR): set it in ` +
          `the configuration of its back-end`,
      );
    }
  }

  /** No effect on a device without CTRL_RX: it delivers every packet that reaches it. */
  setPromiscuous(on: boolean): void {
    this.#checkOpen();
    if (!this.#has(Feature.CTRL_RX)) return;
    this.#queues.control!.command(Control.PROMISCUOUS, Uint8Array.of(Number(on)));
  }

  /** No effect on a device without CTRL_RX: it delivers every packet that reaches it. */
  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#checkOpen();
    checkMulticast(this.address, addresses);
    if (!this.#has(Feature.CTRL_RX)) return;
    // Two tables (section 5.1.6.5.2), unicast and multicast: each a count and that many addresses.
    const tables = new Uint8Array(8 + 6 * addresses.length);
    const all = tables.length > MAX_DATA;
    if (!all) {
      new DataView(tables.buffer).setUint32(4, addresses.length, true);
      addresses.forEach((mac, i) => tables.set(mac, 8 + 6 * i));
      this.#queues.control!.command(Control.MAC_TABLE_SET, tables);
    }
    this.#queues.control!.command(Control.ALL_MULTICAST, Uint8Array.of(Number(all)));
  }

  /** VirtIO devices do not have counters: `rxMissed` and `rxErrors` are 0. */
  statistics(): Statistics {
    this.#checkOpen();
    const { rx: rxQueues, tx: txQueues } = this.#queues;
    return {
      rxPackets: total(rxQueues, (queue) => queue.packets),
      rxBytes: total(rxQueues, (queue) => queue.bytes),
      txPackets: total(txQueues, (queue) => queue.packets),
      txBytes: total(txQueues, (queue) => queue.bytes),
      rxMissed: 0,
      rxErrors: 0,
      rxTooLong: total(rxQueues, (queue) => queue.tooLong),
      rxNoBuffer: total(rxQueues, (queue) => queue.noBuffer),
    };
  }

  /** Returns an empty record: VirtIO devices do not have counters. */
  counters(): Readonly<Record<string, number>> {
    this.#checkOpen();
    return {};
  }

  checkAlive(): void {
    this.#checkOpen();
    this.#transport.checkAlive();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
  }

  /**
   * Resets the device, then returns its buffers to their pools and frees its rings. A step that
   * fails does not keep the others from running. Idempotent.
   *
   * @throws {DeviceError} if the device does not stop (the buffers that it has never return to
   * their pools), if DMA cannot be turned off (rings and buffers stay allocated until the process
   * ends), or if the kernel driver of `rebind` does not take the device.
   * @throws {SuppressedError} if more than one of these happens.
   * @throws {SystemError} if the kernel refuses to unmap memory.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    let atRest = false;
    using stopped = new DisposableStack(); // runs the last step first
    stopped.defer(() => this.#free(atRest));
    stopped.defer(() => unstoppable(() => this.#transport.close()));
    atRest = unstoppable(() => this.#transport.stop());
  }

  #free(atRest: boolean): void {
    this.#queues.close(atRest);
    if (this.#ownPool && !this.#queues.pinned) this.pool[Symbol.dispose]();
  }

  /** Closes the device. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Returns the sum of a count over all queues. */
function total<Q>(queues: readonly Q[], count: (queue: Q) => number): number {
  return queues.reduce((sum, queue) => sum + count(queue), 0);
}
