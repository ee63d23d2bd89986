/**
 * Devices that wrap a device: one prints every packet, one captures packets to a file, one drops,
 * corrupts, duplicates, delays and reorders some, and one connects again when the process that serves
 * the device ends. A wrapped device is a device again, so a
 * program need not know about the wrapper, and wrappers can wrap each other. An unwrapped device
 * costs nothing more; a wrapped one costs some memory and time per packet.
 *
 * This program only receives, as if over a bad line, and prints and captures the packets that pass.
 * Run it as `deno run --allow-ffi --allow-write=line.pcapng example.ts DEVICE`.
 *
 * ```ts
 * import { Mempool, open, PacketBatch, StopFlag } from "../mod.ts";
 * import { CapturedDevice, FaultyDevice, PcapngWriter, TracedDevice } from "./mod.ts";
 *
 * using pool = new Mempool({ buffers: 2048 });
 * using capture = new PcapngWriter("line.pcapng");
 * const card = await open(Deno.args[0], { pool, promiscuous: true });
 * // The same seed gives the same faults, here in 5 % of all packets.
 * const line = new FaultyDevice(card, { seed: 7, receive: { drop: 0.03, corrupt: 0.02 } });
 * // Closing the outermost device closes all of them.
 * using device = new TracedDevice(new CapturedDevice(line, capture));
 *
 * using stop = new StopFlag();
 * const batch = new PacketBatch(pool);
 * while (stop.signal === 0) {
 *   if (device.rxQueues[0].receive(batch) > 0) batch.free();
 * }
 * const { packets, dropped, corrupted } = line.faults().receive;
 * console.log(`${dropped} of ${packets} packets lost, ${corrupted} damaged`);
 * ```
 *
 * @module
 */

export { CapturedDevice, captureTo } from "./capture.ts";
export {
  type DeviceFaults,
  type FaultOptions,
  FaultyDevice,
  FaultyRxQueue,
  FaultyTxQueue,
} from "./fault_injector.ts";
export type { FaultCounts, Faults } from "./faults.ts";
export { ReconnectingDevice } from "./reconnecting.ts";
export {
  type Trace,
  TracedDevice,
  type TracedPacket,
  TracedRxQueue,
  TracedTxQueue,
  traceLine,
  type TraceOptions,
} from "./tracer.ts";
export { WrappedDevice } from "./wrapped_device.ts";
export { MAX_SNAPLEN, openSink, type Sink } from "../packets/capture_file.ts";
export { type PacketDirection, PcapngWriter } from "../packets/pcapng_writer.ts";
export { summarize } from "../packets/summary.ts";
