/**
 * BARs through the files `resource0` to `resource5` in a function's sysfs directory.
 *
 * @module
 */

import { status } from "../../native/files.ts";
import { Errno, Open, path, stubs, SystemError } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { DeviceError, UsageError } from "../errors.ts";
import { FileRegion, forbidden } from "./file_region.ts";
import { MappedArea, MappedBar } from "./mapped_bar.ts";

/** I/O ports. Every access is a system call. */
class Ports extends FileRegion {
  #fd: number | undefined;

  constructor(device: string, file: string, fd: number) {
    super(device, file, fd);
    this.#fd = fd;
  }

  close(): void {
    if (this.#fd !== undefined) stubs.ixy_close(this.#fd);
    this.#fd = undefined;
  }
}

/**
 * Opens a BAR. A memory BAR is mapped as a whole, for reading and writing; I/O ports are accessed through
 * the file.
 *
 * @param device The device's address, for messages.
 * @param directory The function's sysfs directory.
 * @param index The BAR's number.
 * @param ports Whether the BAR is for I/O ports.
 * @param remedy What to do if the kernel refuses to map it, for messages.
 * @throws {DeviceError} if the function has no such BAR.
 * @throws {UsageError} if the kernel refuses access to it.
 */
export function openResource(
  device: string,
  directory: string,
  index: number,
  ports: boolean,
  remedy = "boot with iomem=relaxed, or end the program that uses the device",
): MappedBar {
  const file = `${directory}/resource${index}`;
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd === -Errno.ENOENT) {
    throw new DeviceError(device, `the device has no BAR ${index}: ${file} does not exist`);
  }
  if (fd < 0) throw forbidden(device, new SystemError(`open ${file}`, -fd));
  let kept = false;
  try {
    const { size } = status(fd);
    if (!ports) return new MappedBar(size, [new MappedArea(Mapping.file(file, fd, size), 0)]);
    kept = true;
    return new MappedBar(size, [], new Ports(device, file, fd));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new UsageError(`${device}: ${error.message}: ${remedy}`, { cause: error });
  } finally {
    if (!kept) stubs.ixy_close(fd);
  }
}
