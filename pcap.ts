/**
 * Writes the packets that a device receives to a file:
 * `deno run --allow-ffi --allow-write=FILE pcap.ts A FILE`.
 *
 * @module
 */

import { Mempool, open, PacketBatch, StopFlag, UsageError } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  DEVICE_USAGE,
  deviceOptions,
  INTERRUPT_OPTIONS,
  INTERRUPT_USAGE,
} from "./programs/device_options.ts";
import { MAX_SNAPLEN, openSink, PcapWriter } from "./packets/pcap_writer.ts";
import { poll } from "./programs/poll.ts";
import { number, parse, run } from "./programs/program.ts";
import { count, Report } from "./programs/report.ts";

const USAGE = `usage: deno run --allow-ffi --allow-write=FILE pcap.ts [options] A FILE

Writes every packet that arrives at device A to FILE, a pcap file, until it is stopped.
A is ${DEVICE_FORMS}.
FILE may be -, the standard output, which needs no --allow-write; counts then go to the
standard error: deno run --allow-ffi pcap.ts A - | tshark -r -

  --count N        stop after so many packets
  --snaplen N      bytes of each packet to keep, 1 to ${MAX_SNAPLEN} (default ${MAX_SNAPLEN})
${INTERRUPT_USAGE}
${DEVICE_USAGE}

Timestamps say when a packet was taken out of the receive ring, not when it was on the wire:
packets of one batch have the same. They come from a clock with nanoseconds that was set by the
system's when the program started, which is known to a microsecond.`;

const OPTIONS = { ...DEVICE_OPTIONS, ...INTERRUPT_OPTIONS, count: true, snaplen: true };

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length !== 2) {
    const n = args.positionals.length;
    throw new UsageError(`pcap.ts takes a device and a file, not ${n} of them: see --help`);
  }
  const [address, file] = args.positionals;
  const options = deviceOptions(args);
  const { batch: batchSize, rxEntries, txEntries, bufferSize } = options;
  const packets = number(args, "count", Infinity, 1, Number.MAX_SAFE_INTEGER);
  const snaplen = number(args, "snaplen", MAX_SNAPLEN, 1, MAX_SNAPLEN);

  using pool = new Mempool({ buffers: rxEntries + txEntries + batchSize, bufferSize });
  using stop = new StopFlag();
  using device = await open(address, { ...options.open, pool, promiscuous: true });
  using sink = openSink(file); // after the device: a wrong address shall not empty the file
  const writer = new PcapWriter(file, sink, snaplen);
  const batch = new PacketBatch(pool, batchSize), rx = device.rxQueues[0];
  let written = 0;

  const print = file === "-" ? console.error : console.log;
  const report = new Report(options, [device], () => [count(device, { written })], print);
  report.ready();
  poll([device], report, stop, options.seconds, (rounds) => {
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

if (import.meta.main) await run(main);
