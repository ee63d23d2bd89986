/**
 * What the pictures show: the state of ports, rings and pool at one moment. It comes from a recording at
 * its current step, or from a device in another process.
 *
 * @module
 */

import { Layout, linkSection, registerSection } from "../../recording/layout.ts";
import type { Step } from "../../recording/step.ts";
import type { Player } from "../player.ts";
import type { DescriptorName } from "./selection.ts";

/** The state at one moment. */
export interface Scene {
  readonly layout: Layout;
  /** The cells. They change in place when the recording moves to another step. */
  readonly state: Uint32Array;
  /** The address of each port. */
  readonly ports: readonly string[];
  /** Names of the statistics registers. */
  readonly statistics: readonly string[];
  /** The step that led here; undefined without a recording. */
  readonly step?: Step | undefined;
}

/** Returns what a player shows. */
export function sceneOf({ recording, begin, step }: Player): Scene {
  const { layout, state } = recording, { ports, statistics } = begin;
  return { layout, state, ports, statistics, step };
}

/** Returns the descriptor that the current step is about; undefined if it is about none. */
export function stepDescriptor({ step }: Scene): DescriptorName | undefined {
  if (step?.descriptor === undefined) return undefined;
  const { ring, queue, index } = step.descriptor;
  return { port: step.port, ring, queue, index };
}

/** Returns the cells of a section; none if there is no such section. */
export function cellsOf({ layout, state }: Scene, section: string): Uint32Array {
  return layout.view(state, section);
}

/** Returns which cells of a section, counted from its first one, the current step changes. */
export function changedCells({ layout, step }: Scene, section: string): Set<number> {
  const { start, length } = layout.sections[section] ?? { start: 0, length: 0 };
  const changed = new Set<number>();
  for (let i = 0; i < (step?.changes.length ?? 0); i += 3) {
    const cell = step!.changes[i] - start;
    if (cell >= 0 && cell < length) changed.add(cell);
  }
  return changed;
}

/** Returns whether a port's state has registers: VirtIO has none in BAR0 that are recorded. */
export function hasRegisters({ layout }: Scene, port: number): boolean {
  return registerSection(port) in layout.sections;
}

/** Returns a port's link in words; an empty text if it is not known. */
export function linkOf(scene: Scene, port: number): string {
  const [up, speed] = cellsOf(scene, linkSection(port));
  if (up === undefined) return "";
  if (up === 0) return "link down";
  return speed >= 1000 ? `link up, ${speed / 1000} Gb/s` : `link up, ${speed} Mb/s`;
}
