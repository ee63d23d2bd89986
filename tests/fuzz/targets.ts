/**
 * All fuzzers.
 *
 * @module
 */

import { REGISTERS } from "./registers.ts";
import { DESCRIPTORS } from "./descriptors.ts";
import { RINGS, RINGS_RACING } from "./rings.ts";
import type { Target } from "./target.ts";
import { VIRTQUEUES, VIRTQUEUES_RACING } from "./virtqueues.ts";

/** The fuzzers, in the order in which they run. */
export const TARGETS: readonly Target[] = [
  REGISTERS,
  DESCRIPTORS,
  RINGS,
  RINGS_RACING,
  VIRTQUEUES,
  VIRTQUEUES_RACING,
];
