/**
 * How a VirtIO device is reached: what the driver needs of a transport, and nothing of how it is done.
 * Three transports have this interface: legacy PCI, modern PCI and vhost-user.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../src/dma.ts";

/** Bits of the device status (VirtIO 1.3, section 2.1). The driver sets them one by one. */
export const Status = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  DEVICE_NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** Where the three parts of a split virtqueue are, as byte offsets in one memory. */
export interface QueueAreas {
  /** The memory; the device can reach it already. */
  readonly memory: DmaMemory;
  /** Number of descriptors, a power of two. */
  readonly entries: number;
  /** Offset of the descriptor table, a multiple of 4096. */
  readonly descriptors: number;
  /** Offset of the available ring: behind the descriptor table. */
  readonly available: number;
  /** Offset of the used ring: the next multiple of 4096 behind the available ring. */
  readonly used: number;
}

/**
 * A VirtIO network device through its transport. The driver calls the methods in the order of
 * section 3.1.1: `reset`, status bits, features, `startQueue` for each queue, `DRIVER_OK`; and at the
 * end `stop`, then `close`. Before all that it may look at `queuePairs`.
 */
export interface Transport {
  /** The device's address, for messages. */
  readonly address: string;
  /** What it is: `legacy PCI`, `modern PCI`, `vhost-user`. */
  readonly name: string;
  /** What bus addresses the device uses. */
  readonly addressing: Addressing;
  /** Whether the device is one of before VirtIO 1.0: other header, no FEATURES_OK. */
  readonly legacy: boolean;

  /**
   * How many pairs of queues the device has: 1 if it does not offer the feature MQ and all that goes
   * with it. Changes nothing; can be asked before `reset`.
   */
  queuePairs(): number;
  /**
   * Resets the device and waits until it has.
   *
   * @throws {DeviceError} if it does not in time.
   */
  reset(): Promise<void>;
  /** The device status. */
  status(): number;
  /** Writes the device status. */
  setStatus(status: number): void;
  /** The features that the device offers, less those that the transport itself cannot carry. */
  features(): bigint;
  /** Tells the device which features the driver takes. */
  setFeatures(features: bigint): void;
  /** Bytes of the device's configuration space (section 5.1.4), consistent with each other. */
  readConfig(offset: number, bytes: number): Uint8Array;
  /** Writes a byte of the configuration space. */
  writeConfig(offset: number, value: number): void;
  /**
   * The number of descriptors of a queue: what the device says, where it says it, else `wanted`.
   *
   * @returns 0 if the device has no such queue.
   */
  queueSize(index: number, wanted: number): number;
  /**
   * Lets the device reach memory until the transport closes.
   *
   * @throws {UsageError} if the device cannot reach memory of this kind.
   */
  mapDma(memory: DmaMemory): void;
  /** Tells the device where a queue is, and enables the queue. */
  startQueue(index: number, areas: QueueAreas): void;
  /** Notifies the device of new buffers in a queue. */
  notify(index: number): void;
  /**
   * Looks whether the device is still there and well.
   *
   * @throws {DeviceError} if it is gone, or needs a reset.
   */
  checkAlive(): void;
  /**
   * Stops the device for good.
   *
   * @returns Whether it is known to reach no memory any more; false after a failure that was reported
   * before, of a back-end that hangs and may wake up.
   * @throws {DeviceError} if it does not come to rest in time.
   */
  stop(): boolean;
  /** Gives the device up. Again: nothing happens. */
  close(): void;
}
