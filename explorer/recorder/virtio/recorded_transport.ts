/**
 * The driver's way to the device: a transport that adds a step for each call, and passes it on. The steps
 * of an initialisation follow VirtIO 1.3, section 3.1.1.
 *
 * @module
 */

import type { DmaMemory } from "../../../src/dma.ts";
import { type QueueAreas, Status, type Transport } from "../../../virtio/transport.ts";
import type { RecorderContext } from "../context.ts";
import type { Entry } from "../journal.ts";
import { stackAbove } from "../stack.ts";
import type { NetDevice } from "./device/net_device.ts";
import { featuresText, fieldText, queueName, statusText } from "./names.ts";
import { STATUS_REASONS } from "./status_reasons.ts";

/** Chapters of an initialisation, in order. */
type Chapter = "reset" | "features" | "queues" | "start";

/** Who follows the driver's memory. */
export interface Follower {
  /** Adds the steps that the driver has made in memory since the last call. */
  follow(): void;
  /** Returns the chain that was made available last, for a step about a queue. */
  last(index: number): Pick<Entry, "descriptor">;
  /** The driver has set up a queue. */
  setUp(index: number, areas: QueueAreas): void;
  /** The device has executed a command, and the driver looks at the acknowledgement. */
  acknowledge(): void;
  /** The device is reset. */
  reset(): void;
}

/** A transport that records. */
export class RecordedTransport implements Transport {
  readonly address: string;
  readonly name: string;
  readonly addressing = "iova" as const;
  readonly legacy = false;
  readonly #device: NetDevice;
  readonly #context: RecorderContext;
  readonly #port: number;
  readonly #pairs: number;
  readonly #follower: Follower;

  /** Creates the way to a device of so many pairs of queues. */
  constructor(
    device: NetDevice,
    context: RecorderContext,
    port: number,
    pairs: number,
    follower: Follower,
  ) {
    this.address = device.address;
    this.name = device.name;
    this.#device = device;
    this.#context = context;
    this.#port = port;
    this.#pairs = pairs;
    this.#follower = follower;
  }

  #add(entry: Omit<Entry, "actor" | "port">): void {
    const stack = stackAbove(this.#add);
    this.#context.journal.add({ actor: "driver", port: this.#port, stack, ...entry });
  }

  /** Begins a chapter. */
  #chapter(chapter: Chapter): void {
    this.#context.journal.chapter = chapter;
  }

  #queue(index: number): string {
    if (index === 2 * this.#pairs) return "controlq";
    return queueName(index % 2 === 0 ? "rx" : "tx", index >> 1);
  }

  queuePairs(): number {
    const pairs = this.#device.queuePairs();
    this.#chapter("reset");
    this.#add({
      kind: "read",
      title: `read max_virtqueue_pairs: ${pairs}`,
      why: "The program wants several queues: the driver checks that the device has so many pairs.",
      section: "VirtIO 5.1.4",
    });
    return pairs;
  }

  async reset(): Promise<void> {
    this.#chapter("reset");
    await this.#device.reset();
    this.#follower.reset();
    this.#add({
      kind: "write",
      title: "write device_status = 0",
      why: "A reset: the device forgets what an earlier driver has done. It has no queues and no " +
        "features then.",
      section: "VirtIO 2.4",
    });
  }

  status(): number {
    const status = this.#device.status();
    this.#add({
      kind: "read",
      title: `read device_status: ${statusText(status)}`,
      why:
        "FEATURES_OK is still set if the device can work with the features that the driver has " +
        "accepted.",
      section: "VirtIO 3.1.1",
    });
    return status;
  }

  setStatus(status: number): void {
    const set = status & ~this.#device.status();
    if (set === Status.DRIVER_OK) this.#chapter("start");
    this.#add({
      kind: "write",
      title: `write device_status = ${statusText(status)}`,
      why: STATUS_REASONS[set] ?? "The driver sets the bits of the status one by one.",
      section: "VirtIO 3.1.1",
    });
    this.#device.setStatus(status);
  }

  features(): bigint {
    const features = this.#device.features();
    this.#chapter("features");
    this.#add({
      kind: "read",
      title: `read device_feature: ${featuresText(features)}`,
      why: "The device says what it can do. The driver accepts what it knows and has a use for.",
      section: "VirtIO 2.2",
    });
    return features;
  }

  setFeatures(features: bigint): void {
    const left = featuresText(this.#device.features() & ~features);
    this.#add({
      kind: "write",
      title: `write driver_feature = ${featuresText(features)}`,
      why: `The driver does not accept ${left}: the device works without ${
        left.includes(",") ? "them" : "it"
      }.`,
      section: "VirtIO 2.2",
    });
    this.#device.setFeatures(features);
  }

  readConfig(offset: number, bytes: number): Uint8Array {
    const value = this.#device.readConfig(offset, bytes);
    this.#add({
      kind: "read",
      title: `read ${fieldText(offset)}: ${
        Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
      }`,
      why: "A field of the configuration space of network devices, in little-endian order.",
      section: "VirtIO 5.1.4",
    });
    return value;
  }

  writeConfig(offset: number, value: number): void {
    this.#add({
      kind: "write",
      title: `write ${fieldText(offset)} = ${value}`,
      section: "VirtIO 5.1.4",
    });
    this.#device.writeConfig(offset, value);
  }

  queueSize(index: number): number {
    const entries = this.#device.queueSize(index);
    this.#chapter("queues");
    this.#add({
      kind: "read",
      title: `read queue_size of ${this.#queue(index)}: ${entries}`,
      why: "The device says how many descriptors the queue has.",
      section: "VirtIO 2.6",
    });
    return entries;
  }

  mapDma(memory: DmaMemory): void {
    this.#chapter("queues");
    const pool = memory === this.#context.pool.mempool.memory;
    this.#add({
      kind: "configuration",
      title: `maps ${memory.bytes / 2 ** 20} MiB for the device: ${
        pool ? "the pool of buffers" : "the queues"
      }`,
      why: "The device can reach this memory of the program, and no other.",
    });
    this.#device.mapDma(memory);
  }

  startQueue(index: number, areas: QueueAreas): void {
    this.#chapter("queues");
    this.#follower.setUp(index, areas);
    this.#device.startQueue(index, areas);
    this.#add({
      kind: "write",
      title: `write queue_desc, queue_driver, queue_device and queue_enable of ${
        this.#queue(index)
      }`,
      why:
        "The device learns where the descriptor table, the available ring and the used ring of the " +
        "queue are.",
      section: "VirtIO 3.1.1",
    });
  }

  notify(index: number): void {
    this.#follower.follow();
    this.#add({
      kind: "write",
      title: `notify the device: ${this.#queue(index)}`,
      why: "The device has to be told that chains are available, since it does not look by itself.",
      section: "VirtIO 2.7.13.4",
      ...this.#follower.last(index),
    });
    this.#device.notify(index);
    if (index === 2 * this.#pairs) this.#follower.acknowledge();
  }

  checkAlive(): void {
    this.#device.checkAlive();
  }

  stop(): boolean {
    this.#add({
      kind: "write",
      title: "write device_status = 0",
      why:
        "A reset stops the device: it accesses no memory any more, so its buffers return to the pool.",
      section: "VirtIO 3.3",
    });
    return this.#device.stop();
  }

  close(): void {
    this.#device.close();
    this.#add({
      kind: "configuration",
      title: "unmaps the memory",
      why: "The device cannot reach the memory any more, which can be freed now.",
    });
  }
}
