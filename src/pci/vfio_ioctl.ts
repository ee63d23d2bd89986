/**
 * VFIO's system calls on containers, groups and devices (Linux's `<linux/vfio.h>`): the requests and
 * their structures. `vfio.ts` and `vfio_group.ts` use them in the right order.
 *
 * @module
 */

import { Errno, path, stubs } from "../../native/stubs.ts";
import type { IrqInfo } from "./msix.ts";
import { read64, REGION_INFO_BYTES, write64 } from "./vfio_regions.ts";

/** The request numbers, `_IO(';', 100)` and those that follow. */
const Request = {
  GET_API_VERSION: 0x3b64,
  CHECK_EXTENSION: 0x3b65,
  SET_IOMMU: 0x3b66,
  GROUP_GET_STATUS: 0x3b67,
  GROUP_SET_CONTAINER: 0x3b68,
  GROUP_GET_DEVICE_FD: 0x3b6a,
  DEVICE_GET_INFO: 0x3b6b,
  DEVICE_GET_REGION_INFO: 0x3b6c,
  DEVICE_GET_IRQ_INFO: 0x3b6d,
  DEVICE_SET_IRQS: 0x3b6e,
  DEVICE_RESET: 0x3b6f,
  IOMMU_MAP_DMA: 0x3b71,
  IOMMU_UNMAP_DMA: 0x3b72,
} as const;

/** The only version of the interface that exists. */
export const API_VERSION = 0;
/** The IOMMU type whose `unmap` removes only whole mappings. */
export const TYPE1V2_IOMMU = 3n;
/** Flag of a group: all its functions are available to user space. */
export const GROUP_VIABLE = 1;
/** Flags of a device. */
export const DeviceFlag = { RESET: 1, PCI: 2 } as const;

const DMA_READ_WRITE = 3;

// Each function returns the result of the system call, or a negative error number.

/** Returns the version of the kernel's interface. */
export function apiVersion(container: number): number {
  return stubs.ixy_ioctl_value(container, Request.GET_API_VERSION, 0n);
}

/** Returns 1 if the kernel supports this type of IOMMU, else 0. */
export function checkExtension(container: number, type: bigint): number {
  return stubs.ixy_ioctl_value(container, Request.CHECK_EXTENSION, type);
}

/** Turns on an IOMMU of this type for the container's groups. */
export function setIommu(container: number, type: bigint): number {
  return stubs.ixy_ioctl_value(container, Request.SET_IOMMU, type);
}

/** Returns the flags of a group. */
export function groupStatus(group: number): number {
  const status = new Uint32Array([8, 0]);
  const result = stubs.ixy_ioctl(group, Request.GROUP_GET_STATUS, status);
  return result < 0 ? result : status[1];
}

/** Puts a group into a container. */
export function setContainer(group: number, container: number): number {
  return stubs.ixy_ioctl(group, Request.GROUP_SET_CONTAINER, new Int32Array([container]));
}

/** Opens a function of a group and returns its descriptor. */
export function deviceFd(group: number, address: string): number {
  return stubs.ixy_ioctl(group, Request.GROUP_GET_DEVICE_FD, path(address));
}

/** Returns the flags of a device. */
export function deviceInfo(device: number): number {
  const info = new Uint32Array([20, 0, 0, 0, 0]);
  const result = stubs.ixy_ioctl(device, Request.DEVICE_GET_INFO, info);
  return result < 0 ? result : info[1];
}

/** Describes a region, see `parseRegionInfo`; fails with EINVAL if the region does not exist. */
export function regionInfo(device: number, index: number): { result: number; info: Uint8Array } {
  const request = new Uint32Array(REGION_INFO_BYTES / 4);
  request.set([REGION_INFO_BYTES, 0, index]);
  const result = stubs.ixy_ioctl(device, Request.DEVICE_GET_REGION_INFO, request);
  return { result, info: new Uint8Array(request.buffer) };
}

/** Describes an interrupt index: its flags and number of vectors. */
export function irqInfo(device: number, index: number): { result: number; info: IrqInfo } {
  const info = new Uint32Array([16, 0, index, 0]);
  const result = stubs.ixy_ioctl(device, Request.DEVICE_GET_IRQ_INFO, info);
  return { result, info: { flags: info[1], count: info[3] } };
}

/** Configures vectors from 0 as the flags say. The kernel keeps references to the eventfds. */
export function setIrqs(
  device: number,
  index: number,
  flags: number,
  count: number,
  fds: readonly number[],
): number {
  const request = new Int32Array([20 + 4 * fds.length, flags, index, 0, count, ...fds]);
  return stubs.ixy_ioctl(device, Request.DEVICE_SET_IRQS, request);
}

/** Resets a device; fails with EAGAIN while the device is locked. */
export function resetDevice(device: number): number {
  return stubs.ixy_ioctl_value(device, Request.DEVICE_RESET, 0n);
}

/** Maps memory of this process for the container's devices, at a bus address. */
export function mapDma(
  container: number,
  address: bigint,
  busAddress: number,
  bytes: number,
): number {
  const request = new DataView(new ArrayBuffer(32));
  request.setUint32(0, 32, true);
  request.setUint32(4, DMA_READ_WRITE, true);
  request.setBigUint64(8, address, true);
  write64(request, 16, busAddress);
  write64(request, 24, bytes);
  return stubs.ixy_ioctl(container, Request.IOMMU_MAP_DMA, request);
}

/** Undoes a `mapDma`; fails with EINVAL if its size was different. */
export function unmapDma(container: number, busAddress: number, bytes: number): number {
  const request = new DataView(new ArrayBuffer(24));
  request.setUint32(0, 24, true);
  write64(request, 8, busAddress);
  write64(request, 16, bytes);
  const result = stubs.ixy_ioctl(container, Request.IOMMU_UNMAP_DMA, request);
  if (result < 0) return result;
  return read64(request, 16) === bytes ? 0 : -Errno.EINVAL;
}
