/**
 * Self-test of the link: the module in the cage, the link itself, the cable between two ports, and what
 * each port sees when the other takes the link down.
 *
 * @module
 */

import { waitUntil } from "../../native/clock.ts";
import { DeviceError } from "../../mod.ts";
import { isVetoed } from "../../ixgbe/semaphore.ts";
import { SfpLink } from "../../ixgbe/sfp_link.ts";
import { identifyModule } from "../../ixgbe/sfp_module.ts";
import { type Bench, type Check, counted, Failed, type OpenPort, Skipped } from "./check.ts";
import { assertWhole, Traffic } from "./traffic.ts";

/** Time between looks at the user's wish to stop, and at a link, in milliseconds. */
const STEP_MS = 250, LOOK_MS = 10;

export const MODULE_CHECK: Check = {
  name: "module",
  async run({ port: { device, model } }: Bench): Promise<string> {
    if (!SfpLink.fits(model)) throw new Skipped("the board has no cage for SFP+");
    const found = await identifyModule(device.registers);
    if (found.module === undefined) throw new Failed(found.problem);
    const { kind, vendor, part, warnings } = found.module;
    // That the driver does not know the kind is not the module's fault.
    if (kind !== "unknown" && warnings.length > 0) {
      throw new Failed(`${kind}: ${warnings.join("; ")}`);
    }
    return [`${kind} of ${vendor}, part ${part}`, ...warnings].join("; ");
  },
};

export const LINK_CHECK: Check = {
  name: "link",
  async run(bench: Bench): Promise<string> {
    const { port } = bench, megabits = await waitForLink(port, bench);
    return `up at ${megabits / 1000} Gbit/s, ${seconds(port.openedAt)} after opening`;
  },
};

/** Frames of all sizes to the other port. */
export const CABLE_CHECK: Check = {
  name: "cable",
  run(bench: Bench): string {
    const { port } = bench, other = partnerOf(bench);
    if (!port.linked || !other.linked) throw new Skipped("there is no link");
    const { sizes } = bench, start = performance.now();
    const result = new Traffic(port, other, bench).stream(sizes);
    assertWhole(result);
    return `${counted(sizes.length, "frame")} of ${sizes[0]} to ${
      sizes.at(-1)
    } bytes to the other ` +
      `port, ${rate(8 * result.bytes, start)}`;
  },
};

/** The port takes the link down; the partner must notice, and the link must come back. */
export const LINK_LOSS_CHECK: Check = {
  name: "link loss",
  async run(bench: Bench): Promise<string> {
    const { port, checkStop, linkMs } = bench, other = partnerOf(bench);
    if (!port.linked || !other.linked) throw new Skipped("there is no link");
    if (isVetoed(port.device.registers)) throw new Skipped(VETOED);
    for (const each of [port, other]) await waitForLink(each, bench); // it may have been lost before
    const start = performance.now();
    let noticed: string;
    await port.device.setLink(false);
    try {
      const isDown = () => {
        checkStop();
        return !other.device.linkStatus().up;
      };
      if (!await waitUntil(linkMs, isDown, LOOK_MS)) {
        throw new Failed(`the other port still has a link ${seconds(start)} after it was ended`);
      }
      noticed = milliseconds(start);
    } finally {
      await port.device.setLink(true);
    }
    const restored = performance.now();
    for (const each of [port, other]) await waitForLink(each, bench);
    return `the other port notices after ${noticed}, both have a link again after ` +
      milliseconds(restored);
  },
};

/** Why the link is left alone. */
export const VETOED = "a management controller uses the link (MMNGC.MNG_VETO)";

/** Returns the speed in Mbit/s. @throws {Failed} if the link does not come up. */
export async function waitForLink(
  port: OpenPort,
  { checkStop, linkMs }: Bench,
): Promise<number> {
  const { device } = port;
  for (const since = performance.now();;) {
    checkStop();
    const late = performance.now() - since >= linkMs;
    try {
      const { megabits } = await device.waitForLink(Math.min(STEP_MS, linkMs));
      port.linked = true;
      return megabits;
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      const { up, reason } = device.linkStatus(); // throws if the device is gone
      if (up || !late) continue;
      const why = reason ?? "check the cable and the other end";
      throw new Failed(`no link after ${linkMs / 1000} s: ${why}`);
    }
  }
}

function partnerOf({ partner }: Bench): OpenPort {
  if (partner === undefined) throw new Skipped("needs two cabled ports");
  return partner;
}

/** Formats the time since a moment. */
function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

function milliseconds(since: number): string {
  return `${Math.round(performance.now() - since)} ms`;
}

/** Formats a rate of bits since a moment. */
export function rate(bits: number, since: number): string {
  return `${(bits / (performance.now() - since) / 1e6).toFixed(1)} Gbit/s`;
}
