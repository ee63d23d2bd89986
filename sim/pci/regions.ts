/**
 * The regions of the PCI function: configuration space, BAR0 (the model's registers) and BAR4 (the
 * MSI-X table). A client accesses them by messages, and may map some pages of BAR0.
 *
 * @module
 */

import type { Mapping } from "../../native/mapping.ts";
import { Errno } from "../../native/stubs.ts";
import { DOORBELL_PAGES } from "../nic/doorbells.ts";
import {
  BAR0_BYTES,
  BAR4_BYTES,
  CONFIG_BYTES,
  ConfigSpace,
  MSIX_TABLE,
  MSIX_VECTORS,
} from "./config_space.ts";
import { RequestError } from "./connection.ts";
import type { Model } from "./model.ts";

/** Options of the regions. */
export interface RegionsOptions {
  /** The model, whose registers are BAR0. */
  readonly model: Model;
  /** PCI device id. */
  readonly deviceId: number;
  /** MAC address, 6 bytes. */
  readonly mac: Uint8Array;
  /**
   * Memory of 512 KiB with the pages of tail registers, which the client maps and the model polls.
   * Without it, every register write is a message. A client that maps it must write only tail
   * registers there. So it does not suit QEMU, which writes whatever its guest writes.
   */
  readonly doorbells?: Mapping | undefined;
}

/** Number of regions as VFIO counts them, including empty ones. */
export const REGIONS = 9;

const BAR0 = 0;
const BAR4 = 4;
const CONFIG = 7;
const READ_WRITE = 0x3;
const MMAP = 0x4;
const CAPS = 0x8;
const INFO_BYTES = 32;
const CAP_SPARSE_MMAP = 1;

/** An access to part of a region, with valid bounds. */
export interface Access {
  /** Region index, as VFIO numbers them. */
  readonly region: number;
  /** Offset in the region, in bytes. */
  readonly offset: number;
  /** Length in bytes: for BAR0 1, 2, 4 or 8. */
  readonly bytes: number;
}

/** The regions of one function. */
export class Regions {
  readonly #model: Model;
  readonly #mapping: Mapping | undefined;
  readonly #config: ConfigSpace;
  readonly #bar4 = new Uint8Array(BAR4_BYTES);

