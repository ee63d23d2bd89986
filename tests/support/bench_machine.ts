/**
 * A machine for results that tests make up. Not a test itself.
 *
 * @module
 */

import type { Machine } from "../../bench/machine.ts";

/** The machine. */
export const MACHINE: Machine = {
  cpu: "any",
  cores: 2,
  virtual: true,
  tscMHz: 2000,
  memoryGiB: 1,
  kernel: "6.1",
  deno: "2",
  v8: "15",
};
