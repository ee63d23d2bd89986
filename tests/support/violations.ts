/**
 * Ends a software NIC whose driver may have broken rules, where a test expects that. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Sim, SimPort } from "./processes.ts";

/** How a software NIC ended. */
export interface BrokenRules {
  /** The rules that were broken, each once: `RDT: not moved past the head`. */
  readonly rules: readonly string[];
  /** Its last counts. */
  readonly ports: readonly SimPort[];
}

/** Ends it; asserts that its exit code says whether rules were broken. Copies of a register are one. */
export async function quitBroken(sim: Sim): Promise<BrokenRules> {
  await sim.command("quit");
  const { code, stdout } = await sim.program.finish();
  const { violations, ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  const names = (violations as { register: string; rule: string }[]).map(({ register, rule }) => {
    return `${register.replace(/\[\d+\]/, "")}: ${rule}`;
  });
  assertEquals(code, names.length > 0 ? 1 : 0);
  return { rules: [...new Set(names)].sort(), ports };
}
