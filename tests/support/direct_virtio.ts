/**
 * A VirtIO network device in the driver's thread. A test plays the device's side of the queues step
 * by step, in the memory that the driver shares, so it needs no process and can misbehave in any
 * way.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { DeviceQueue } from "../../explorer/recorder/virtio/device/device_queue.ts";
import { DriverMemory } from "../../explorer/recorder/virtio/device/driver_memory.ts";
import type { DmaMemory } from "../../src/dma.ts";
import { Feature } from "../../virtio/features.ts";
import { openVirtio, type VirtioDevice } from "../../virtio/device.ts";
import { type QueueAreas, Status, type Transport } from "../../virtio/transport.ts";
import type { OpenOptions } from "../../mod.ts";

/** Options of {@linkcode DirectVirtio}. */
export interface DirectOptions {
  readonly features?: bigint;
  readonly legacy?: boolean;
  /** Descriptors of each queue. */
  readonly entries?: readonly number[];
  /** Pairs of queues that it reports; default: 1. */
  readonly pairs?: number;
}

/** A VirtIO network device in this thread. */
export class DirectVirtio implements Transport {
  readonly address = "virtio";
  readonly name = "direct";
  readonly addressing = "iova" as const;
  readonly legacy: boolean;
  /** Actions of the driver: status bits, features, notifications, … */
  readonly log: string[] = [];
  /** The queues that the driver started. */
  readonly queues: DeviceQueue[] = [];
  /** MAC address, link status, pairs of queues. */
  readonly config = new Uint8Array(16);
  /** Features that the driver accepted. */
  taken = 0n;
  /** Whether the device accepts FEATURES_OK. */
  featuresOk = true;
  /** Whether the device reports that it has stopped in the end. */
  atRest = true;
  /** Called at each notification. */
  onNotify: (queue: number) => void = () => {};
  readonly #offered: bigint;
  readonly #entries: readonly number[];
  readonly #pairs: number;
  readonly #memory = new DriverMemory();
  #status = 0;

  constructor(options: DirectOptions = {}) {
    this.legacy = options.legacy ?? false;
    const base = this.legacy ? 0n : Feature.VERSION_1;
    this.#offered = base | (options.features ?? 0n);
    this.#pairs = options.pairs ?? 1;
    this.#entries = options.entries ?? [...Array<number>(2 * this.#pairs).fill(256), 64];
    this.config.set([0x52, 0x54, 0, 1, 2, 3, 1, 0, this.#pairs]);
  }

  /** Opens it. */
  open(options: OpenOptions): Promise<VirtioDevice> {
    return openVirtio("virtio", options, () => this);
  }

  queuePairs(): number {
    return this.#pairs;
  }

  reset(): Promise<void> {
    this.setStatus(0);
    return Promise.resolve();
  }

  status(): number {
    return this.#status;
  }

  setStatus(status: number): void {
    this.log.push(`status ${status}`);
    this.#status = this.featuresOk ? status : status & ~Status.FEATURES_OK;
  }

  features(): bigint {
    return this.#offered;
  }

  setFeatures(features: bigint): void {
    this.log.push("features");
    this.taken = features;
  }

  readConfig(offset: number, bytes: number): Uint8Array {
    return this.config.slice(offset, offset + bytes);
  }

  writeConfig(offset: number, value: number): void {
    this.config[offset] = value;
  }

  queueSize(index: number): number {
    return this.#entries[index] ?? 0;
  }

  /** Bytes of memory that the driver has mapped. */
  get mappedBytes(): number {
    return this.#memory.bytes;
  }

  mapDma(memory: DmaMemory): void {
    this.#memory.map(memory);
  }

  startQueue(index: number, areas: QueueAreas): void {
    this.log.push(`queue ${index}`);
    this.queues[index] = new DeviceQueue(areas, this.#memory);
  }

  notify(index: number): void {
    this.log.push(`notify ${index}`);
    this.onNotify(index);
  }

  checkAlive(): void {}

  stop(): boolean {
    this.log.push("stop");
    return this.atRest;
  }

  close(): void {
    this.log.push("close");
    this.#memory.release();
  }

  /** Bytes of the header before each packet (section 5.1.6). */
  get headerBytes(): number {
    return (this.taken & (Feature.VERSION_1 | Feature.MRG_RXBUF)) === 0n ? 10 : 12;
  }

  /** Fills the next receive chain of a pair with a packet, without reporting it; returns its id. */
  fill(packet: Uint8Array, buffers = 1, headerBytes = 12, pair = 0): number {
    const queue = this.queues[2 * pair], id = queue.take();
    const chain = queue.chain(id), [{ bytes }] = chain;
    const apart = chain.length === 2 && bytes.length === headerBytes;
    if (chain.some(({ writable }) => !writable) || !(apart || chain.length === 1)) {
      throw new Error(`a receive chain of ${chain.length} descriptors, the first ${bytes.length}`);
    }
    bytes.fill(0xee, 0, headerBytes);
    if (headerBytes === 12) {
      new DataView(bytes.buffer, bytes.byteOffset).setUint16(10, buffers, true);
    }
    chain.at(-1)!.bytes.set(packet, apart ? 0 : headerBytes);
    return id;
  }

  /** Fills a receive chain with a packet and reports it. */
  deliver(packet: Uint8Array, headerBytes = 12, pair = 0): void {
    const id = this.fill(packet, 1, headerBytes, pair);
    this.queues[2 * pair].put(id, packet.length + headerBytes);
  }

  /** Takes the next packet that the driver transmits on a pair, without reporting it. */
  collect(
    pair = 0,
  ): { id: number; descriptors: number; header: Uint8Array; packet: Uint8Array } {
    const queue = this.queues[2 * pair + 1], id = queue.take();
    const chain = queue.chain(id), bytes = this.headerBytes;
    if (chain.some(({ writable }) => writable)) throw new Error("a writable chain to transmit");
    const all = Uint8Array.from(chain.flatMap((piece) => [...piece.bytes]));
    if (chain.length === 2) assertEquals(chain[0].bytes.length, bytes, "bytes of the header");
    const header = all.slice(0, bytes), packet = all.slice(bytes);
    return { id, descriptors: chain.length, header, packet };
  }
}

/** Acknowledges the driver's commands; returns them, each as class, command and data. */
export function answer(direct: DirectVirtio, acknowledgement = 0): number[][] {
  const commands: number[][] = [];
  direct.onNotify = (index) => {
    if (index !== 2) return;
    const queue = direct.queues[2], id = queue.take();
    const [command, data, ack] = queue.chain(id);
    assertEquals([command.writable, data.writable, ack.writable], [false, false, true]);
    commands.push([...command.bytes, ...data.bytes]);
    ack.bytes[0] = acknowledgement;
    queue.put(id, 1);
  };
  return commands;
}
