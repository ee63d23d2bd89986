/**
 * Sends numbered UDP packets, and checks those that come back:
 * `deno run --allow-ffi pktgen.ts [--check] A`.
 *
 * @module
 */

import {
  type Device,
  layoutFor,
  Mempool,
  PacketBatch,
  StopError,
  StopFlag,
  UsageError,
} from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  type DeviceOptions,
  deviceOptions,
  openDevice,
} from "./programs/device_options.ts";
import { Pace } from "./packets/pace.ts";
import { MIN_SIZE, UdpStream } from "./packets/udp_stream.ts";
import { command } from "./programs/command_line.ts";
import { flag, whole } from "./programs/options.ts";
import { poll } from "./programs/poll.ts";
import { err } from "./programs/output.ts";
import { count, Report } from "./programs/report.ts";
import { run } from "./programs/run.ts";
import { Stall, timeout } from "./programs/stall.ts";

/** How long to wait for the next outstanding packet, in milliseconds. */
const SILENCE_MS = 1000;
/** Rounds between reads of the clock while waiting. */
const DRAIN_ROUNDS = 64;
/** Seconds without a sent packet until that is reported, and the default of --timeout with --count. */
const REPORT_S = 5, TIMEOUT_S = 10;

/** What to do. */
interface Plan extends DeviceOptions {
  /** The device. */
  readonly address: string;
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  /** Packets to send; infinite by default. */
  readonly count: number;
  /** Packets a second; infinite by default. */
  readonly rate: number;
  readonly check: boolean;
  /** The longest time in which no packet is sent, in seconds. */
  readonly timeout: number;
}

/** The command line. */
export const PKTGEN = command({
  start: "deno run --allow-ffi pktgen.ts",
  operands: { shown: "A", are: "one device", least: 1, most: 1 },
  about: `Sends numbered UDP packets from device A.
A is ${DEVICE_FORMS}.`,
  options: {
    rate: whole("packets a second; a long stall is not made up for", {
      ...{
        value: "PPS",
        values: "(default: as many as possible)",
        least: 1,
        most: 1e8,
        default: Infinity,
      },
    }),
    size: whole("bytes of a packet, without CRC", {
      ...{ values: `from ${MIN_SIZE} (default) to the size of a buffer` },
      ...{ least: MIN_SIZE, most: 16384, default: MIN_SIZE },
    }),
    count: whole("stop after N packets", { alias: "n", least: 1, default: Infinity }),
    timeout: timeout(
      "exit with 1 if packets wait and A has sent none for N seconds",
      `(default ${TIMEOUT_S} with --count, unlimited without it or with --reconnect)`,
    ),
    check: flag("check the packets that come back to A; byte 1 may have changed"),
    ...DEVICE_OPTIONS,
  },
  notes:
    `At the end pktgen.ts waits until all packets have left and, with --check, until all are back or
none has come for a second. It then exits with 1 if a packet was not sent, or was lost, reordered,
duplicate or corrupt. pending: A has not reported them as sent; missed: A had no free descriptor;
lost: did not come back and was not missed, which includes packets dropped on the way, so choose a
rate that the other side can take; foreign: packets that pktgen.ts did not send.`,
  plan({ values, operands: [address] }): Plan {
    const { size, count, rate, check } = values, options = deviceOptions(values, [address]);
    // A program that reconnects waits for the next server without a deadline.
    const limited = count < Infinity && !options.reconnect;
    const timeout = values.timeout === Infinity && limited ? TIMEOUT_S : values.timeout;
    if (size > options.bufferSize) {
      throw new UsageError(
        `--size takes a whole number from ${MIN_SIZE} to ${options.bufferSize}, the size of a ` +
          `buffer, not "${size}"`,
      );
    }
    return { ...options, address, size, count, rate, check, timeout };
  },
});

/** A stream that a device sends and, with --check, receives again. */
class Traffic {
  readonly #device: Device;
  readonly #stream: UdpStream;
  readonly #plan: Plan;
  readonly #pace: Pace | undefined;
  readonly #out: PacketBatch;
  readonly #back: PacketBatch;
  #drained = false;

  constructor(device: Device, stream: UdpStream, plan: Plan) {
    this.#device = device;
    this.#stream = stream;
    this.#plan = plan;
    this.#pace = plan.rate === Infinity ? undefined : new Pace(plan.rate);
    this.#out = new PacketBatch(device.pool, plan.batch);
    this.#back = new PacketBatch(device.pool, plan.batch);
  }

  /** Packets that the device had reported as sent when buffers were reclaimed last. */
  get sent(): number {
    return this.#given - this.#device.txQueues[0].pending;
  }

