/**
 * Forwards packets between two devices, both ways: `deno run --allow-ffi fwd.ts A B`.
 *
 * @module
 */

import type { ForwardTask, QueuePair } from "./programs/forward_worker.ts";
import { type Device, layoutFor, Mempool, type OpenOptions, StopFlag, UsageError } from "./mod.ts";
import { IxgbeDevice } from "./ixgbe/mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  type DeviceOptions,
  deviceOptions,
  INTERRUPT_OPTIONS,
  openDevice,
} from "./programs/device_options.ts";
import { type BothWays, Direction, forwardAll } from "./programs/forward.ts";
import { command } from "./programs/command_line.ts";
import { flag, text, whole } from "./programs/options.ts";
import { err, out } from "./programs/output.ts";
import { poll } from "./programs/poll.ts";
import { rehearse } from "./programs/rehearsal.ts";
import { count, Report } from "./programs/report.ts";
import { run } from "./programs/run.ts";
import { reportUnsent } from "./programs/stall.ts";
import { requireWorkers, supervise, Workers } from "./programs/workers.ts";
import { MAX_BUFFERS } from "./src/mempool.ts";
import { CapturedDevice, MAX_SNAPLEN, openSink, PcapngWriter } from "./wrappers/mod.ts";
import { XdpDevice } from "./xdp/mod.ts";

/** The directory of the modules that workers run. */
const MODULES = new URL("./", import.meta.url);
/** Rounds between reading the statistics of the two devices. */
const BETWEEN = 64;
const MAX_QUEUES = 16;

/** What to do. */
interface Plan extends DeviceOptions {
  /** The two devices. */
  readonly addresses: readonly string[];
  /** Queues of each device. */
  readonly queues: number;
  /** Worker threads; 0 if the main thread forwards. */
  readonly workers: number;
  /** Whether to change packets. */
  readonly touch: boolean;
  /** The file to capture to. */
  readonly pcap: string | undefined;
}

/** The command line. */
export const FWD = command({
  start: "deno run --allow-ffi fwd.ts",
  operands: { shown: "A B", are: "two devices", least: 2, most: 2 },
  about: `Forwards packets from device A to device B and from B to A.
A device is ${DEVICE_FORMS}.`,
  options: {
    queues: whole("receive and transmit queues of each device", {
      ...{ least: 1, most: MAX_QUEUES, default: 1 },
    }),
    workers: whole(
      "threads that share the queues, at most one a queue (default: the main thread polls all queues); " +
        "82599, X540 and X550 with doorbells in memory, and network interfaces. In a checkout this also needs " +
        "--allow-read=., for the threads to load their modules",
      { least: 0, most: MAX_QUEUES, values: "", default: 0 },
    ),
    "no-touch": flag("do not change packets (default: increment byte 1 of each)"),
    pcap: text(
      "write what both devices receive to FILE, a pcapng file with an interface for each device; needs " +
        "--allow-write=FILE; not with --workers. FILE may be -, the standard output; counts then go " +
        "to the standard error. Forwarding waits for a slow reader of - or of a FIFO",
      "FILE",
      "the name of a file",
    ),
    ...INTERRUPT_OPTIONS,
    ...DEVICE_OPTIONS,
  },
  notes: "dropped: packets that the device's transmit ring had no room for.",
  plan({ values, operands: addresses }): Plan {
    const { queues, workers, interrupts, pcap, "no-touch": noTouch } = values;
    const [a, b] = addresses;
    if (a === b) throw new UsageError(`${a} is named twice: name two different devices`);
    if (workers > queues) {
      throw new UsageError(
        `--workers ${workers} needs at least as many queues, and --queues is ${queues}: ` +
          `use --queues ${workers}`,
      );
    }
    if (workers > 0 && interrupts) {
      throw new UsageError("workers cannot sleep: use either --interrupts or --workers, not both");
    }
    if (workers > 0 && pcap !== undefined) {
      throw new UsageError("workers cannot capture: use either --pcap or --workers, not both");
    }
    if (workers > 0 && values.reconnect) {
      throw new UsageError(
        "workers cannot reconnect: use either --reconnect or --workers, not both",
      );
    }
    return {
      ...deviceOptions(values, addresses),
      addresses,
      queues,
      workers,
      touch: !noTouch,
      pcap,
    };
  },
});

/**
 * Creates a pool for each thread, large enough for full rings and a batch each way.
 *
 * @throws {UsageError} if the largest pool is too small for full receive rings and these batches.
 */
