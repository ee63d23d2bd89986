/**
 * A small VirtIO network device in the driver's thread (VirtIO 1.3, section 5.1): status, features,
 * configuration and queues, as a transport for the driver. It does nothing until its `round` is called,
 * except to execute commands of the control queue, for which the driver waits.
 *
 * @module
 */

import type { DmaMemory } from "../../../../src/dma.ts";
import { DeviceError } from "../../../../src/errors.ts";
import { Feature } from "../../../../virtio/features.ts";
import { NetConfig } from "../../../../virtio/registers.ts";
import { type QueueAreas, Status, type Transport } from "../../../../virtio/transport.ts";
import { Commands } from "./commands.ts";
import type { DeviceCore } from "./core.ts";
import type { Frame, Observe } from "./events.ts";
import { DeviceQueue } from "./device_queue.ts";
import { DriverMemory } from "./driver_memory.ts";
import { FrameFilter } from "./frame_filter.ts";
import { Receiver } from "./receiver.ts";
import { type BrokenRule, RuleError } from "./rules.ts";
import { DeviceStatus } from "./status.ts";
import { Transmitter } from "./transmitter.ts";

/** Features that the device offers and the driver does not know. */
export const OTHER_FEATURES = {
  /** The device computes checksums. */
  CSUM: 1n << 0n,
  /** Indices instead of flags say when to notify. */
  EVENT_IDX: 1n << 29n,
} as const;

/** Descriptors of the control queue. */
const CONTROL_ENTRIES = 64;
const LINK_UP = 1;

/** Options of {@linkcode NetDevice}. */
interface NetDeviceOptions {
  readonly address: string;
  /** Descriptors of each receive and transmit queue, a power of two. */
  readonly entries: number;
  /** Pairs of a receive and a transmit queue. */
  readonly pairs: number;
  readonly mac: Uint8Array;
  /** Speed of the link in Mbit/s. */
  readonly megabits: number;
  /** Whether frames without available chains are dropped, not kept until there are chains. */
  readonly dropsWithoutChains: boolean;
  /** Takes everything that the device does. */
  readonly observe: Observe;
}

/** A VirtIO network device. */
export class NetDevice implements Transport, DeviceCore {
  readonly address: string;
  readonly name = "device model";
  readonly addressing = "iova" as const;
  readonly legacy = false;
  /** The queues that the driver has started, by index: pairs first, then the control queue. */
  readonly queues: DeviceQueue[] = [];
  /** The driver's memory. */
  readonly memory = new DriverMemory();
  readonly filter: FrameFilter;
  /** Pairs of queues in use. */
  activePairs = 1;
  readonly #options: NetDeviceOptions;
  readonly #config = new Uint8Array(20);
  readonly #receiver: Receiver;
  readonly #transmitter: Transmitter;
  readonly #commands: Commands;
  readonly #status: DeviceStatus;
  readonly #notified = new Set<number>();

