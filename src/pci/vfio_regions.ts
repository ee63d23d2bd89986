/**
 * Regions of a function as VFIO and vfio-user describe them, both with `struct vfio_region_info` of
 * Linux's `<linux/vfio.h>`, and the windows through which memory of a region is reached without a
 * system call or message. How a region is read and written otherwise is the bus's affair.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { DeviceError, makeCalls } from "../errors.ts";

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
  /** Offset in the region and size of each part that may be mapped. */
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

/** A mapped part of a region: every access is a load or a store. */
export class Window {
  /** Offset of its first byte in the region. */
  readonly offset: number;
  /** It as registers of 1, 2 or 4 bytes; empty once it is unmapped. */
  readonly words: { readonly 1: Uint8Array; readonly 2: Uint16Array; readonly 4: Uint32Array };
  readonly #mapping: Mapping;

  /** @param offset Offset of its first byte in the region. */
  constructor(mapping: Mapping, offset: number) {
    const { buffer } = mapping;
    this.offset = offset;
    this.words = {
      1: new Uint8Array(buffer),
      2: new Uint16Array(buffer),
      4: new Uint32Array(buffer),
    };
    this.#mapping = mapping;
  }

  /** Whether the byte at this offset of the region is in it. */
  has(offset: number): boolean {
    return offset >= this.offset && offset < this.offset + this.#mapping.bytes;
  }

  /** Unmaps it and empties its views. Again: nothing happens. */
  unmap(): void {
    this.#mapping.unmap();
  }
}

/**
 * Maps every part of a BAR that may be mapped.
 *
 * @param device The device's address, for messages.
 * @param index The BAR's number, for messages.
 * @param fd The file that the region is in.
 * @throws {DeviceError} if a part does not lie in the region.
 */
export function mapWindows(device: string, index: number, fd: number, info: RegionInfo): Window[] {
  const windows: Window[] = [];
  try {
    for (const [offset, bytes] of info.areas) {
      if (bytes === 0 || offset + bytes > info.size) {
        throw new DeviceError(device, `part of BAR ${index} that can be mapped lies outside of it`);
      }
      const map = () => Mapping.file(`BAR ${index}`, fd, bytes, info.offset + offset);
      windows.push(new Window(makeCalls(device, map), offset));
    }
  } catch (error) {
    for (const window of windows) window.unmap();
    throw error;
  }
  return windows;
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