  /** Packets that the device has been given. */
  get #given(): number {
    return this.#stream.next - this.#out.length;
  }

  /** Packets that the device has not sent. Packets for which it has no room count only with --count. */
  get pending(): number {
    const { pending } = this.#device.txQueues[0];
    return this.#plan.count === Infinity ? pending : pending + this.#out.length;
  }

  /** A sentence about packets that wait; undefined if none does. */
  get missing(): string | undefined {
    this.#device.txQueues[0].reclaim();
    const { count } = this.#plan, { sent, pending } = this;
    if (pending + this.#out.length === 0) return undefined;
    return count === Infinity
      ? `${pending} packets given to the device are not sent`
      : `${count - sent} of ${count} packets are not sent`;
  }

  /**
   * Sends what is due and checks what arrives, for some rounds; returns whether packets are left.
   */
  run(rounds: number): boolean {
    const { count, check } = this.#plan, pace = this.#pace;
    const stream = this.#stream, out = this.#out, back = this.#back;
    const tx = this.#device.txQueues[0], rx = this.#device.rxQueues[0];
    for (let i = 0; i < rounds; i++) {
      const due = pace === undefined ? count : pace.due(performance.now(), stream.next);
      stream.fill(out, Math.min(count, due));
      tx.transmit(out);
      if (check && rx.receive(back) > 0) stream.verify(back);
    }
    return this.#given < count;
  }

  /**
   * Waits for outstanding packets, until a signal arrives.
   *
   * @param patience Milliseconds to wait for the next packet to be sent.
   * @returns Milliseconds since the last packet.
   */
  drain(stop: StopFlag, stall: Stall, patience: number): number {
    const tx = this.#device.txQueues[0], rx = this.#device.rxQueues[0];
    const { check } = this.#plan, { signal } = stop;
    let left = Infinity, last = performance.now(), silence = 0;
    while (stop.signal === signal && silence < (this.pending > 0 ? patience : SILENCE_MS)) {
      this.#device.checkAlive();
      for (let i = 0; i < DRAIN_ROUNDS; i++) {
        tx.transmit(this.#out);
        tx.reclaim();
        if (check && rx.receive(this.#back) > 0) this.#stream.verify(this.#back);
      }
      const now = performance.now(), before = left;
      const missing = check ? this.#stream.counts(this.sent).missing : 0;
      left = this.#out.length + tx.pending + missing;
      if (left === 0) break;
      if (left < before) last = now;
      silence = now - last;
      stall.look(now);
    }
    this.#drained = true;
    return silence;
  }

  /** Returns the device's counts and, with --check, the stream's. */
  counts() {
    this.#device.txQueues[0].reclaim();
    const { sent, pending } = this, { size, check } = this.#plan;
    const device = count(this.#device), { missed, lostInFlight = 0 } = device;
    const txPackets = sent - lostInFlight;
    const counts = { ...device, txPackets, txBytes: txPackets * size, pending };
    if (!check) return counts;
    const { missing, ...others } = this.#stream.counts(this.#drained ? sent : undefined);
    return { ...counts, lost: Math.max(0, missing - missed - lostInFlight), ...others };
  }
}

/** Waits until the link is up, or a signal arrives. */
async function waitForLink(device: Device): Promise<void> {
  try {
    await device.waitForLink();
  } catch (error) {
    if (!(error instanceof StopError)) throw error; // else `poll` ends, and the totals follow
  }
}

async function main(plan: Plan): Promise<number> {
  const { rxEntries, txEntries, batch, bufferSize, check, size } = plan;
  // Enough for full rings and a batch each way.
  const buffers = rxEntries + txEntries + 2 * batch;
  const layout = layoutFor(plan.address);
  const headroom = size + layout.headroom <= bufferSize ? layout.headroom : 0;
  using pool = new Mempool({ buffers, bufferSize, ...layout, headroom });
  using stop = new StopFlag();
  const options = { ...plan.open, pool, promiscuous: check };
  await using device = await openDevice(plan.address, plan, options);
  await waitForLink(device);
  const traffic = new Traffic(device, new UdpStream(pool, plan.size, device.macAddress()), plan);

  const report = new Report(plan, [device], () => [traffic.counts()]);
  report.ready();
  const stall = new Stall(device, {
    progress: () => traffic.sent,
    missing: () => traffic.missing,
    reason: "the other side takes no packets",
    seconds: REPORT_S,
  }, plan.timeout);
  let over = false;
  await poll([device], report, stop, plan.seconds, (rounds) => {
    return traffic.run(rounds) && !(over = stall.over);
  });
  report.workEnded();
  const isHurried = over || stop.signal !== 0 || plan.timeout === Infinity;
  const silence = traffic.drain(stop, stall, isHurried ? SILENCE_MS : plan.timeout * 1000);
  const [{ pending, lost = 0, reordered = 0, duplicate = 0, corrupt = 0 }] = report.total();
  if (pending > 0) {
    const seconds = silence / 1000 + (over ? plan.timeout : 0);
    err.print(`error: ${stall.sentence(`no packet was sent for ${seconds.toFixed(1)} s`)}`);
  }
  return pending + lost + reordered + duplicate + corrupt > 0 ? 1 : 0;
}

if (import.meta.main) await run(PKTGEN, main);
