/**
 * A ring at one moment: its pointers, and who owns which descriptor.
 *
 * @module
 */

import {
  descriptorSection,
  FRAME_SECTION,
  NONE,
  OWNER,
  ownerSection,
  RING,
  type RingName,
  ringSection,
  slotSection,
  virtqueueSection,
} from "../../../recording/layout.ts";
import { cellsOf, type Scene } from "../scene.ts";
import type { DescriptorName } from "../selection.ts";

/** Owners in the order of {@linkcode OWNER}, in one word. */
export const OWNERS = ["driver", "armed", "device", "done"] as const;
/** An owner in one word. */
export type OwnerWord = typeof OWNERS[number];

/** Consecutive descriptors that have the same owner. */
interface OwnerRun {
  readonly owner: OwnerWord;
  readonly from: number;
  /** The index after the last one. */
  readonly to: number;
}

/** A ring at one moment. */
export interface RingState {
  readonly name: RingName;
  readonly runs: boolean;
  readonly head: number;
  readonly tail: number;
  readonly next: number;
  readonly fill: number;
  /** Number of descriptors; 0 before the driver has allocated the ring. */
  readonly entries: number;
  readonly owners: readonly OwnerRun[];
  /** Number of descriptors by owner. */
  readonly counts: Readonly<Record<OwnerWord, number>>;
  /** Whether it is a virtqueue. */
  readonly isVirtqueue: boolean;
}

/** Returns the names of all rings: by port, receive first. */
export function ringsOf({ layout }: Scene): RingName[] {
  const names: RingName[] = [];
  for (const section of Object.keys(layout.sections)) {
    const [, port, ring, queue] = /^port(\d+)\/(rx|tx)(\d+)\/ring$/.exec(section) ?? [];
    if (port === undefined) continue;
    names.push({ port: Number(port), ring: ring as RingName["ring"], queue: Number(queue) });
  }
  return names.sort((a, b) => a.port - b.port || a.ring.localeCompare(b.ring) || a.queue - b.queue);
}

/** Returns the state of a ring. */
export function ringState(scene: Scene, name: RingName): RingState {
  const { port, ring, queue } = name;
  const cells = cellsOf(scene, ringSection(port, ring, queue));
  const owners = cellsOf(scene, ownerSection(port, ring, queue));
  const counts = { driver: 0, armed: 0, device: 0, done: 0 };
  const runs = ownerRuns(owners);
  for (const { owner, from, to } of runs) counts[owner] += to - from;
  return {
    name,
    runs: cells[RING.RUNS] !== 0,
    head: cells[RING.HEAD],
    tail: cells[RING.TAIL],
    next: cells[RING.NEXT],
    fill: cells[RING.FILL],
    entries: owners.length,
    owners: runs,
    counts,
    isVirtqueue: virtqueueSection(port, ring, queue, "used") in scene.layout.sections,
  };
}

/** Divides a ring into runs of the same owner. */
function ownerRuns(owners: Uint32Array): OwnerRun[] {
  const runs: OwnerRun[] = [];
  for (let from = 0; from < owners.length;) {
    let to = from + 1;
    while (to < owners.length && owners[to] === owners[from]) to++;
    runs.push({ owner: OWNERS[owners[from]] ?? OWNERS[OWNER.DRIVER], from, to });
    from = to;
  }
  return runs;
}

/** One descriptor at one moment. */
export interface DescriptorState {
  readonly name: DescriptorName;
  readonly owner: OwnerWord;
  readonly words: Uint32Array;
  /** Buffer of the pool; undefined without one. */
  readonly buffer: number | undefined;
  /** Number of the frame in the buffer; undefined without one. */
  readonly frame: number | undefined;
}

/** Returns the state of a descriptor; undefined if the ring has no such descriptor. */
export function descriptorState(scene: Scene, name: DescriptorName): DescriptorState | undefined {
  const { port, ring, queue, index } = name;
  const owner = cellsOf(scene, ownerSection(port, ring, queue))[index];
  if (owner === undefined) return undefined;
  const slot = cellsOf(scene, slotSection(port, ring, queue))[index] ?? NONE;
  const buffer = slot === NONE ? undefined : slot;
  const words = cellsOf(scene, descriptorSection(port, ring, queue));
  return {
    name,
    owner: OWNERS[owner] ?? OWNERS[OWNER.DRIVER],
    words: words.subarray(index * 4, index * 4 + 4),
    buffer,
    frame: buffer === undefined ? undefined : frameIn(scene, buffer),
  };
}

/** Returns the number of the frame in a buffer; undefined without one. */
export function frameIn(scene: Scene, buffer: number): number | undefined {
  return cellsOf(scene, FRAME_SECTION)[buffer] || undefined;
}
