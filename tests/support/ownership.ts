/**
 * Who has each descriptor and each buffer of a recording: what must hold at every step. Not a test
 * itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Experiment } from "../../explorer/recording/experiment.ts";
import {
  BUFFER,
  type Layout,
  NONE,
  OWNER,
  ownerSection,
  POOL_SECTION,
  RING,
  ringSection,
  slotSection,
} from "../../explorer/recording/layout.ts";
import type { Recording } from "../../explorer/recording/recording.ts";

type Direction = "rx" | "tx";

/** Order of the owners round a ring, from the next descriptor that the driver looks at. */
const ORDER: Readonly<Record<Direction, readonly number[]>> = {
  rx: [OWNER.DONE, OWNER.DEVICE, OWNER.ARMED],
  tx: [OWNER.DONE, OWNER.DEVICE, OWNER.ARMED, OWNER.DRIVER],
};
/** Who may have the buffer of a descriptor, by the descriptor's owner. */
const HOLDERS: Readonly<Record<Direction, Readonly<Record<number, readonly number[]>>>> = {
  rx: {
    // A look passes a buffer to the program before the descriptor gets another one.
    [OWNER.DONE]: [BUFFER.FILLED, BUFFER.PROGRAM],
    [OWNER.DEVICE]: [BUFFER.RECEIVE, BUFFER.FILLED],
    [OWNER.ARMED]: [BUFFER.RECEIVE],
  },
  tx: {
    [OWNER.DONE]: [BUFFER.SENT],
    [OWNER.DEVICE]: [BUFFER.TRANSMIT, BUFFER.SENT],
    [OWNER.ARMED]: [BUFFER.TRANSMIT],
  },
};

/**
 * Checks owners at every step: each buffer is in one place, and owners fit head and tail.
 *
 * @throws {AssertionError} at the first step where they do not.
 */
export function assertOwnership(recording: Recording, { ports, queues }: Experiment): void {
  const { layout } = recording;
  for (let number = 0; number < recording.end; number++) {
    recording.moveTo(number);
    const { kind, title } = recording.at(number)!;
    const where = `step ${number}, ${kind}: ${title}`;
    const held = new Map<number, string>();
    for (let port = 0; port < ports; port++) {
      for (let queue = 0; queue < queues; queue++) {
        for (const ring of ["rx", "tx"] as const) {
          checkRing(layout, recording.state, [port, ring, queue], held, where);
        }
      }
    }
    checkPool(layout.view(recording.state, POOL_SECTION), held, where);
  }
}

function checkRing(
  layout: Layout,
  state: Uint32Array,
  name: readonly [port: number, ring: Direction, queue: number],
  held: Map<number, string>,
  where: string,
): void {
  const cells = layout.view(state, ringSection(...name));
  const owners = layout.view(state, ownerSection(...name));
  const slots = layout.view(state, slotSection(...name));
  const pool = layout.view(state, POOL_SECTION), [, ring] = name, what = `${where}: ${name}`;
  const mask = owners.length - 1;
  slots.forEach((buffer, i) => {
    if (buffer === NONE) return;
    assert(!held.has(buffer), `${what}: buffer ${buffer} is in ${i} and in ${held.get(buffer)}`);
    held.set(buffer, `${name} ${i}`);
  });
  if (cells[RING.RUNS] === 0) return;
  let part = 0;
  for (let n = 0; n < owners.length; n++) {
    const i = (cells[RING.NEXT] + n) & mask, owner = owners[i];
    while (part < ORDER[ring].length && ORDER[ring][part] !== owner) part++;
    assert(part < ORDER[ring].length, `${what}: owner ${owner} of ${i} is out of order: ${owners}`);
    if (slots[i] === NONE) {
      assertEquals(owner, OWNER.DRIVER, `${what}: ${i} has no buffer`);
      continue;
    }
    const holders = HOLDERS[ring][owner];
    assert(holders?.includes(pool[slots[i]]), `${what}: ${i} of ${owner} has ${pool[slots[i]]}`);
  }
  checkIndices(cells, owners, what);
}

/** The device has the descriptors up to the tail, and the head is one of them or the tail. */
function checkIndices(cells: Uint32Array, owners: Uint32Array, what: string): void {
  const mask = owners.length - 1, head = cells[RING.HEAD], tail = cells[RING.TAIL];
  const first = owners.findIndex((owner, i) => {
    return owner === OWNER.DEVICE && owners[(i - 1) & mask] !== OWNER.DEVICE;
  });
  if (first < 0) {
    assertEquals(head, tail, `${what}: the device has no descriptor`);
    return;
  }
  let end = first;
  while (owners[end] === OWNER.DEVICE) end = (end + 1) & mask;
  assertEquals(tail, end, `${what}: the tail`);
  const distance = (head - first) & mask, length = (end - first) & mask;
  assert(distance <= length, `${what}: head ${head} is not in ${first} to ${end}`);
}

/** A buffer is in a ring, free, or in the program's hands. */
function checkPool(pool: Uint32Array, held: ReadonlyMap<number, string>, where: string): void {
  pool.forEach((owner, buffer) => {
    const outside = owner === BUFFER.FREE || owner === BUFFER.PROGRAM;
    if (!held.has(buffer)) assert(outside, `${where}: buffer ${buffer} of ${owner} is in no ring`);
    else assert(owner !== BUFFER.FREE, `${where}: free buffer ${buffer} is in ${held.get(buffer)}`);
  });
}