function makePools(plan: Plan, pools: DisposableStack): Mempool[] {
  const { queues, workers, rxEntries, txEntries, batch, bufferSize } = plan;
  const threads = Math.max(workers, 1), layout = layoutFor(...plan.addresses);
  return Array.from({ length: threads }, (_, thread) => {
    const mine = Math.ceil((queues - thread) / threads);
    const buffers = Math.min(2 * mine * (rxEntries + txEntries + batch), MAX_BUFFERS);
    // Transmit rings need not be full, but each received packet needs a buffer to replace its own.
    if (buffers < 2 * mine * (rxEntries + batch)) {
      throw new UsageError(
        `${mine} queues in a thread, with ${rxEntries} receive descriptors each, need more than the ` +
          `${MAX_BUFFERS} buffers of the largest pool: use fewer --rx-entries or more --workers`,
      );
    }
    return pools.use(new Mempool({ buffers, bufferSize, ...layout }));
  });
}

/** Forwards in this thread until a signal arrives or the time is over. */
async function forwardHere(
  plan: Plan,
  a: Device,
  b: Device,
  capture: PcapngWriter | undefined,
  stop: StopFlag,
): Promise<void> {
  const ways: BothWays[] = a.rxQueues.map((_, i) => ({
    there: new Direction(a.rxQueues[i], b.txQueues[i], plan.batch, plan.touch),
    back: new Direction(b.rxQueues[i], a.txQueues[i], plan.batch, plan.touch),
  }));
  const dropped = (way: keyof BothWays) => ways.reduce((sum, both) => sum + both[way].dropped, 0);
  const devices = [a, b];
  const print = plan.pcap === "-" ? err.print : out.print;
  const report = new Report(plan, devices, () => {
    a.statistics();
    forwardAll(ways, BETWEEN); // reading the registers of A may have taken long
    b.statistics();
    // No packet moves between these two: what A received is what B sent and dropped.
    return [
      count(a, { dropped: dropped("back") }, false),
      count(b, { dropped: dropped("there") }, false),
    ];
  }, print);
  await rehearse(ways);
  for (const device of devices) device.endStandby?.();
  report.ready();
  await poll(devices, report, stop, plan.seconds, (rounds) => {
    forwardAll(ways, rounds);
    capture?.flush();
    return true;
  });
  report.total();
  reportUnsent(devices);
}

/** Transfers all queues to workers, every n-th to each, and supervises them until the end. */
async function forwardElsewhere(
  plan: Plan,
  pools: readonly Mempool[],
  a: Device,
  b: Device,
  stop: StopFlag,
): Promise<void> {
  const pairs = a.rxQueues.map((_, i) => ({ a: transfer(a, i), b: transfer(b, i) }));
  const tasks = pools.map((pool, thread): ForwardTask => ({
    pool: pool.transfer(),
    pairs: pairs.filter((_, i) => i % pools.length === thread),
    batch: plan.batch,
    touch: plan.touch,
    dropped: new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT),
  }));
  const dropped = (port: number) =>
    tasks.reduce((sum, task) => sum + new Float64Array(task.dropped)[port], 0);
  let report: Report;
  {
    await using workers = new Workers(
      new URL("programs/forward_worker.ts", MODULES),
      tasks,
    );
    await workers.started(stop);
    report = new Report(plan, [a, b], () => {
      for (const device of [a, b]) device.statistics(); // as above
      return [
        count(a, { dropped: dropped(0) }, false),
        count(b, { dropped: dropped(1) }, false),
      ];
    });
    report.ready();
    await supervise(workers, [a, b], report, stop, plan.seconds);
  }
  report.total();
}

function transfer(device: Device, number: number): QueuePair {
  if (device instanceof IxgbeDevice || device instanceof XdpDevice) {
    return device.transferQueues(number);
  }
  throw new UsageError(
    `${device.address}: workers cannot drive a ${device.driver} device: leave out --workers`,
  );
}

async function main(plan: Plan): Promise<number> {
  if (plan.workers > 0) requireWorkers(MODULES);
  using memory = new DisposableStack();
  const pools = makePools(plan, memory);
  const options: OpenOptions = {
    ...plan.open,
    rxQueues: plan.queues,
    txQueues: plan.queues,
    pools: Array.from({ length: plan.queues }, (_, i) => pools[i % pools.length]),
    promiscuous: true,
    standby: true,
  };
  using stop = new StopFlag();
  const [a, b] = plan.addresses;
  await using deviceA = await openDevice(a, plan, options);
  await using deviceB = await openDevice(b, plan, options);
  // After the devices: a wrong address must not truncate the file.
  using capture = plan.pcap === undefined
    ? undefined
    : new PcapngWriter(plan.pcap, MAX_SNAPLEN, openSink(plan.pcap, stop));
  if (capture) {
    const [a, b] = [deviceA, deviceB].map((device) => {
      return new CapturedDevice(device, capture, { only: "receive" });
    });
    await forwardHere(plan, a, b, capture, stop);
  } else if (plan.workers === 0) await forwardHere(plan, deviceA, deviceB, undefined, stop);
  else await forwardElsewhere(plan, pools, deviceA, deviceB, stop);
  return 0;
}

if (import.meta.main) await run(FWD, main);
