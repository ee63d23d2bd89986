/**
 * All fuzzers.
 *
 * @module
 */

import { DEVICE } from "./device.ts";
import { MESSAGES } from "./messages.ts";
import { PACKETS } from "./packets.ts";
import { REGISTERS } from "./registers.ts";
import { ARGUMENTS } from "./arguments.ts";
import { CAPTURES } from "./captures.ts";
import { DESCRIPTORS } from "./descriptors.ts";
import { RINGS, RINGS_RACING } from "./rings.ts";
import { VFIO_USER_REPLIES, VHOST_USER_REPLIES } from "./replies.ts";
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
  MESSAGES,
  VFIO_USER_REPLIES,
  VHOST_USER_REPLIES,
  CAPTURES,
  PACKETS,
  ARGUMENTS,
  DEVICE,
];
