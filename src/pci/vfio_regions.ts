/**
 * Regions of a function, as VFIO and vfio-user describe them with `struct vfio_region_info` (Linux's
 * `<linux/vfio.h>`), and mapping of their mappable areas.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { DeviceError, makeCalls } from "../errors.ts";
import { MappedArea } from "./mapped_bar.ts";

/** Index of the region of configuration space; regions 0 to 5 are the BARs. */
export const CONFIG_REGION = 7;
/** Size of the buffer for a description in bytes: capabilities follow the header if there is room. */
export const REGION_INFO_BYTES = 4096;

const HEADER = 32;
const FLAG_MMAP = 4;
const CAP_SPARSE_MMAP = 1;
const PAGE = 4096;
/** The largest area that is mapped, in bytes: far more than the registers of a NIC. */
const MAX_AREA = 2 ** 30;
const UPDATE = "update the kernel or the server";

/** A region. Sizes and offsets are in bytes. */
export interface RegionInfo {
  /** Size of the region; 0 if the function has no such region. */
  readonly size: number;
  /** Offset of the region in its file. */
  readonly offset: number;
  /** Offset in the region and size of each mappable area. */
  readonly areas: readonly (readonly [offset: number, bytes: number])[];
}

/**
 * Parses a description.
 *
 * @returns The region; undefined if the description is too short.
 */
export function parseRegionInfo(info: Uint8Array): RegionInfo | undefined {
  if (info.length < HEADER) return undefined;
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  const size = read64(view, 16);
  const mappable = (view.getUint32(4, true) & FLAG_MMAP) !== 0;
  const areas = mappable ? sparseAreas(view) ?? [[0, size] as const] : [];
  return { size, offset: read64(view, 24), areas };
}

/** Returns the areas of the sparse-mmap capability; undefined if it is missing: all is mappable then. */
function sparseAreas(view: DataView): [number, number][] | undefined {
  let at = view.getUint32(12, true);
  while (at >= HEADER && at + 16 <= view.byteLength) {
    if (view.getUint16(at, true) === CAP_SPARSE_MMAP) {
      const room = Math.floor((view.byteLength - at - 16) / 16);
      const count = Math.min(view.getUint32(at + 8, true), room);
      return Array.from({ length: count }, (_, i) => {
        return [read64(view, at + 16 + 16 * i), read64(view, at + 24 + 16 * i)];
      });
    }
    const next = view.getUint32(at + 4, true);
    if (next <= at) break; // a list that goes back could be circular
    at = next;
  }
  return undefined;
}

/**
 * Checks what a function says about a BAR: that it exists, and that its mappable areas are inside it, are
 * whole pages, and do not overlap.
 *
 * @param device The device's address, for messages.
 * @param index The BAR's number, for messages.
 * @throws {DeviceError} if a check fails.
 */
export function checkBar(device: string, index: number, { size, offset, areas }: RegionInfo): void {
  const refuse = (problem: string) => new DeviceError(device, `${problem}: ${UPDATE}`);
  if (size === 0) throw new DeviceError(device, `the device has no BAR ${index}`);
  if (!Number.isInteger(Math.log2(size))) {
    throw refuse(`BAR ${index} has ${size} bytes, which is not a power of two`);
  }
  let end = 0;
  for (const [at, bytes] of areas.toSorted(([a], [b]) => a - b)) {
    const area = `a mappable area of BAR ${index}, ${bytes} bytes at ${at},`;
    if (bytes === 0 || at + bytes > size) throw refuse(`${area} lies outside the BAR`);
    if ([at, bytes, offset].some((n) => n % PAGE !== 0)) {
      throw refuse(`${area} does not consist of whole pages of the file, from ${offset} on`);
    }
    if (at < end) throw refuse(`${area} overlaps another`);
    if (bytes > MAX_AREA) throw refuse(`${area} is larger than ${MAX_AREA} bytes`);
    end = at + bytes;
  }
}

/**
 * Maps every mappable area of a BAR, which {@linkcode checkBar} has accepted.
 *
 * @param device The device's address, for messages.
 * @param index The BAR's number, for messages.
 * @param fd The file of the region.
 * @param file Whether it is a file of the device, or of the process that serves it.
 * @throws {DeviceError} if the file does not have an area, or the kernel refuses to map it.
 */
export function mapAreas(
  device: string,
  index: number,
  fd: number,
  info: RegionInfo,
  file: "device" | "peer" = "device",
): MappedArea[] {
  const areas: MappedArea[] = [];
  try {
    for (const [offset, bytes] of info.areas) {
      const mapFile = file === "peer" ? Mapping.peerFile : Mapping.file;
      const map = () => mapFile(`BAR ${index}`, fd, bytes, info.offset + offset);
      areas.push(new MappedArea(makeCalls(device, map), offset));
    }
  } catch (error) {
    for (const area of areas) area.unmap();
    if (error instanceof RangeError) {
      throw new DeviceError(device, `${error.message}: update the server`, { cause: error });
    }
    throw error;
  }
  return areas;
}

/** Reads a 64-bit number, exact up to 2^53. */
export function read64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** Writes an integer of up to 2^53 as a 64-bit number. */
export function write64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
