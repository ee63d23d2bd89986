/**
 * The driver's steps on the rings of any queue. It looks at the used index (VirtIO 1.3, section 2.7.14).
 * To make chains available, it writes the available index, looks at the device's flags, and notifies the
 * device if they ask for it (2.7.13.3 and 2.7.13.4); the notification is a step of the transport.
 *
 * @module
 */

import { OWNER } from "../../recording/layout.ts";
import type { Place } from "../../recording/step.ts";
import type { RecorderContext } from "../context.ts";
import { PUBLISH_PLACES } from "./places.ts";
import type { VirtqueueCells } from "./virtqueue_cells.ts";

/**
 * Adds the step with which the driver looks at the used index.
 *
 * @param position Position of the next chain that it expects.
 * @param why What the driver does, and what it finds.
 */
export function lookAtUsed(
  context: RecorderContext,
  cells: VirtqueueCells,
  position: number,
  why: string,
  source: Place,
): void {
  context.journal.add({
    kind: "look",
    actor: "driver",
    port: cells.ring.name.port,
    title: `${cells.name}: used.idx is ${cells.usedIndex}`,
    why,
    section: "VirtIO 2.7.14",
    descriptor: cells.lookAt(position),
    source,
  });
}

/** Adds the step of an entry of the available ring, if its content changes. */
export function writeEntry(
  context: RecorderContext,
  cells: VirtqueueCells,
  position: number,
  source: Place,
): void {
  const place = cells.placeOf(position), { port } = cells.ring.name;
  if (cells.knowsAvailable(place)) return;
  cells.takeAvailable(place);
  context.journal.add({
    kind: "arm",
    actor: "driver",
    port,
    title: `${cells.name}: avail.ring[${place}] = ${cells.availableId(place)}`,
    why:
      "The available ring names a chain by its first descriptor. The device does not look at the " +
      "entry before the index has passed it.",
    section: "VirtIO 2.7.13.2",
    descriptor: cells.lookAt(position),
    source,
  });
}

/**
 * Adds the steps that make chains available.
 *
 * @param from Position of the first chain.
 * @param to Position after the last one: the new index.
 */
export function publish(
  context: RecorderContext,
  cells: VirtqueueCells,
  from: number,
  to: number,
): void {
  const { port } = cells.ring.name, count = (to - from) & 0xffff;
  for (let i = 0; i < count; i++) {
    cells.setOwner(cells.availableId(cells.placeOf(from + i)), OWNER.DEVICE);
  }
  cells.setAvailableIndex(to);
  context.journal.add({
    kind: "write",
    actor: "driver",
    port,
    title: `${cells.name}: avail.idx = ${to}`,
    why:
      `The index passes ${count} ${count === 1 ? "chain" : "chains"}, which the device owns from ` +
      "here on. It is written once for all of them.",
    section: "VirtIO 2.7.13.3",
    descriptor: cells.lookAt(to - 1),
    source: PUBLISH_PLACES.index,
  });
  const suppressed = cells.usedFlags !== 0;
  context.journal.add({
    kind: "look",
    actor: "driver",
    port,
    title: `${cells.name}: used.flags is ${suppressed ? "NO_NOTIFY" : "0"}`,
    why: suppressed
      ? "The device looks at the queue anyway, so the driver does not notify it. A notification costs " +
        "more than all stores of a batch: in a virtual machine it leaves the guest."
      : "The device does not look at the queue by itself, so the driver has to notify it.",
    section: "VirtIO 2.7.10",
    descriptor: cells.lookAt(to - 1),
    source: PUBLISH_PLACES.flags,
  });
}
