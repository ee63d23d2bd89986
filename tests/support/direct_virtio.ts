/**
 * A VirtIO network device in the driver's thread. A test plays the device's side of the queues step
 * by step, in the memory that the driver shares, so it needs no process and can misbehave in any
 * way.
 *
 * @module
 */

import type { DmaMemory } from "../../src/dma.ts";
import { Feature } from "../../virtio/features.ts";
import { openVirtio, type VirtioDevice } from "../../virtio/device.ts";
import { type QueueAreas, Status, type Transport } from "../../virtio/transport.ts";
import type { OpenOptions } from "../../mod.ts";

const NEXT = 1, WRITE = 2;

/** The device's side of a queue: chains by their ids. */
export class DirectQueue {
  readonly entries: number;
  readonly #memory: (address: number, bytes: number) => Uint8Array;
  readonly #table: DataView;
  readonly #available: DataView;
  readonly #used: DataView;
  /** Chains taken from the available ring. */
  #taken = 0;
  /** The used index that the driver sees. */
  usedIndex = 0;

  constructor(areas: QueueAreas, memory: (address: number, bytes: number) => Uint8Array) {
    const { buffer } = areas.memory;
    this.entries = areas.entries;
    this.#memory = memory;
    this.#table = new DataView(buffer, areas.descriptors, 16 * areas.entries);
    this.#available = new DataView(buffer, areas.available, 4 + 2 * areas.entries);
    this.#used = new DataView(buffer, areas.used, 4 + 8 * areas.entries);
  }

  /** Available chains that were not taken. */
  get waiting(): number {
    return (this.#available.getUint16(2, true) - this.#taken) & 0xffff;
  }

  /** Takes the next chain; returns its id. */
  take(): number {
    if (this.waiting === 0) throw new Error("the driver has made no chain available");
    return this.#available.getUint16(4 + 2 * (this.#taken++ % this.entries), true);
  }

  /** Returns the buffers of a chain. */
  chain(id: number): { bytes: Uint8Array; writable: boolean }[] {
    const buffers = [];
    for (let at = id, more = true; more;) {
      const low = this.#table.getUint32(16 * at, true),
        high = this.#table.getUint32(16 * at + 4, true);
      const flags = this.#table.getUint16(16 * at + 12, true);
      buffers.push({
        bytes: this.#memory(low + high * 2 ** 32, this.#table.getUint32(16 * at + 8, true)),
        writable: (flags & WRITE) !== 0,
      });
      more = (flags & NEXT) !== 0;
      at = this.#table.getUint16(16 * at + 14, true);
    }
    return buffers;
  }

  /** Puts an entry into the used ring, and advances its index. */
  put(id: number, length: number, advance = 1): void {
    const at = 4 + 8 * (this.usedIndex % this.entries);
    this.#used.setUint32(at, id, true);
    this.#used.setUint32(at + 4, length, true);
    this.usedIndex = (this.usedIndex + advance) & 0xffff;
    this.#used.setUint16(2, this.usedIndex, true);
  }

  /** Sets the used ring's flags: 1 for no notifications. */
  set flags(value: number) {
    this.#used.setUint16(0, value, true);
  }

  /** The available ring's flags: 1 for no interrupts. */
  get availableFlags(): number {
    return this.#available.getUint16(0, true);
  }
}

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
  readonly queues: DirectQueue[] = [];
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
  readonly #memories: DmaMemory[] = [];
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
    return this.#memories.reduce((sum, memory) => sum + memory.bytes, 0);
  }

  mapDma(memory: DmaMemory): void {
    this.#memories.push(memory);
    memory.pin();
  }

  startQueue(index: number, areas: QueueAreas): void {
    this.log.push(`queue ${index}`);
    this.queues[index] = new DirectQueue(areas, (address, bytes) => this.#bytes(address, bytes));
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
    for (const memory of this.#memories.splice(0)) memory.unpin();
  }

  #bytes(address: number, bytes: number): Uint8Array {
    const memory = this.#memories.find((m) => {
      const at = address - m.busAddress(0, "iova");
      return at >= 0 && at + bytes <= m.bytes;
    });
    if (!memory) throw new Error(`the driver gave an address outside its memory: ${address}`);
    return new Uint8Array(memory.buffer, address - memory.busAddress(0, "iova"), bytes);
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
  collect(pair = 0): { id: number; header: Uint8Array; packet: Uint8Array } {
    const queue = this.queues[2 * pair + 1], id = queue.take();
    const [header, data] = queue.chain(id);
    if (header.writable || data.writable) throw new Error("a writable chain to transmit");
    return { id, header: header.bytes.slice(), packet: data.bytes.slice() };
  }
}