  /** Creates a device that was reset. */
  constructor(options: NetDeviceOptions) {
    const { address, mac, pairs, megabits } = options;
    this.address = address;
    this.#options = options;
    const offered = Feature.VERSION_1 | Feature.MAC | Feature.MRG_RXBUF | Feature.STATUS |
      Feature.SPEED_DUPLEX | Feature.CTRL_VQ | Feature.CTRL_RX | Feature.CTRL_MAC_ADDR |
      OTHER_FEATURES.CSUM | OTHER_FEATURES.EVENT_IDX | (pairs > 1 ? Feature.MQ : 0n);
    this.#status = new DeviceStatus(offered, (broken) => this.report(broken));
    this.#config.set(mac, NetConfig.MAC);
    this.filter = new FrameFilter(this.#config.subarray(NetConfig.MAC, NetConfig.STATUS));
    const config = new DataView(this.#config.buffer);
    config.setUint16(NetConfig.STATUS, LINK_UP, true);
    config.setUint16(NetConfig.MAX_VIRTQUEUE_PAIRS, pairs, true);
    config.setUint32(NetConfig.SPEED, megabits, true);
    this.#receiver = new Receiver(this, options.dropsWithoutChains);
    this.#transmitter = new Transmitter(this);
    this.#commands = new Commands(this, pairs);
  }

  /** Takes an event. */
  get observe(): Observe {
    return this.#options.observe;
  }

  /** Features that the driver has accepted. */
  get taken(): bigint {
    return this.#status.taken;
  }

  /** Whether the driver has finished the initialisation, and the device has no error. */
  get running(): boolean {
    return this.#status.has(Status.DRIVER_OK) && !this.#status.has(Status.DEVICE_NEEDS_RESET);
  }

  /** Frames on the wire. */
  get arriving(): number {
    return this.#receiver.arriving;
  }

  /** Puts a frame on the wire to the device: it arrives in a round. */
  put(frame: Frame): void {
    this.#receiver.put(frame);
  }

  /**
   * Sends what the driver has made available, then receives frames.
   *
   * @param budget Most frames of the round.
   * @returns The number of frames.
   */
  round(budget = Infinity): number {
    return this.#guard(() => {
      let n = 0;
      if (this.running) {
        for (let pair = 0; pair < this.activePairs && n < budget; pair++) {
          const index = 2 * pair + 1, notified = this.#notified.delete(index);
          n += this.#transmitter.round(index, notified, budget - n);
        }
        for (let pair = 0; pair < this.activePairs; pair++) {
          if (this.#notified.delete(2 * pair)) this.#receiver.notified(2 * pair);
        }
      }
      return n + this.#receiver.round(budget - n);
    }) ?? 0;
  }

  /** Records that the driver has broken a rule. */
  report(broken: BrokenRule): void {
    this.observe({ what: "violation", broken });
  }

  /** After a broken rule that lets the device not go on, it needs a reset (section 2.1.2). */
  #guard<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      this.#status.fail();
      this.report(error.broken);
      return undefined;
    }
  }

  // What the driver calls, in the order of section 3.1.1.

  queuePairs(): number {
    return this.#options.pairs;
  }

  reset(): Promise<void> {
    this.setStatus(0);
    return Promise.resolve();
  }

  status(): number {
    return this.#status.bits;
  }

  setStatus(status: number): void {
    if (status === 0) this.#reset();
    else this.#status.set(status);
  }

  #reset(): void {
    this.#status.reset();
    this.activePairs = 1;
    this.queues.length = 0;
    this.#notified.clear();
    this.filter.promiscuous = true;
    this.filter.allMulticast = false;
    this.filter.setTable(new Uint8Array(0));
    this.#receiver.reset();
  }

  features(): bigint {
    return this.#status.offered;
  }

  setFeatures(features: bigint): void {
    this.#status.setFeatures(features);
  }

  readConfig(offset: number, bytes: number): Uint8Array {
    return this.#config.slice(offset, offset + bytes);
  }

  writeConfig(offset: number, _value: number): void {
    this.report({
      register: `config[${offset}]`,
      section: "VirtIO 5.1.4",
      rule: "the driver writes no field of the configuration space of a network device",
      detail: `byte ${offset} written`,
    });
  }

  /** Sets the device's address. */
  setMac(mac: Uint8Array): void {
    this.#config.set(mac, NetConfig.MAC);
  }

  queueSize(index: number): number {
    const { pairs, entries } = this.#options;
    return index < 2 * pairs ? entries : index === 2 * pairs ? CONTROL_ENTRIES : 0;
  }

  mapDma(memory: DmaMemory): void {
    this.memory.map(memory);
  }

  startQueue(index: number, areas: QueueAreas): void {
    if (!this.#status.has(Status.FEATURES_OK)) {
      this.report({
        register: "queue_enable",
        section: "VirtIO 3.1.1",
        rule: "the driver sets up queues after FEATURES_OK",
        detail: `queue ${index} enabled before`,
      });
    }
    this.queues[index] = new DeviceQueue(areas, this.memory);
  }

  notify(index: number): void {
    if (!this.#status.has(Status.DRIVER_OK)) {
      this.report({
        register: "queue_notify",
        section: "VirtIO 3.1.1",
        rule: "the driver sends no notification before DRIVER_OK",
        detail: `notification of queue ${index}`,
      });
      return;
    }
    if (index !== 2 * this.#options.pairs) this.#notified.add(index);
    else if (this.running) this.#guard(() => this.#commands.execute(index));
  }

  checkAlive(): void {
    if (!this.#status.has(Status.DEVICE_NEEDS_RESET)) return;
    throw new DeviceError(this.address, "the device needs a reset: open it again");
  }

  stop(): boolean {
    this.setStatus(0);
    return true;
  }

  close(): void {
    this.memory.release();
  }
}
