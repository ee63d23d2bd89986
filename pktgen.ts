/**
 * Sends numbered UDP packets, and checks those that come back:
 * `deno run --allow-ffi pktgen.ts [--check] A`.
 *
 * @module
 */

import { type Device, Mempool, open, PacketBatch, StopFlag, UsageError } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  DEVICE_USAGE,
  deviceOptions,
} from "./programs/device_options.ts";
import { Pace } from "./packets/pace.ts";
import { poll } from "./programs/poll.ts";
import { number, parse, run } from "./programs/program.ts";
import { count, Report } from "./programs/report.ts";
import { MIN_SIZE, UdpStream } from "./packets/udp_stream.ts";

const USAGE = `usage: deno run --allow-ffi pktgen.ts [options] A

Sends numbered UDP packets from device A, which is
${DEVICE_FORMS}.

  --rate PPS       packets a second; long stalls are not made up for (default: all it can)
  --size N         bytes of a packet, without CRC, from 60 (default) to the size of a buffer
  --count N        stop after so many packets
  --check          check what comes back to A; byte 1 may have changed
${DEVICE_USAGE}

At the end it waits until all packets have left and, with --check, until all are back or none
has come for a second. It then exits with 1 if any was lost, reordered, duplicate or corrupt.
missed: A had no free descriptor; lost: neither came back nor was missed, which includes what
was dropped on the way, so choose a rate that whatever sends the packets back can take.
foreign: packets of others.`;

const OPTIONS = { ...DEVICE_OPTIONS, rate: true, size: true, count: true, check: false };

/** How long to wait for the next packet that is on its way, and for all of them. */
const SILENCE_MS = 1000, DRAIN_MS = 10000;
/** Rounds between looks at the clock while waiting. */
const DRAIN_ROUNDS = 64;

/** What to send. */
interface Plan {
  /** Packets in all; infinite if there is no end. */
  readonly count: number;
  readonly pace: Pace | undefined;
  readonly check: boolean;
}

/** A stream on its way out of a device and, if it is checked, back. */
class Traffic {
  readonly #device: Device;
  readonly #stream: UdpStream;
  readonly #plan: Plan;
  readonly #out: PacketBatch;
  readonly #back: PacketBatch;
  #drained = false;

  constructor(device: Device, stream: UdpStream, plan: Plan, batch: number) {
    this.#device = device;
    this.#stream = stream;
    this.#plan = plan;
    this.#out = new PacketBatch(device.pool, batch);
    this.#back = new PacketBatch(device.pool, batch);
  }

  get #sent(): number {
    return this.#stream.next - this.#out.length;
  }

  /** Sends what is due and checks what comes, for so many rounds; returns whether there is more. */
  run(rounds: number): boolean {
    const { count, pace, check } = this.#plan;
    const stream = this.#stream, out = this.#out, back = this.#back;
    const tx = this.#device.txQueues[0], rx = this.#device.rxQueues[0];
    for (let i = 0; i < rounds; i++) {
      const due = pace === undefined ? count : pace.due(performance.now(), stream.next);
      stream.fill(out, Math.min(count, due));
      tx.transmit(out);
      if (check && rx.receive(back) > 0) stream.verify(back);
    }
    return this.#sent < count;
  }

  /** Waits for what is on its way. */
  drain(): void {
    const tx = this.#device.txQueues[0], rx = this.#device.rxQueues[0];
    const { check } = this.#plan, start = performance.now();
    let left = Infinity;
    for (let now = start, last = start; now - last < SILENCE_MS && now - start < DRAIN_MS;) {
      this.#device.checkAlive();
      for (let i = 0; i < DRAIN_ROUNDS; i++) {
        tx.transmit(this.#out);
        tx.reclaim();
        if (check && rx.receive(this.#back) > 0) this.#stream.verify(this.#back);
      }
      now = performance.now();
      const missing = check ? this.#stream.counts(this.#sent).missing : 0;
      const before = left;
      left = this.#out.length + tx.pending + missing;
      if (left === 0) break;
      if (left < before) last = now;
    }
    this.#drained = true;
  }

  /** The device's counts and, if packets are checked, what has become of them. */
  counts() {
    const counts = count(this.#device);
    if (!this.#plan.check) return counts;
    const { missing, ...others } = this.#stream.counts(this.#drained ? this.#sent : undefined);
    return { ...counts, lost: Math.max(0, missing - counts.missed), ...others };
  }
}

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length !== 1) {
    throw new UsageError(`pktgen.ts takes one device, not ${args.positionals.length}: see --help`);
  }
  const options = deviceOptions(args);
  const { batch, rxEntries, txEntries, bufferSize } = options;
  const size = number(args, "size", MIN_SIZE, MIN_SIZE, bufferSize);
  const packets = number(args, "count", Infinity, 1, Number.MAX_SAFE_INTEGER);
  const rate = number(args, "rate", Infinity, 1, 1e8);
  const check = args.values.check === true;

  // Both rings can be full at once and a batch be in hand each way.
  using pool = new Mempool({ buffers: rxEntries + txEntries + 2 * batch, bufferSize });
  using stop = new StopFlag();
  using device = await open(args.positionals[0], { ...options.open, pool, promiscuous: check });
  await device.waitForLink();
  const stream = new UdpStream(pool, size, device.macAddress());
  const pace = rate === Infinity ? undefined : new Pace(rate);
  const traffic = new Traffic(device, stream, { count: packets, pace, check }, batch);

  const report = new Report(options, [device], () => [traffic.counts()]);
  report.ready();
  poll([device], report, stop, options.seconds, (rounds) => traffic.run(rounds));
  report.workEnded();
  traffic.drain();
  const [{ lost = 0, reordered = 0, duplicate = 0, corrupt = 0 }] = report.total();
  return lost + reordered + duplicate + corrupt > 0 ? 1 : 0;
}

if (import.meta.main) await run(main);
