/**
 * Checks of a recording's state with VirtIO devices: each buffer in one place, and owners that agree with
 * the indices of the rings.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Experiment } from "../../explorer/recording/experiment.ts";
import {
  BUFFER,
  FRAME_SECTION,
  type Layout,
  NONE,
  OWNER,
  ownerSection,
  POOL_SECTION,
  RING,
  ringSection,
  slotSection,
  virtqueueSection,
} from "../../explorer/recording/layout.ts";
import type { Recording } from "../../explorer/recording/recording.ts";

/** Where buffers of each owner are: ring and owner of the descriptor that has them. */
const PLACES: Readonly<Record<number, RegExp>> = {
  [BUFFER.FREE]: /^$/,
  [BUFFER.PROGRAM]: /^$/,
  [BUFFER.RECEIVE]: /^rx [12]$/, // armed, or with the device
  [BUFFER.FILLED]: /^rx [03]$/, // done; or looked at, and dropped
  [BUFFER.TRANSMIT]: /^tx [12]$/,
  [BUFFER.SENT]: /^tx 3$/,
};

/** Number of free buffers in the state. */
export function freeBuffers({ layout, state }: Recording): number {
  return layout.view(state, POOL_SECTION).filter((owner) => owner === BUFFER.FREE).length;
}

/** Checks all steps: who owns what at each, and that stepping back equals stepping there. */
export function checkSteps(recording: Recording, experiment: Experiment): void {
  const { state } = recording, hashes: number[] = [];
  const hash = () => state.reduce((sum, cell) => Math.imul(sum ^ cell, 16777619), 7);
  for (let i = 0; i < recording.end; i++) {
    recording.moveTo(i);
    try {
      checkOwners(recording.layout, state, experiment);
    } catch (error) {
      throw new Error(`after step ${i}, ${recording.at(i)!.title}`, { cause: error });
    }
    hashes.push(hash());
  }
  for (let i = recording.end - 1; i >= 0; i--) {
    recording.moveTo(i);
    assertEquals(hash(), hashes[i], `back to step ${i}`);
  }
}

function checkOwners(layout: Layout, state: Uint32Array, { ports, queues }: Experiment): void {
  const pool = layout.view(state, POOL_SECTION), frames = layout.view(state, FRAME_SECTION);
  const places = Array.from(pool, () => "");
  for (let port = 0; port < ports; port++) {
    for (let queue = 0; queue < queues; queue++) {
      for (const ring of ["rx", "tx"] as const) {
        const owners = layout.view(state, ownerSection(port, ring, queue));
        layout.view(state, slotSection(port, ring, queue)).forEach((buffer, i) => {
          if (buffer !== NONE) places[buffer] += `${ring} ${owners[i]}`;
        });
        checkIndices(layout, state, port, ring, queue);
      }
    }
  }
  assertEquals(places.length, pool.length);
  pool.forEach((owner, buffer) => {
    assertMatch(places[buffer], PLACES[owner], `buffer ${buffer}`);
    assert(owner !== BUFFER.FREE || frames[buffer] === 0, `buffer ${buffer} is free`);
  });
}

/** Checks that the owners of a ring's descriptors agree with its indices. */
function checkIndices(
  layout: Layout,
  state: Uint32Array,
  port: number,
  ring: "rx" | "tx",
  queue: number,
): void {
  const owners = layout.view(state, ownerSection(port, ring, queue));
  const cells = layout.view(state, ringSection(port, ring, queue));
  const [, available] = layout.view(state, virtqueueSection(port, ring, queue, "available"));
  const [, used] = layout.view(state, virtqueueSection(port, ring, queue, "used"));
  const perChain = ring === "rx" ? 1 : 2, mask = owners.length - 1;
  const chains = (owner: number) => owners.filter((is) => is === owner).length / perChain;
  assertEquals((available - used) & 0xffff, chains(OWNER.DEVICE), "the device's chains");
  assertEquals(cells[RING.TAIL], available * perChain & mask, "tail");
  assertEquals(cells[RING.NEXT], (used - chains(OWNER.DONE)) * perChain & mask, "next");
  assertEquals(cells[RING.FILL], (available + chains(OWNER.ARMED)) * perChain & mask, "fill");
}
