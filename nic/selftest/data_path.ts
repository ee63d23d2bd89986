/**
 * Self-test of the data path in MAC loopback: frames of all sizes, filters, receive side scaling, and
 * statistics.
 *
 * @module
 */

import { ERETA, RETA, STATUS } from "../../ixgbe/registers.ts";
import { isVetoed } from "../../ixgbe/semaphore.ts";
import type { Model } from "../../ixgbe/models.ts";
import { RSS_KEY, toeplitz } from "../../mod.ts";
import type { Registers } from "../../src/registers.ts";
import { delay } from "../../native/clock.ts";
import { type Bench, type Check, counted, Failed, Skipped } from "./check.ts";
import { flows } from "./flows.ts";
import { rate, VETOED } from "./link.ts";
import { ALL_SIZES, assertWhole, frameTo, Traffic } from "./traffic.ts";

/** Bytes of a frame's CRC, which the NIC's counters include. */
const CRC = 4;
/** Time after which the NIC has sent, received and counted all frames, in milliseconds. */
const COUNT_MS = 10;

/** Longest time until loopback works, in milliseconds. */
const LOOPBACK_MS = 1000;

const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
const MULTICAST = Uint8Array.of(0x01, 0x00, 0x5e, 0x7f, 0x12, 0x34);

export const LOOPBACK_CHECK: Check = {
  name: "loopback",
  async run(bench: Bench): Promise<string> {
    const { port } = bench;
    if (isVetoed(port.device.registers)) throw new Skipped(VETOED);
    await startLoopback(bench);
    const { sizes } = bench, start = performance.now();
    const result = new Traffic(port, port, bench).stream(sizes);
    assertWhole(result);
    return `${counted(result.sent, "frame")} of ${sizes[0]} to ${sizes.at(-1)} bytes, ` +
      rate(8 * result.bytes, start);
  },
};

/** Starts loopback. How long the MAC needs for it is not known, so frames are sent until one comes back. */
export async function startLoopback(bench: Bench): Promise<void> {
  const { port } = bench, { device } = port;
  await device.startLoopback();
  port.looped = true;
  const mac = device.macAddress(), traffic = new Traffic(port, port, bench);
  for (const since = performance.now(); performance.now() - since < LOOPBACK_MS;) {
    traffic.send(frameTo(mac, mac));
    await delay(COUNT_MS);
    device.checkAlive();
    if (traffic.arrived().length > 0) return;
  }
  throw new Failed("no frame comes back");
}

/** Sends frames to addresses that the filters must pass, or drop. */
export const FILTER_CHECK: Check = {
  name: "filters",
  run(bench: Bench): string {
    const { port } = bench, { device } = port;
    assertLoopback(bench);
    const own = device.macAddress(), traffic = new Traffic(port, port, bench);
    const foreign = own.slice();
    foreign[5] ^= 1;
    const expect = (what: string, destination: Uint8Array, passes: boolean) => {
      device.registers.read(STATUS); // settings have taken effect before the next frame
      // The second frame passes in any case: when it is there, so is the first one.
      const mac = device.macAddress();
      const arrivals = traffic.exchange([frameTo(destination, mac), frameTo(mac, mac)], "last");
      if (!arrivals.some(({ number }) => number === 1)) {
        throw new Failed("a frame to the port's own address does not arrive");
      }
      if (arrivals.some(({ number }) => number === 0) === passes) return;
      throw new Failed(`${what} ${passes ? "does not pass" : "passes"}`);
    };
    try {
      expect("a frame to another address", foreign, false);
      expect("a broadcast", BROADCAST, true);
      expect("a frame to a multicast group that was not joined", MULTICAST, false);
      device.setMulticast([MULTICAST]);
      expect("a frame to a multicast group that was joined", MULTICAST, true);
      device.setMulticast([]);
      expect("a frame to a multicast group that was left", MULTICAST, false);
      device.setPromiscuous(true);
      expect("in promiscuous mode, a frame to another address", foreign, true);
      device.setPromiscuous(false);
      expect("after promiscuous mode, a frame to another address", foreign, false);
      device.setMacAddress(foreign);
      expect("a frame to the address before it was changed", own, false);
    } finally {
      device.setMulticast([]);
      device.setPromiscuous(false);
      device.setMacAddress(own);
    }
    expect("a frame to the address that was restored", own, true);
    return "own, foreign, broadcast, multicast, promiscuous, changed address";
  },
};

