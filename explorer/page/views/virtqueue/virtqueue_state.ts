/**
 * A virtqueue at one moment: its available and its used ring (VirtIO 2.7.6 and 2.7.8).
 *
 * @module
 */

import {
  ownerSection,
  RING,
  type RingName,
  ringSection,
  virtqueueSection,
} from "../../../recording/layout.ts";
import { cellsOf, changedCells, type Scene } from "../scene.ts";
import { ringsOf } from "../rings/ring_state.ts";

/** Places in a section of an available or used ring. */
const FLAGS = 0, INDEX = 1, ENTRIES = 2;
/** Cells of an entry: the available ring has ids, the used ring ids and lengths. */
const AVAILABLE_CELLS = 1, USED_CELLS = 2;

/** An entry of a ring. */
interface VirtqueueEntry {
  /** The first descriptor of the chain. */
  readonly id: number;
  /** Bytes that the device has written; undefined in the available ring. */
  readonly length: number | undefined;
  /** Whether the current step changes it. */
  readonly isChanged: boolean;
}

/** The available or the used ring. */
export interface VirtqueueRing {
  readonly flags: number;
  /** The index: it counts modulo 2^16 and does not wrap at the ring's size. */
  readonly index: number;
  /** The place that the index points at: the next entry to be written. */
  readonly place: number;
  readonly entries: readonly VirtqueueEntry[];
  /** Whether the current step changes flags, or index. */
  readonly flagsChanged: boolean;
  readonly indexChanged: boolean;
}

/** A virtqueue. */
interface VirtqueueState {
  readonly name: RingName;
  readonly isEnabled: boolean;
  /** Number of descriptors. */
  readonly size: number;
  readonly available: VirtqueueRing;
  readonly used: VirtqueueRing;
}

/** Returns the names of all virtqueues. */
export function virtqueuesOf(scene: Scene): RingName[] {
  return ringsOf(scene).filter(({ port, ring, queue }) =>
    virtqueueSection(port, ring, queue, "used") in scene.layout.sections
  );
}

/** Returns the state of a virtqueue. */
export function virtqueueState(scene: Scene, name: RingName): VirtqueueState {
  const { port, ring, queue } = name;
  const size = cellsOf(scene, ownerSection(port, ring, queue)).length;
  const part = (part: "available" | "used", cells: number) =>
    ringOf(scene, virtqueueSection(port, ring, queue, part), size, cells);
  return {
    name,
    isEnabled: cellsOf(scene, ringSection(port, ring, queue))[RING.RUNS] !== 0,
    size,
    available: part("available", AVAILABLE_CELLS),
    used: part("used", USED_CELLS),
  };
}

function ringOf(scene: Scene, section: string, size: number, cells: number): VirtqueueRing {
  const all = cellsOf(scene, section), changed = changedCells(scene, section);
  const entries = Array.from({ length: size }, (_, i): VirtqueueEntry => {
    const at = ENTRIES + i * cells, length = cells === USED_CELLS ? all[at + 1] : undefined;
    return { id: all[at], length, isChanged: changed.has(at) || changed.has(at + cells - 1) };
  });
  const index = all[INDEX];
  return {
    flags: all[FLAGS],
    index,
    place: size === 0 ? 0 : index % size,
    entries,
    flagsChanged: changed.has(FLAGS),
    indexChanged: changed.has(INDEX),
  };
}
