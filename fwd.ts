/**
 * Forwards packets between two devices, both ways: `deno run --allow-ffi fwd.ts A B`.
 *
 * @module
 */

import { Mempool, open, StopFlag, UsageError } from "./mod.ts";
import { DEVICE_FORMS, DEVICE_OPTIONS, DEVICE_USAGE, deviceOptions } from "./src/device_options.ts";
import { Direction, forwardRounds } from "./src/forward.ts";
import { poll } from "./src/poll.ts";
import { parse, run } from "./src/program.ts";
import { count, Report } from "./src/report.ts";

const USAGE = `usage: deno run --allow-ffi fwd.ts [options] A B

Forwards packets from device A to device B and from B to A.
A device is ${DEVICE_FORMS}.

  --no-touch       leave packets as they are; else byte 1 of each is incremented
${DEVICE_USAGE}

dropped: packets that the device's transmit ring had no room for.`;

/** Rounds between the statistics of one device and of the other. */
const BETWEEN = 64;

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, { ...DEVICE_OPTIONS, "no-touch": false });
  if (args.positionals.length !== 2) {
    throw new UsageError(`fwd.ts takes two devices, not ${args.positionals.length}: see --help`);
  }
  const [a, b] = args.positionals;
  if (a === b) throw new UsageError(`${a} is named twice: fwd.ts takes two devices`);
  const options = deviceOptions(args);
  const { batch, rxEntries, txEntries, bufferSize } = options;

  // All rings can be full at once and a batch be in hand each way.
  using pool = new Mempool({ buffers: 2 * (rxEntries + txEntries + batch), bufferSize });
  using stop = new StopFlag();
  using deviceA = await open(a, { ...options.open, pool, promiscuous: true });
  using deviceB = await open(b, { ...options.open, pool, promiscuous: true });
  const touch = !args.values["no-touch"];
  const there = new Direction(deviceA, deviceB, batch, touch);
  const back = new Direction(deviceB, deviceA, batch, touch);

  const devices = [deviceA, deviceB];
  const report = new Report(options, devices, () => {
    const countsA = count(deviceA, { dropped: back.dropped });
    forwardRounds(there, back, BETWEEN); // reading registers takes a while on some buses
    return [countsA, count(deviceB, { dropped: there.dropped })];
  });
  report.ready();
  poll(devices, report, stop, options.seconds, (rounds) => {
    forwardRounds(there, back, rounds);
    return true;
  });
  report.total();
  return 0;
}

if (import.meta.main) await run(main);
