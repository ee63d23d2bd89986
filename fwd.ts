/**
 * Forwards packets between two devices, both ways: `deno run --allow-ffi fwd.ts A B`.
 *
 * @module
 */

import { type Device, Mempool, open, StopFlag, UsageError } from "./mod.ts";
import { Direction, forwardRounds } from "./src/forward.ts";
import { number, parse, run } from "./src/program.ts";

const USAGE = `usage: deno run --allow-ffi fwd.ts [options] A B

Forwards packets from device A to device B and from B to A.
A device is 0000:03:00.0 (PCI) or vfio-user:PATH.

  --batch N        most packets handled at once, 1 to 256 (default 32)
  --rx-entries N   descriptors of a receive ring, 64, 128, … 4096 (default 512)
  --tx-entries N   descriptors of a transmit ring, 64, 128, … 4096 (default 512)
  --buffer-size N  bytes of a buffer: 2048 (default), 4096, 8192 or 16384
  --no-touch       leave packets as they are; else byte 1 of each is incremented
  --force          take a NIC over although its kernel interface is up
  --seconds N      stop after so many seconds
  --json           print JSON: {"ready":true} first, then counts since the start every second,
                   and with "total":true at the end
  --quiet          print the totals only`;

const OPTIONS = {
  batch: true,
  "rx-entries": true,
  "tx-entries": true,
  "buffer-size": true,
  "no-touch": false,
  force: false,
  seconds: true,
  json: false,
  quiet: false,
};

/**
 * Rounds between looks at the stop flag and the clock: a tenth of a millisecond idle, some ten busy.
 * With fewer, the compiler takes the loop of `main` for a hot one and spoils those inside it.
 */
const ROUNDS = 4096;
/** Rounds between the statistics of one device and of the other. */
const BETWEEN = 64;
/** How often devices are asked whether they are still there. */
const CHECK_MS = 100;
/** Bytes that a packet takes on the wire beside its own: preamble, CRC, gap. */
const WIRE_OVERHEAD = 24;

/** What is printed about a device: totals, or what a second added to them. */
interface Count {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  missed: number;
  errors: number;
  dropped: number;
}

function count(device: Device, dropped: number): Count {
  const s = device.statistics();
  return {
    rxPackets: Number(s.rxPackets),
    rxBytes: Number(s.rxBytes),
    txPackets: Number(s.txPackets),
    txBytes: Number(s.txBytes),
    missed: Number(s.rxMissed),
    errors: Number(s.rxErrors + s.rxTooLong + s.rxNoBuffer),
    dropped,
  };
}

function difference(now: Count, before: Count): Count {
  const keys = Object.keys(now) as (keyof Count)[];
  return Object.fromEntries(keys.map((key) => [key, now[key] - before[key]])) as unknown as Count;
}

function line(address: string, c: Count, seconds: number): string {
  const rate = (packets: number, bytes: number) => {
    const mbit = (bytes + packets * WIRE_OVERHEAD) * 8 / seconds / 1e6;
    return `${(packets / seconds / 1e6).toFixed(2)} Mpps ${mbit.toFixed(0)} Mbit/s`;
  };
  return `${address}: rx ${rate(c.rxPackets, c.rxBytes)}, tx ${rate(c.txPackets, c.txBytes)}, ` +
    `missed ${c.missed}, errors ${c.errors}, dropped ${c.dropped}`;
}

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length !== 2) {
    throw new UsageError(`fwd.ts takes two devices, not ${args.positionals.length}: see --help`);
  }
  const [a, b] = args.positionals;
  if (a === b) throw new UsageError(`${a} is named twice: fwd.ts takes two devices`);
  const batch = number(args, "batch", 32, 1, 256);
  const rxEntries = number(args, "rx-entries", 512, 64, 4096);
  const txEntries = number(args, "tx-entries", 512, 64, 4096);
  const bufferSize = number(args, "buffer-size", 2048, 2048, 16384);
  const seconds = number(args, "seconds", Infinity, 0.1, 1e9, true);
  const { json, quiet, force = false } = args.values;

  // All rings can be full at once and a batch be in hand each way.
  const buffers = 2 * (rxEntries + txEntries + batch);
  using pool = new Mempool({ buffers, bufferSize });
  const options = { pool, rxEntries, txEntries, promiscuous: true, force: force === true };
  using stop = new StopFlag();
  using deviceA = await open(a, options);
  using deviceB = await open(b, options);
  const devices = [deviceA, deviceB];
  const touch = !args.values["no-touch"];
  // The dropped packets of a port are those that it could not transmit.
  const there = new Direction(deviceA, deviceB, batch, touch);
  const back = new Direction(deviceB, deviceA, batch, touch);
  const counts = () => {
    const countA = count(deviceA, back.dropped);
    forwardRounds(there, back, BETWEEN); // reading registers takes a while on some buses
    return [countA, count(deviceB, there.dropped)];
  };
  const report = (total: boolean, since: Count[], sinceTime: number) => {
    const all = counts();
    if (json && (total || !quiet)) {
      const ports = all.map((c, i) => ({ address: devices[i].address, ...c }));
      console.log(JSON.stringify({ total, seconds: (now - start) / 1000, ports }));
    } else if (total || !quiet) {
      if (total) console.log(`totals after ${((now - start) / 1000).toFixed(1)} s:`);
      all.forEach((c, i) => {
        const seconds = (now - sinceTime) / 1000;
        console.log(line(devices[i].address, difference(c, since[i]), seconds));
      });
    }
    return all;
  };

  const start = performance.now();
  const zero = counts();
  let before = zero, last = start, checked = start, now = start;
  if (json) console.log(JSON.stringify({ ready: true }));
  while (stop.signal === 0 && now - start < seconds * 1000) {
    forwardRounds(there, back, ROUNDS);
    now = performance.now();
    if (now - checked >= CHECK_MS) {
      checked = now;
      for (const device of devices) device.check();
    }
    if (now - last >= 1000) {
      before = report(false, before, last);
      last = now;
    }
  }
  report(true, zero, start);
  return 0;
}

if (import.meta.main) await run(main);
