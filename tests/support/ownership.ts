/**
 * Who has each descriptor and each buffer of a recording: what must hold at every step. Not a test
 * itself.
 *
 * @module
 */

import { AssertionError } from "@std/assert";
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
/** Says what does not hold. */
type Fail = (what: string) => never;

/** Order of the owners round a ring, from the next descriptor that the driver looks at. */
const ORDER: Readonly<Record<Direction, readonly number[]>> = {
  rx: [OWNER.DONE, OWNER.DEVICE, OWNER.ARMED, OWNER.DRIVER],
  tx: [OWNER.DONE, OWNER.DEVICE, OWNER.ARMED, OWNER.DRIVER],
};
/** Who may have the buffer of a descriptor, by the descriptor's owner. */
const HOLDERS: Readonly<Record<Direction, Readonly<Record<number, readonly number[]>>>> = {
  rx: {
    [OWNER.DONE]: [BUFFER.FILLED],
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
    const fail: Fail = (what) => {
      throw new AssertionError(`step ${number}, ${kind} ${title}: ${what}`);
    };
    const held = new Map<number, Direction>();
    for (let port = 0; port < ports; port++) {
      for (let queue = 0; queue < queues; queue++) {
        for (const ring of ["rx", "tx"] as const) {
          checkRing(layout, recording.state, [port, ring, queue], held, fail);
        }
      }
    }
    checkPool(layout.view(recording.state, POOL_SECTION), held, fail);
  }
}

function checkRing(
  layout: Layout,
  state: Uint32Array,
  name: readonly [port: number, ring: Direction, queue: number],
  held: Map<number, Direction>,
  fail: Fail,
): void {
  const cells = layout.view(state, ringSection(...name));
  const owners = layout.view(state, ownerSection(...name));
  const slots = layout.view(state, slotSection(...name));
  const pool = layout.view(state, POOL_SECTION), [, ring] = name;
  const mask = owners.length - 1;
  slots.forEach((buffer, i) => {
    if (buffer === NONE) return;
    if (held.has(buffer)) fail(`${name}: buffer ${buffer} is in ${i} and in ${held.get(buffer)}`);
    held.set(buffer, ring);
  });
  if (cells[RING.RUNS] === 0) return;
  let part = 0;
  for (let n = 0; n < owners.length; n++) {
    const i = (cells[RING.NEXT] + n) & mask, owner = owners[i];
    while (part < ORDER[ring].length && ORDER[ring][part] !== owner) part++;
    if (part === ORDER[ring].length) fail(`${name}: ${i} is out of order: ${owners}`);
    if (slots[i] === NONE) {
      if (owner !== OWNER.DRIVER) fail(`${name}: ${i} has no buffer`);
    } else if (!HOLDERS[ring][owner]?.includes(pool[slots[i]])) {
      fail(`${name}: ${i} of owner ${owner} has a buffer of ${pool[slots[i]]}`);
    }
  }
  checkIndices(cells, owners, (what) => fail(`${name}: ${what}`));
}

/** The device has the descriptors up to the tail, and the head is one of them or the tail. */
function checkIndices(cells: Uint32Array, owners: Uint32Array, fail: Fail): void {
  const mask = owners.length - 1, head = cells[RING.HEAD], tail = cells[RING.TAIL];
  const first = owners.findIndex((owner, i) => {
    return owner === OWNER.DEVICE && owners[(i - 1) & mask] !== OWNER.DEVICE;
  });
  if (first < 0) {
    if (head !== tail) fail(`head ${head} is not tail ${tail}, and the device has no descriptor`);
    return;
  }
  let end = first;
  while (owners[end] === OWNER.DEVICE) end = (end + 1) & mask;
  if (tail !== end) fail(`the tail is ${tail}, and the device's last descriptor is before ${end}`);
  if (((head - first) & mask) > ((end - first) & mask)) {
    fail(`head ${head} is not in ${first} to ${end}`);
  }
}

/** A buffer is in a ring, free, or in the program's hands. */
function checkPool(
  pool: Uint32Array,
  held: ReadonlyMap<number, Direction>,
  fail: Fail,
): void {
  pool.forEach((owner, buffer) => {
    const free = owner === BUFFER.FREE, inRing = held.has(buffer);
    if (!inRing && !free && owner !== BUFFER.PROGRAM) fail(`buffer ${buffer} is in no ring`);
    if (inRing && free) fail(`buffer ${buffer} is free and in a ring`);
  });
}
