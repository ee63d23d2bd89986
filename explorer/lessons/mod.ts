/**
 * All lessons, in the order in which the page lists them.
 *
 * @module
 */

import type { Lesson } from "../recording/lesson.ts";
import { descriptorDone } from "./descriptor_done.ts";
import { filters } from "./filters.ts";
import { interrupt } from "./interrupt.ts";
import { jumbo } from "./jumbo.ts";
import { lastDescriptor } from "./last_descriptor.ts";
import { nobodyPolls } from "./nobody_polls.ts";
import { reach } from "./reach.ts";
import { reclaim } from "./reclaim.ts";
import { reset } from "./reset.ts";
import { rss } from "./rss.ts";
import { tailOnce } from "./tail_once.ts";
import { virtioChains } from "./virtio_chains.ts";
import { virtioNotifications } from "./virtio_notifications.ts";
import { virtioRings } from "./virtio_rings.ts";
import { whoDrops } from "./who_drops.ts";
import { wireToWire } from "./wire_to_wire.ts";

/** The lessons: the whole way first, then its parts. */
export const LESSONS: readonly Lesson[] = [
  wireToWire,
  reset,
  descriptorDone,
  tailOnce,
  lastDescriptor,
  reclaim,
  nobodyPolls,
  whoDrops,
  filters,
  rss,
  interrupt,
  jumbo,
  reach,
  virtioRings,
  virtioNotifications,
  virtioChains,
];
