/**
 * Self-test of closing and opening again.
 *
 * @module
 */

import { isVetoed } from "../../ixgbe/semaphore.ts";
import { delay } from "../../native/clock.ts";
import { type Bench, type Check, counted, Failed } from "./check.ts";
import { startLoopback } from "./data_path.ts";
import { waitForLink } from "./link.ts";
import { assertWhole, Traffic } from "./traffic.ts";

/** Frames on their way while the device is closed, and after it was opened again; their size. */
const FRAMES = 64, SIZE = 1514;
/** Time in which a closed device must not write to memory, in milliseconds. */
const QUIET_MS = 100;
/** What the buffers hold then. */
const FILL = 0xa5a5a5a5;

/** Closes the device under traffic. It must be at rest, and its memory stay as it is. */
export const CLOSE_CHECK: Check = {
  name: "close",
  async run(bench: Bench): Promise<string> {
    const { port, partner } = bench, { device, pool } = port;
    const own = device.macAddress();
    if (port.looped) new Traffic(port, port, bench).flood(own, FRAMES, SIZE);
    const start = performance.now();
    device.close(); // throws if queues, DMA or reset do not end in time
    const took = performance.now() - start;
    const { freeCount, buffers } = pool;
    if (freeCount !== buffers) throw new Failed(`${buffers - freeCount} buffers did not return`);
    if (port.access.isBusMaster()) throw new Failed("bus mastering is still on");
    const words = new Uint32Array(pool.memory.buffer).fill(FILL);
    if (partner) new Traffic(partner, partner, bench).flood(own, FRAMES, SIZE);
    await delay(QUIET_MS);
    const changed = words.findIndex((word) => word !== FILL);
    if (changed >= 0) throw new Failed(`memory changes after closing, at byte ${4 * changed}`);
    return `at rest after ${took.toFixed(0)} ms, nothing arrives afterwards`;
  },
};

/** After the device was opened again: the link, and frames over the cable, or in loopback. */
export const REOPEN_CHECK: Check = {
  name: "reopen",
  async run(bench: Bench): Promise<string> {
    const { port } = bench, vetoed = isVetoed(port.device.registers);
    const partner = bench.partner?.linked ? bench.partner : undefined;
    const link = port.linked
      ? `link at ${await waitForLink(port, bench) / 1000} Gbit/s`
      : "no link";
    if (port.linked && partner !== undefined) await waitForLink(partner, bench);
    else if (vetoed) return link;
    else await startLoopback(bench);
    const sizes = new Array<number>(FRAMES).fill(SIZE), to = port.looped ? port : partner!;
    assertWhole(new Traffic(port, to, bench).stream(sizes));
    return `${link}, ${counted(FRAMES, "frame")} ${port.looped ? "in loopback" : "by cable"}`;
  },
};
