/**
 * VirtIO devices as a kind of device that can be recorded.
 *
 * @module
 */

import { PacketBatch } from "../../../src/batch.ts";
import { Mempool } from "../../../src/mempool.ts";
import { openVirtio } from "../../../virtio/device.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { buildFrame } from "../frames.ts";
import type { Family, Measurement } from "../recorder.ts";
import { NetDevice } from "./device/net_device.ts";
import { macOf } from "./port.ts";
import { VirtioRecorder } from "./recorder.ts";

const PACKETS = 256, ENTRIES = 256, BUFFERS = 2048, BATCH = 32;

/** Devices of the VirtIO specification. */
export const VIRTIO: Family = {
  record: (experiment, emit) => new VirtioRecorder(experiment, emit),
  measure,
};

/** Forwards from one device to another one, each frame by driver and device, as fast as they can. */
async function measure({ bufferSize }: Experiment, milliseconds: number): Promise<Measurement> {
  using pool = new Mempool({ buffers: BUFFERS, bufferSize, memory: "pages" });
  const batch = new PacketBatch(pool, BATCH), rxEntries = PACKETS, txEntries = PACKETS;
  const nets = [0, 1].map((port) => {
    return new NetDevice({
      address: `virtio port ${port}`,
      entries: ENTRIES,
      pairs: 1,
      mac: macOf(port),
      megabits: 10_000,
      dropsWithoutChains: true,
      observe: () => {},
    });
  });
  const open = (net: NetDevice) => {
    return openVirtio(net.address, { pool, rxEntries, txEntries }, () => net);
  };
  using from = await open(nets[0]);
  using to = await open(nets[1]);
  const bytes = buildFrame("udp", { station: macOf(0), flow: 1, long: 0, jumbo: 0 });
  const frame = { number: 1, bytes }, start = performance.now();
  let packets = 0, end = start;
  while (end - start < milliseconds) {
    for (let i = 0; i < BATCH; i++) nets[0].put(frame);
    nets[0].round();
    packets += from.rxQueues[0].receive(batch);
    to.txQueues[0].transmit(batch);
    batch.free();
    nets[1].round();
    end = performance.now();
  }
  return { packets, milliseconds: end - start };
}
