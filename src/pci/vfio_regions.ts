/**
 * Regions of a function as VFIO and vfio-user describe them, both with `struct vfio_region_info` of
 * Linux's `<linux/vfio.h>`, and the mapping of the areas that it allows to map. How a region is read and
 * written otherwise is the bus's affair.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { DeviceError, makeCalls } from "../errors.ts";
import { MappedArea } from "./mapped_bar.ts";

/** Number of the region that is configuration space; regions 0 to 5 are the BARs. */
export const CONFIG_REGION = 7;
/** Bytes to ask for a description with: capabilities follow the description where there is room. */
export const REGION_INFO_BYTES = 4096;

const HEADER = 32;
const FLAG_MMAP = 4;
const CAP_SPARSE_MMAP = 1;

/** A region: sizes and offsets are in bytes. */
export interface RegionInfo {
  /** Size of the region; 0 if the function has no such region. */
  readonly size: number;
  /** Where the region begins in the file that it is reached by. */
  readonly offset: number;
  /** Offset in the region and size of each area that may be mapped. */
  readonly areas: readonly (readonly [offset: number, bytes: number])[];
}

/**
 * Reads a description.
 *
 * @returns undefined if it is shorter than a description.
 */
export function parseRegionInfo(info: Uint8Array): RegionInfo | undefined {
  if (info.length < HEADER) return undefined;
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  const size = read64(view, 16);
  const mappable = (view.getUint32(4, true) & FLAG_MMAP) !== 0;
  const areas = mappable ? sparseAreas(view) ?? [[0, size] as const] : [];
  return { size, offset: read64(view, 24), areas };
}

/** The areas of the sparse-mmap capability; undefined if there is none: all may be mapped then. */
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
    if (next <= at) break; // a list that turns back would never end
    at = next;
  }
  return undefined;
}

/**
 * Maps every area of a BAR that may be mapped.
 *
 * @param device The device's address, for messages.
 * @param index The BAR's number, for messages.
 * @param fd The file that the region is in.
 * @throws {DeviceError} if an area does not lie in the region.
 */
export function mapAreas(
  device: string,
  index: number,
  fd: number,
  info: RegionInfo,
): MappedArea[] {
  const areas: MappedArea[] = [];
  try {
    for (const [offset, bytes] of info.areas) {
      if (bytes === 0 || offset + bytes > info.size) {
        throw new DeviceError(device, `mappable area of BAR ${index} lies outside of it`);
      }
      const map = () => Mapping.file(`BAR ${index}`, fd, bytes, info.offset + offset);
      areas.push(new MappedArea(makeCalls(device, map), offset));
    }
  } catch (error) {
    for (const area of areas) area.unmap();
    throw error;
  }
  return areas;
}

/** Reads 8 bytes, which are exact to 2^53. */
export function read64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** Writes a whole number of up to 2^53 as 8 bytes. */
export function write64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