/** The hash of each packet equals that of `toeplitz`, and the table gives its queue. */
export const RSS_CHECK: Check = {
  name: "RSS",
  run(bench: Bench): string {
    const { port } = bench, { device, model } = port;
    assertLoopback(bench);
    const own = device.macAddress(), sent = flows(own, own);
    const frames = sent.map(({ frame }) => frame);
    const arrivals = new Traffic(port, port, bench).exchange(frames, "all");
    if (arrivals.length !== sent.length) {
      throw new Failed(`${arrivals.length} of ${counted(sent.length, "packet")} arrive`);
    }
    const table = redirectionTable(device.registers, model);
    const queues = new Set<number>();
    for (const { number, hash, queue } of arrivals) {
      const { name, input } = sent[number], expected = toeplitz(input, RSS_KEY);
      if (hash !== expected) {
        throw new Failed(`hash of ${name} is ${hash.toString(16)}, not ${expected.toString(16)}`);
      }
      const wanted = table[hash % table.length];
      if (queue !== wanted) throw new Failed(`${name} comes in queue ${queue}, not ${wanted}`);
      queues.add(queue);
    }
    if (queues.size !== device.rxQueues.length) {
      throw new Failed(`packets come in ${queues.size} of ${device.rxQueues.length} queues`);
    }
    return `${
      counted(sent.length, "flow")
    } of IPv4 and IPv6, TCP and UDP, in ${queues.size} queues`;
  },
};

/** The NIC's counters of frames and bytes must equal what was sent. */
export const STATISTICS_CHECK: Check = {
  name: "statistics",
  async run(bench: Bench): Promise<string> {
    const { port } = bench, { device } = port;
    assertLoopback(bench);
    const own = device.macAddress(), traffic = new Traffic(port, port, bench);
    const sizes = ALL_SIZES.filter((size) => size % 61 === 0), broadcasts = 7;
    await delay(COUNT_MS);
    const before = device.counters(), software = device.statistics();
    const stream = traffic.stream(sizes);
    assertWhole(stream);
    traffic.exchange(new Array(broadcasts).fill(frameTo(BROADCAST, own)), "all");
    await delay(COUNT_MS);
    const after = device.counters(), now = device.statistics();
    const frames = sizes.length + broadcasts, bytes = stream.bytes + broadcasts * 60 + frames * CRC;
    const expected = {
      ...{ GPTC: frames, GPRC: frames, GOTC: bytes, GORC: bytes },
      ...{ BPTC: broadcasts, BPRC: broadcasts },
    };
    for (const [name, count] of Object.entries(expected)) {
      const counts = after[name] - before[name];
      if (counts !== count) throw new Failed(`${name} counts ${counts}, not ${count}`);
    }
    const missed = now.rxMissed - software.rxMissed, errors = now.rxErrors - software.rxErrors;
    if (missed + errors > 0) throw new Failed(`${missed} missed and ${errors} errors are counted`);
    return `${Object.keys(expected).join(", ")}: ${counted(frames, "frame")}, ` +
      counted(bytes, "byte");
  },
};

/** @throws {Skipped} if the port is not in loopback. */
export function assertLoopback({ port: { looped } }: Bench): void {
  if (!looped) throw new Skipped("the port is not in loopback");
}

/** Returns the queue of each hash value, from the registers. */
function redirectionTable(regs: Registers, { mac }: Model): number[] {
  const queues: number[] = [];
  for (const register of mac === "X550" ? [RETA, ERETA] : [RETA]) {
    for (let i = 0; i < register.count; i++) {
      const word = regs.read(register, i);
      for (let n = 0; n < 4; n++) queues.push(word >>> 8 * n & (mac === "X550" ? 0x3f : 0xf));
    }
  }
  return queues;
}
