/**
 * The capture: writes every packet that a device or a queue receives and transmits to a pcapng file.
 *
 * @module
 */

import type { Device } from "../src/device.ts";
import type { PcapngWriter } from "../packets/pcapng_writer.ts";
import { type Trace, TracedDevice, type TraceOptions } from "./tracer.ts";

/**
 * Writes packets to a capture, for queues that are traced:
 * `new TracedRxQueue(queue, device, captureTo(writer, device))`. Packets wait in the writer until a
 * large piece is full or somebody flushes it.
 *
 * @param name What readers of the capture call the interface.
 * @throws {RangeError} if the name has more than 255 bytes.
 * @throws {DeviceError} if the file takes no more; so do `receive` and `transmit` of the queues then.
 */
export function captureTo(writer: PcapngWriter, name: string): Trace {
  const number = writer.addInterface(name);
  return ({ bytes, milliseconds, direction }) => {
    writer.write(bytes, milliseconds, number, direction);
  };
}

/**
 * A device whose packets are captured. The capture is the program's: several devices may write to one,
 * and it outlives them, so declare it before them.
 */
export class CapturedDevice extends TracedDevice {
  /**
   * Takes a device over: use it through this one only, which also closes it.
   *
   * @throws {DeviceError} if the file takes no more; so do `receive` and `transmit` of the queues then.
   */
  constructor(device: Device, writer: PcapngWriter, options: TraceOptions = {}) {
    super(device, captureTo(writer, device.address), options);
  }
}