  /** Creates the regions in their state after power-on. */
  constructor(options: RegionsOptions) {
    this.#model = options.model;
    this.#mapping = options.doorbells;
    this.#config = new ConfigSpace({
      deviceId: options.deviceId,
      mac: options.mac,
      onBusMaster: (on) => this.#model.setBusMaster(on),
      onReset: () => this.#resetFunction(),
    });
    this.#resetBar4();
  }

  /** Whether the function may reach memory. */
  get busMaster(): boolean {
    return this.#config.busMaster;
  }

  /** Does a function level reset, which includes the model. */
  reset(): void {
    this.#config.reset();
    this.#resetFunction();
  }

  /** Resets the regions as at power-on, without the model. */
  powerOn(): void {
    this.#config.reset();
    this.#resetBar4();
  }

  /**
   * Writes VFIO's information about a region.
   *
   * @param index Region index.
   * @param room Bytes that the client has room for.
   * @param out Takes the information.
   * @returns Bytes written, and the descriptor to send with them, if any.
   * @throws {RequestError} if the room is too small, or there is no such region.
   */
  info(index: number, room: number, out: DataView): { bytes: number; fds: number[] } {
    if (room < INFO_BYTES) {
      throw new RequestError(Errno.EINVAL, `region information does not fit ${room} bytes`);
    }
    if (index >= REGIONS) throw new RequestError(Errno.EINVAL, `there is no region ${index}`);
    const size = regionBytes(index);
    if (index !== BAR0 || this.#mapping === undefined) {
      const flags = size > 0 ? READ_WRITE : 0;
      putWords(out, 0, [INFO_BYTES, flags, index, 0, size, 0, 0, 0]);
      return { bytes: INFO_BYTES, fds: [] };
    }
    // As in VFIO, a client without room for the capabilities gets their size.
    const total = INFO_BYTES + 16 + DOORBELL_PAGES.length * 16;
    const fits = room >= total;
    const flags = READ_WRITE | MMAP | CAPS;
    putWords(out, 0, [total, flags, index, fits ? INFO_BYTES : 0, size, 0, 0, 0]);
    if (!fits) return { bytes: INFO_BYTES, fds: [] };
    putWords(out, INFO_BYTES, [CAP_SPARSE_MMAP | 1 << 16, 0, DOORBELL_PAGES.length, 0]);
    DOORBELL_PAGES.forEach(([start, end], i) => {
      putWords(out, INFO_BYTES + 16 + i * 16, [start, 0, end - start, 0]);
    });
    return { bytes: total, fds: [this.#mapping.fd] };
  }

  /** Reads part of a region into `out`, from `at` on. */
  read({ region, offset, bytes }: Access, out: DataView<ArrayBuffer>, at: number): void {
    if (region !== BAR0) {
      const to = new Uint8Array(out.buffer, out.byteOffset + at, bytes);
      if (region === CONFIG) this.#config.read(offset, to);
      else to.set(this.#bar4.subarray(offset, offset + bytes));
    } else if (bytes === 8) {
      out.setUint32(at, this.#model.read32(offset), true);
      out.setUint32(at + 4, this.#model.read32(offset + 4), true);
    } else {
      out.setUint32(at, this.#model.read32(offset & ~3) >>> (offset & 3) * 8, true);
    }
  }

  /** Writes part of a region from `data`, from `at` on. */
  write({ region, offset, bytes }: Access, data: DataView<ArrayBuffer>, at: number): void {
    if (region === BAR0 && bytes >= 4) {
      for (let i = 0; i < bytes; i += 4) {
        this.#model.write32(offset + i, data.getUint32(at + i, true));
      }
      return;
    }
    const from = new Uint8Array(data.buffer, data.byteOffset + at, bytes);
    if (region === CONFIG) this.#config.write(offset, from);
    else if (region === BAR4) this.#bar4.set(from, offset);
    else this.#writeNarrow(offset, from);
  }

  /** Writes less than a word: other bytes of the word get the value that a read returns. */
  #writeNarrow(offset: number, from: Uint8Array): void {
    const at = offset & ~3;
    const word = new DataView(new ArrayBuffer(4));
    word.setUint32(0, this.#model.read32(at), true);
    for (let i = 0; i < from.length; i++) word.setUint8(offset - at + i, from[i]);
    this.#model.write32(at, word.getUint32(0, true));
  }

  #resetFunction(): void {
    this.#model.reset("function");
    this.#resetBar4();
  }

  /** Masks every MSI-X vector, as the specification requires after a reset. */
  #resetBar4(): void {
    this.#bar4.fill(0);
    for (let i = 0; i < MSIX_VECTORS; i++) this.#bar4[MSIX_TABLE + i * 16 + 12] = 1;
  }
}

/**
 * Parses the fixed part of a region access.
 *
 * @throws {RequestError} if it exceeds the region, or BAR0 does not allow its size or alignment.
 */
export function regionAccess(body: DataView): Access {
  const high = body.getUint32(4, true);
  const offset = body.getUint32(0, true);
  const region = body.getUint32(8, true);
  const bytes = body.getUint32(12, true);
  if (high !== 0 || bytes === 0 || offset + bytes > regionBytes(region)) {
    throw new RequestError(
      Errno.EINVAL,
      `region ${region} has no ${bytes} bytes at 0x${(high * 2 ** 32 + offset).toString(16)}`,
    );
  }
  if (bytes > CONFIG_BYTES) {
    throw new RequestError(Errno.EINVAL, `${bytes} bytes are too many for one access`);
  }
  if (region === BAR0 && (![1, 2, 4, 8].includes(bytes) || offset % Math.min(bytes, 4) !== 0)) {
    throw new RequestError(
      Errno.EINVAL,
      `registers at 0x${offset.toString(16)} cannot be accessed ${bytes} bytes at a time`,
    );
  }
  return { region, offset, bytes };
}

function regionBytes(index: number): number {
  return index === BAR0
    ? BAR0_BYTES
    : index === BAR4
    ? BAR4_BYTES
    : index === CONFIG
    ? CONFIG_BYTES
    : 0;
}

/** Writes consecutive 32-bit words. */
export function putWords(out: DataView, at: number, words: readonly number[]): void {
  for (let i = 0; i < words.length; i++) out.setUint32(at + i * 4, words[i], true);
}
