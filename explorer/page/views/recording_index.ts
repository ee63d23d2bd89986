/**
 * An index of a recording: how often each register was accessed up to a step, and where the bytes of
 * frames are. It grows with the recording.
 *
 * @module
 */

import type { Recording } from "../../recording/recording.ts";
import type { Step } from "../../recording/step.ts";
import { lastAtMost } from "../step_index.ts";

/** How often a register was read and written. */
export interface Counts {
  readonly reads: number;
  readonly writes: number;
}

const NEVER: Counts = { reads: 0, writes: 0 };

/** Sums up to and including a step. */
interface Sum extends Counts {
  readonly step: number;
}

const indices = new WeakMap<Recording, RecordingIndex>();

/** An index of a recording. */
export class RecordingIndex {
  readonly #recording: Recording;
  /** Sums of accesses in the order of steps: by port and name, then by index. */
  #sums = new Map<string, Map<number, Sum[]>>();
  /** Steps with bytes of a frame, by the frame's number, in order. */
  #frames = new Map<number, number[]>();
  /** Steps with bytes of any frame, in order. */
  #bytes: number[] = [];
  #from = 0;
  #end = 0;

  private constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** Returns the index of a recording, up to date. */
  static of(recording: Recording): RecordingIndex {
    let index = indices.get(recording);
    if (index === undefined) indices.set(recording, index = new RecordingIndex(recording));
    index.#update();
    return index;
  }

  /** Number of the first step that is counted: older ones are gone. */
  get from(): number {
    return this.#from;
  }

  /** Whether any step accesses a register. */
  get hasAccesses(): boolean {
    return this.#sums.size > 0;
  }

  /** Returns how often a register was accessed up to and including a step. */
  counts(port: number, name: string, index: number, step: number): Counts {
    const sums = this.#sums.get(keyOf(port, name))?.get(index) ?? [];
    return sums[lastAtMost(sums, step, (sum) => sum.step)] ?? NEVER;
  }

  /**
   * Returns the first step after `step` that accesses a register; without one, the first of all; -1 if no
   * step accesses it.
   *
   * @param index The register's copy; undefined for any.
   */
  nextAccess(port: number, name: string, index: number | undefined, step: number): number {
    const copies = this.#sums.get(keyOf(port, name)) ?? new Map<number, Sum[]>();
    const chosen = index === undefined ? [...copies.values()] : [copies.get(index) ?? []];
    const steps = chosen.flatMap((sums) => sums.map((sum) => sum.step)).sort((a, b) => a - b);
    return steps.find((other) => other > step) ?? steps[0] ?? -1;
  }

  /** Returns the copies of a register that were accessed up to and including a step. */
  accessed(port: number, name: string, step: number): number[] {
    const copies = this.#sums.get(keyOf(port, name)), found: number[] = [];
    if (copies === undefined) return found;
    for (const [index, [first]] of copies) if (first.step <= step) found.push(index);
    return found;
  }

  /** Returns the steps with bytes of a frame up to and including a step, oldest first. */
  stepsOf(frame: number, step: number): readonly number[] {
    const steps = this.#frames.get(frame) ?? [];
    return steps.slice(0, lastAtMost(steps, step, (n) => n) + 1);
  }

  /** Returns the last step up to and including `step` that has bytes of a frame; -1 without one. */
  lastBytes(step: number): number {
    return this.#bytes[lastAtMost(this.#bytes, step, (n) => n)] ?? -1;
  }

  #update(): void {
    const recording = this.#recording;
    if (recording.first > this.#from) this.#clear(recording.first);
    for (; this.#end < recording.end; this.#end++) this.#add(recording.at(this.#end)!, this.#end);
  }

  #clear(first: number): void {
    this.#sums.clear();
    this.#frames.clear();
    this.#bytes = [];
    this.#from = this.#end = first;
  }

  #copies(port: number, name: string): Map<number, Sum[]> {
    const key = keyOf(port, name);
    let copies = this.#sums.get(key);
    if (copies === undefined) this.#sums.set(key, copies = new Map());
    return copies;
  }

  #add({ kind, port, register, frame, bytes, times = 1 }: Step, number: number): void {
    if (register !== undefined) {
      const sums = listOf(this.#copies(port, register.name), register.index);
      const { reads, writes } = sums.at(-1) ?? NEVER;
      const [read, written] = kind === "write" ? [0, times] : [times, 0];
      sums.push({ step: number, reads: reads + read, writes: writes + written });
    }
    if (frame !== undefined && bytes !== undefined) {
      listOf(this.#frames, frame).push(number);
      this.#bytes.push(number);
    }
  }
}

function keyOf(port: number, name: string): string {
  return `${port} ${name}`;
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key);
  if (list === undefined) map.set(key, list = []);
  return list;
}
