/**
 * Writes the packets that a device receives to a file:
 * `deno run --allow-ffi --allow-write=FILE pcap.ts A FILE`.
 *
 * @module
 */

import { Mempool, open, PacketBatch, StopFlag } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  type DeviceOptions,
  deviceOptions,
  INTERRUPT_OPTIONS,
} from "./programs/device_options.ts";
import { MAX_SNAPLEN, openSink, PcapWriter } from "./packets/pcap_writer.ts";
import { command } from "./programs/command_line.ts";
import { whole } from "./programs/options.ts";
import { poll } from "./programs/poll.ts";
import { count, Report } from "./programs/report.ts";
import { run } from "./programs/run.ts";

/** What to do. */
interface Plan extends DeviceOptions {
  /** The device. */
  readonly address: string;
  /** Where the packets go to. */
  readonly file: string;
  /** Packets in all; infinite if there is no end. */
  readonly packets: number;
  /** Bytes of each packet to keep. */
  readonly snaplen: number;
}

/** The program, as it is called. */
export const PCAP = command({
  start: "deno run --allow-ffi --allow-write=FILE pcap.ts",
  operands: { shown: "A FILE", are: "a device and a file", least: 2, most: 2 },
  about: `Writes every packet that arrives at device A to FILE, a pcap file, until it is stopped.
A is ${DEVICE_FORMS}.
FILE may be -, the standard output, which needs no --allow-write; counts then go to the
standard error: deno run --allow-ffi pcap.ts A - | tshark -r -`,
  options: {
    count: whole("stop after so many packets", { alias: "n", least: 1, default: Infinity }),
    snaplen: whole("bytes of each packet to keep", {
      ...{ alias: "s", least: 1, most: MAX_SNAPLEN, default: MAX_SNAPLEN },
    }),
    ...INTERRUPT_OPTIONS,
    ...DEVICE_OPTIONS,
  },
  notes:
    `Timestamps say when a packet was taken out of the receive ring, not when it was on the wire:
packets of one batch have the same. They come from a clock with nanoseconds that was set by the
system's when the program started, which is known to a microsecond.`,
  plan({ values, operands: [address, file] }): Plan {
    const { count: packets, snaplen } = values;
    return { ...deviceOptions(values), address, file, packets, snaplen };
  },
});

async function main(plan: Plan): Promise<number> {
  const { file, packets, snaplen, batch: batchSize, rxEntries, txEntries, bufferSize } = plan;
  using pool = new Mempool({ buffers: rxEntries + txEntries + batchSize, bufferSize });
  using stop = new StopFlag();
  using device = await open(plan.address, { ...plan.open, pool, promiscuous: true });
  using sink = openSink(file); // after the device: a wrong address shall not empty the file
  const writer = new PcapWriter(file, sink, snaplen);
  const batch = new PacketBatch(pool, batchSize), rx = device.rxQueues[0];
  let written = 0;

  const print = file === "-" ? console.error : console.log;
  const report = new Report(plan, [device], () => [count(device, { written })], print);
  report.ready();
  poll([device], report, stop, plan.seconds, (rounds) => {
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
