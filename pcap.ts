/**
 * Writes the packets that a device receives to a file:
 * `deno run --allow-ffi --allow-write=FILE pcap.ts A FILE`.
 *
 * @module
 */

import { Mempool, PacketBatch, StopFlag } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  type DeviceOptions,
  deviceOptions,
  INTERRUPT_OPTIONS,
  openDevice,
} from "./programs/device_options.ts";
import { MAX_SNAPLEN, openSink, PcapWriter } from "./packets/pcap_writer.ts";
import { command } from "./programs/command_line.ts";
import { whole } from "./programs/options.ts";
import { err, out } from "./programs/output.ts";
import { poll } from "./programs/poll.ts";
import { count, Report } from "./programs/report.ts";
import { run } from "./programs/run.ts";

/** What to do. */
interface Plan extends DeviceOptions {
  /** The device. */
  readonly address: string;
  /** The file to write; `-` for the standard output. */
  readonly file: string;
  /** Packets to write; infinite by default. */
  readonly packets: number;
  /** Bytes of each packet to keep. */
  readonly snaplen: number;
}

/** The command line. */
export const PCAP = command({
  start: "deno run --allow-ffi --allow-write=FILE pcap.ts",
  operands: { shown: "A FILE", are: "a device and a file", least: 2, most: 2 },
  about: `Writes every packet that device A receives to FILE, a pcap file, until a signal stops it.
A is ${DEVICE_FORMS}.
FILE may be -, the standard output, which needs no --allow-write; counts then go to the
standard error: deno run --allow-ffi pcap.ts A - | tshark -r -`,
  options: {
    count: whole("stop after N packets", { alias: "n", least: 1, default: Infinity }),
    snaplen: whole("bytes of each packet to keep", {
      ...{ alias: "s", least: 1, most: MAX_SNAPLEN, default: MAX_SNAPLEN },
    }),
    ...INTERRUPT_OPTIONS,
    ...DEVICE_OPTIONS,
  },
  notes:
    `A timestamp is the time at which the program took the packet out of the receive ring, not the
time on the wire: all packets of a batch have the same one. The clock counts nanoseconds; it was set
from the system clock when the program started, to within a microsecond.`,
  plan({ values, operands: [address, file] }): Plan {
    const { count: packets, snaplen } = values;
    return { ...deviceOptions(values, [address]), address, file, packets, snaplen };
  },
});

async function main(plan: Plan): Promise<number> {
  const { file, packets, snaplen, batch: batchSize, rxEntries, txEntries, bufferSize } = plan;
  using pool = new Mempool({ buffers: rxEntries + txEntries + batchSize, bufferSize });
  using stop = new StopFlag();
  const options = { ...plan.open, pool, promiscuous: true };
  await using device = await openDevice(plan.address, plan, options);
  using sink = openSink(file, stop); // after the device: a wrong address must not truncate the file
  const writer = new PcapWriter(file, sink, snaplen);
  const batch = new PacketBatch(pool, batchSize), rx = device.rxQueues[0];
  let written = 0;

  const print = file === "-" ? err.print : out.print;
  const report = new Report(plan, [device], () => [count(device, { written })], print);
  report.ready();
  await poll([device], report, stop, plan.seconds, (rounds) => {
    for (let i = 0; i < rounds && written < packets; i++) {
      if (rx.receive(batch) === 0) continue;
      const now = performance.now();
      for (let p = 0; p < batch.length && written < packets; p++) {
        writer.write(batch.packet(p), now);
        written++;
      }
      batch.free();
    }
    writer.flush();
    return written < packets;
  });
  writer.flush();
  report.total();
  return 0;
}

if (import.meta.main) await run(PCAP, main);
