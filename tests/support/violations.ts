/**
 * Ends a software NIC whose driver may have broken rules, for tests that expect it. Not a test
 * itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Sim, SimPort } from "./processes.ts";

/** The result of a software NIC. */
export interface BrokenRules {
  /** The rules that were broken, each once: `RDT: not moved past the head`. */
  readonly rules: readonly string[];
  /** Its last counts. */
  readonly ports: readonly SimPort[];
}

/**
 * Ends it; asserts that its exit code tells whether rules were broken. Counts copies of a register
 * as one.
 *
 * @param judged Whether the exit code depends on rules: not for plain ports.
 */
export async function quitBroken(sim: Sim, judged = true): Promise<BrokenRules> {
  await sim.command("quit");
  const { code, stdout } = await sim.program.finish();
  const { violations, ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  const names = (violations as { register: string; rule: string }[]).map(({ register, rule }) => {
    return `${register.replace(/\[\d+\]/, "")}: ${rule}`;
  });
  assertEquals(code, judged && names.length > 0 ? 1 : 0);
  return { rules: [...new Set(names)].sort(), ports };
}
