/**
 * The interface between the driver and a transport, which reaches a VirtIO device. Legacy PCI,
 * modern PCI and vhost-user implement it.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../src/dma.ts";
import type { Peer } from "../src/peer.ts";

/** Bits of the device status (VirtIO 1.3, section 2.1). The driver sets them one by one. */
export const Status = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  DEVICE_NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** The three areas of a split virtqueue, as byte offsets in one memory. */
export interface QueueAreas {
  /** The memory, mapped for the device. */
  readonly memory: DmaMemory;
  /** Number of descriptors, a power of two. */
  readonly entries: number;
  /** Offset of the descriptor table, a multiple of 4096. */
  readonly descriptors: number;
  /** Offset of the available ring, which follows the descriptor table. */
  readonly available: number;
  /** Offset of the used ring: the first multiple of 4096 after the available ring. */
  readonly used: number;
}

/**
 * The transport of a VirtIO network device. The driver calls the methods in the order of section
 * 3.1.1: `reset`, status bits, features, `startQueue` for each queue, `DRIVER_OK`; at the end
 * `stop`, then `close`. It may call `queuePairs` before `reset`.
 */
export interface Transport {
  /** The device's address, for messages. */
  readonly address: string;
  /** Name of the transport: `legacy PCI`, `modern PCI`, `vhost-user`. */
  readonly name: string;
  /** The kind of bus addresses that the device uses. */
  readonly addressing: Addressing;
  /** Whether the device is used as one from before VirtIO 1.0: other header, no FEATURES_OK. */
  readonly legacy: boolean;
  /**
   * The process that serves the device; undefined for hardware. Once the transport is closed, it decides when
   * buffers return to their pools.
   */
  readonly peer?: Peer | undefined;

  /**
   * Returns how many pairs of queues the device has; 1 if it does not offer MQ, or lacks what MQ
   * requires. Changes nothing.
   */
  queuePairs(): number;
  /**
   * Resets the device and waits for the end of the reset.
   *
   * @throws {DeviceError} if the reset takes too long.
   */
  reset(): Promise<void>;
  /** Reads the device status. */
  status(): number;
  /** Writes the device status. */
  setStatus(status: number): void;
  /**
   * Returns the features that the device offers, without those that the transport does not support.
   */
  features(): bigint;
  /** Tells the device which features the driver accepts. */
  setFeatures(features: bigint): void;
  /** Reads bytes of the device's configuration space (section 5.1.4), all of the same moment. */
  readConfig(offset: number, bytes: number): Uint8Array;
  /** Writes a byte of the configuration space. */
  writeConfig(offset: number, value: number): void;
  /**
   * Returns the number of descriptors of a queue: from the device, or `wanted` if the device leaves
   * it to the driver. 0 if the device lacks the queue.
   *
   * @param wanted Default: what every device of the transport accepts.
   */
  queueSize(index: number, wanted?: number): number;
  /**
   * Maps memory for the device, until the transport is closed.
   *
   * @throws {UsageError} if the device cannot reach memory of this kind.
   */
  mapDma(memory: DmaMemory): void;
  /** Gives the device the addresses of a queue, and enables the queue. */
  startQueue(index: number, areas: QueueAreas): void;
  /** Notifies the device of new buffers in a queue. */
  notify(index: number): void;
  /**
   * Checks that the device is present and working.
   *
   * @throws {DeviceError} if it is gone, or needs a reset.
   */
  checkAlive(): void;
  /**
   * Stops the device.
   *
   * @returns Whether the device certainly accesses no memory any more. False for a back-end that
   * has failed or closed the connection, which was reported then: it may go on.
   * @throws {DeviceError} if the device does not stop in time.
   */
  stop(): boolean;
  /** Releases the device. Idempotent. */
  close(): void;
}
