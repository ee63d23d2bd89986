/**
 * The faults of a soak run. Each happens while packets pass.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import type { Random } from "../support/random.ts";
import type { Rig } from "./rig.ts";

/** The longest time that a process stands still or a link is down, in milliseconds. */
const LONGEST_MS = 500;

/** A fault that leaves both processes running: no packet may be lost by it. */
export interface Disturbance {
  readonly name: string;
  /** Happens to the rig; returns once it is over. */
  happen(rig: Rig, random: Random): Promise<void>;
}

/** Stops a process and lets it continue after a random time. */
async function pause(
  process: { kill(signal: Deno.Signal): void },
  random: Random,
): Promise<void> {
  process.kill("SIGSTOP");
  await delay(random.whole(1, LONGEST_MS));
  process.kill("SIGCONT");
}

/** The disturbances. */
export const DISTURBANCES: readonly Disturbance[] = [
  {
    name: "link down",
    async happen(rig, random) {
      const port = random.whole(0, 1);
      await rig.command(`link ${port} down`);
      await delay(random.whole(1, LONGEST_MS));
      await rig.command(`link ${port} up`);
    },
  },
  {
    name: "link flap",
    async happen(rig, random) {
      for (let flaps = random.whole(2, 10); flaps > 0; flaps--) {
        for (const state of ["down", "up"]) await rig.command(`link ${flaps % 2} ${state}`);
      }
    },
  },
  { name: "forwarder paused", happen: (rig, random) => pause(rig.forwarder, random) },
  { name: "NIC paused", happen: (rig, random) => pause(rig.sim, random) },
  {
    name: "silence",
    async happen(rig, random) {
      await rig.command("stop");
      await delay(random.whole(1, LONGEST_MS));
      await rig.command("start");
    },
  },
];

/** How a fault ends a process. */
export type Ending = "forwarder ended" | "forwarder killed" | "NIC killed";

/** The endings. A driver of plain ports cannot notice that the NIC behind the files has ended. */
export function endings(plain: boolean): readonly Ending[] {
  const all: readonly Ending[] = ["forwarder ended", "forwarder killed", "NIC killed"];
  return plain ? all.slice(0, 2) : all;
}
