/**
 * Capture: writes every packet that a device or a queue receives and transmits to a pcapng file.
 *
 * @module
 */

import type { Device } from "../src/device.ts";
import type { PcapngWriter } from "../packets/pcapng_writer.ts";
import { type Trace, TracedDevice, type TraceOptions } from "./tracer.ts";

/**
 * Returns a trace that writes packets to a capture:
 * `new TracedRxQueue(queue, device, captureTo(writer, device))`. The writer buffers packets until
 * its buffer is full or the program flushes it.
 *
 * @param name The name of the interface in the capture.
 * @throws {RangeError} if the name has more than 255 bytes.
 * @throws {DeviceError} if the file takes no more; then `receive` and `transmit` of the queues
 * throw it.
 */
export function captureTo(writer: PcapngWriter, name: string): Trace {
  const number = writer.addInterface(name);
  return ({ bytes, milliseconds, direction }) => {
    writer.write(bytes, milliseconds, number, direction);
  };
}

/**
 * A device whose packets are captured. The program owns the writer: several devices can share one,
 * and it must outlive them, so declare it before them.
 */
export class CapturedDevice extends TracedDevice {
  /**
   * Takes ownership of a device: use it through this wrapper only, which also closes it.
   *
   * @throws {DeviceError} if the file takes no more; then `receive` and `transmit` of the queues
   * throw it.
   */
  constructor(device: Device, writer: PcapngWriter, options: TraceOptions = {}) {
    super(device, captureTo(writer, device.address), options);
  }
}
