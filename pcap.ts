/**
 * Writes the packets that a device receives to a file:
 * `deno run --allow-ffi --allow-write=FILE pcap.ts A FILE`.
 *
 * @module
 */

import { layoutFor, Mempool, PacketBatch, StopFlag } from "./mod.ts";
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
import { Stall, timeout } from "./programs/stall.ts";

/** Seconds without a packet until that is reported: the other side may start later. */
const REPORT_S = 30;

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
  /** The longest time without a packet, in seconds. */
  readonly timeout: number;
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
    timeout: timeout(
      "exit with 1 if no packet has arrived for N seconds",
      "(default: wait for packets until a signal, or --seconds)",
    ),
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
    const { count: packets, snaplen, timeout } = values;
    return { ...deviceOptions(values, [address]), address, file, packets, snaplen, timeout };
  },
});

async function main(plan: Plan): Promise<number> {
  const { file, packets, snaplen, batch: batchSize, rxEntries, txEntries, bufferSize } = plan;
  const buffers = rxEntries + txEntries + batchSize;
  using pool = new Mempool({ buffers, bufferSize, ...layoutFor(plan.address) });
  using stop = new StopFlag();
  const options = { ...plan.open, pool, promiscuous: true };
  await using device = await openDevice(plan.address, plan, options);
  using sink = openSink(file, stop); // after the device: a wrong address must not truncate the file
  const writer = new PcapWriter(file, sink, snaplen);
  const batch = new PacketBatch(pool, batchSize), rx = device.rxQueues[0];
  let written = 0;

  const print = file === "-" ? err.print : out.print;
  const report = new Report(plan, [device], () => [count(device, { written })], print);
  const stall = new Stall(device, {
    progress: () => written,
    missing() {
      if (packets < Infinity) return `${written} of ${packets} packets have arrived`;
      return plan.timeout < Infinity ? `${written} packets have arrived` : undefined;
    },
    reason: "the other side sends no packets",
    seconds: REPORT_S,
  }, plan.timeout);
  let over = false;
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
    return written < packets && !(over = stall.over);
  });
  writer.flush();
  report.total();
  if (over) err.print(`error: ${stall.sentence(`no packet for ${plan.timeout} s`)}`);
  return over ? 1 : 0;
}

if (import.meta.main) await run(PCAP, main);
