/**
 * ixy.ts: network cards driven from user space, in TypeScript.
 *
 * @module
 */

import type { Device, OpenOptions } from "./src/device.ts";
import { ixgbe } from "./ixgbe/mod.ts";
import { openDevice } from "./src/open.ts";
import { virtio } from "./virtio/mod.ts";

export { MAX_BATCH, PacketBatch } from "./src/batch.ts";
export type {
  Device,
  LinkStatus,
  OpenOptions,
  RxInterrupt,
  RxQueue,
  Statistics,
  TxQueue,
} from "./src/device.ts";
export type { Driver } from "./src/driver.ts";
export { type Addressing, DmaMemory, type MemoryKind, type SharedMemory } from "./src/dma.ts";
export { DeviceError, UsageError } from "./src/errors.ts";
export {
  Mempool,
  type MempoolOptions,
  type Reclaimer,
  type TransferredPool,
} from "./src/mempool.ts";
export type { Bar, Doorbell, PciFunction } from "./src/pci/function.ts";
export { AdoptedQueues } from "./ixgbe/adopt.ts";
export type { SharedWords, TransferredQueues } from "./src/transfer.ts";
export { RSS_KEY, RSS_SYMMETRIC_KEY, toeplitz } from "./src/toeplitz.ts";
export { StopFlag } from "./native/stop.ts";
export { Waiter } from "./src/waiter.ts";

/**
 * Opens a device and starts it: link set up, one receive and one transmit queue running, or as many as
 * asked for.
 *
 * ```ts
 * import { open } from "./mod.ts";
 *
 * using nic = await open("0000:03:00.0");
 * console.log(await nic.waitForLink());
 * ```
 *
 * @param address `0000:03:00.0` (or `03:00.0`) for a PCI function, `vfio-user:PATH` for one that
 * another process serves on a Unix socket, `vhost-user:PATH` for a VirtIO back-end on a Unix socket.
 * @throws {UsageError} if the address has no such form, there is no such device, it is in use, not
 * supported, or permission is missing. Nothing was changed then.
 * @throws {DeviceError} if the device does not do as its specification says.
 */
export function open(address: string, options: OpenOptions = {}): Promise<Device> {
  return openDevice(address, [ixgbe, virtio], options);
}
