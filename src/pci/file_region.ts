/**
 * A region of a PCI function that is accessed by reading and writing a file: configuration space, I/O
 * ports, and memory that cannot be mapped.
 *
 * @module
 */

import { Errno, stubs, SystemError } from "../../native/stubs.ts";
import { checkCall, DeviceError, UsageError } from "../errors.ts";
import type { RegionAccess } from "./mapped_bar.ts";

/** What to do about files of the kernel that cannot be written. */
export const READ_ONLY_REMEDY = "run `mount -o remount,rw /sys`, in a container use `-v /sys:/sys`";
/** What to do about files of the kernel that this process may not use. */
const FORBIDDEN_REMEDY =
  "run this as root, in a container with `--cap-add SYS_ADMIN --cap-add SYS_RAWIO`, and check whether the " +
  "kernel is locked down (/sys/kernel/security/lockdown)";

/**
 * Returns the error for a file of the kernel that this process may not use.
 *
 * @param device The device's address.
 * @param cause The system call that failed.
 */
export function forbidden(device: string, cause: SystemError): UsageError {
  const remedy = cause.errno === Errno.EROFS ? READ_ONLY_REMEDY : FORBIDDEN_REMEDY;
  return new UsageError(`${device}: ${cause.message}: ${remedy}`, { cause });
}

/** A region in an open file, as registers of 1, 2 or 4 bytes. */
export class FileRegion implements RegionAccess {
  readonly #device: string;
  readonly #file: string;
  readonly #fd: number;
  readonly #base: number;
  readonly #view = new DataView(new ArrayBuffer(4));

  /**
   * Creates access to a region.
   *
   * @param device The device's address, for messages.
   * @param file The file's name, for messages.
   * @param fd The open file, which the caller closes.
   * @param base Offset of the region in the file, in bytes.
   */
  constructor(device: string, file: string, fd: number, base = 0) {
    this.#device = device;
    this.#file = file;
    this.#fd = fd;
    this.#base = base;
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    this.#view.setUint32(0, 0);
    const at = this.#base + offset;
    this.#check("read", offset, bytes, stubs.ixy_pread(this.#fd, this.#view, bytes, at));
    return this.#view.getUint32(0, true);
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#view.setUint32(0, value, true);
    const at = this.#base + offset;
    this.#check("write", offset, bytes, stubs.ixy_pwrite(this.#fd, this.#view, bytes, at));
  }

  #check(verb: string, offset: number, bytes: number, result: number): void {
    if (result === bytes) return;
    const what = `${verb} ${bytes} bytes at ${offset} of ${this.#file}`;
    if (result === -Errno.EPERM || result === -Errno.EACCES) {
      throw forbidden(this.#device, new SystemError(what, -result));
    }
    checkCall(this.#device, what, result, "reset the device");
    throw new DeviceError(this.#device, `${what}: ${result} done: reset the device`);
  }
}
