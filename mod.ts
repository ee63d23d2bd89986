/**
 * ixy.ts: drives network cards from user space, in TypeScript.
 *
 * @module
 */

import type { Device, OpenOptions } from "./src/device.ts";
import { ixgbe } from "./ixgbe/device.ts";
import { layoutFor as suitableLayout, openDevice, type PoolLayout } from "./src/open.ts";
import { virtio } from "./virtio/driver.ts";
import { xdp } from "./xdp/driver.ts";

export { MAX_BATCH, PacketBatch } from "./src/batch.ts";
export type {
  Device,
  Interrupt,
  LinkModule,
  LinkStatus,
  OpenOptions,
  RxQueue,
  Statistics,
  TxQueue,
  XdpOptions,
} from "./src/device.ts";
export { DeviceError, StopError, SystemError, UsageError } from "./src/errors.ts";
export { Mempool, type MempoolOptions } from "./src/mempool.ts";
export type { PoolLayout } from "./src/open.ts";
export { RSS_KEY, RSS_SYMMETRIC_KEY, toeplitz } from "./src/toeplitz.ts";
export { StopFlag } from "./native/stop.ts";
export { Waiter } from "./src/waiter.ts";

const DRIVERS = [ixgbe, virtio, xdp];

/**
 * Opens a device and starts it: the link is set up, and the queues run (default: one receive and one
 * transmit queue).
 *
 * ```ts
 * import { open } from "./mod.ts";
 *
 * using nic = await open("0000:03:00.0");
 * console.log(await nic.waitForLink());
 * ```
 *
 * If it throws, everything acquired so far is released, but the device may already have been unbound
 * from its kernel driver.
 *
 * @param address `0000:03:00.0` (or `03:00.0`) for a PCI function; `vfio-user:PATH` for one that
 * another process serves on a Unix socket; `vhost-user:PATH` for a VirtIO back-end on a Unix socket;
 * `vhost-user-server:PATH` for a VirtIO back-end that connects: `open` creates the socket and waits for it;
 * `xdp:NAME` for a network interface of Linux.
 * @throws {UsageError} if the address is malformed; the device does not exist, is in use or is not
 * supported; an option is unknown, out of range or not supported by the device; memory or a permission
 * is missing; or this is not Linux on x86-64 with `--allow-ffi`.
 * @throws {DeviceError} if the device is gone or does not follow its specification, or the kernel refuses a
 * call.
 * @throws {StopError} if a {@linkcode StopFlag} has caught a signal.
 * @throws {SuppressedError} if releasing fails as well: `suppressed` is the first of the two errors.
 */
export function open(address: string, options: OpenOptions = {}): Promise<Device> {
  return openDevice(address, DRIVERS, options);
}

/**
 * Returns the layout of a pool that suits a program's devices, which are faster with it. `headroom`, in bytes: 64
 * if all are VirtIO devices; 256 if some are network interfaces instead; 0 if one is an ixgbe device. `spread`: if
 * all are ixgbe devices with PCI addresses. Opens no device, so it does not know what is behind `vfio-user:`.
 *
 * ```ts
 * import { layoutFor, Mempool } from "./mod.ts";
 *
 * using pool = new Mempool(layoutFor("vhost-user:a.sock", "vhost-user:b.sock"));
 * ```
 *
 * @param addresses Addresses as for `open`.
 * @throws {SystemError} if the kernel does not tell the vendor of a PCI function that exists.
 */
export function layoutFor(...addresses: readonly string[]): PoolLayout {
  return suitableLayout(addresses, DRIVERS);
}
