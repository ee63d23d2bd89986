/**
 * The bytes of a frame at a step of a recording.
 *
 * @module
 */

import type { Recording } from "../../../recording/recording.ts";
import type { Step } from "../../../recording/step.ts";
import { RecordingIndex } from "../recording_index.ts";

/** A frame at a step. */
export interface FrameBytes {
  /** Its number. */
  readonly frame: number;
  readonly bytes: Uint8Array;
  /** Its bytes when it arrived, to see what the program has changed. */
  readonly original: Uint8Array;
  /** The bytes that the device moves in this step: first byte, and the byte after the last one. */
  readonly moved?: readonly [from: number, to: number];
}

/**
 * Returns the frame that a step is about; the last one before it, if it is about none.
 *
 * @param chosen Number of a frame to return instead.
 * @returns undefined before the first frame.
 */
export function frameAt(
  recording: Recording,
  position: number,
  chosen?: number,
): FrameBytes | undefined {
  const index = RecordingIndex.of(recording);
  const frame = chosen ?? recording.at(position)?.frame ??
    recording.at(index.lastBytes(position))?.frame;
  if (frame === undefined) return undefined;
  const steps = index.stepsOf(frame, position).map((n) => recording.at(n)!);
  const whole = steps.filter((step) => !isDma(step));
  const bytes = whole.at(-1)?.bytes ?? joined(steps);
  if (bytes === undefined) return undefined;
  const original = whole[0]?.bytes ?? bytes, step = recording.at(position);
  const moved = step?.frame === frame && isDma(step) ? movedBy(step, steps) : undefined;
  return moved === undefined ? { frame, bytes, original } : { frame, bytes, original, moved };
}

/** Whether a step has only the bytes that it moves: a jumbo frame is moved in several parts. */
function isDma({ kind }: Step): boolean {
  return kind === "dma-write" || kind === "dma-read";
}

/** The bytes of a frame of which only parts were seen. */
function joined(steps: readonly Step[]): Uint8Array | undefined {
  const parts = steps.filter(({ kind }) => kind === steps[0].kind).map(({ bytes }) => bytes!);
  if (parts.length === 0) return undefined;
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The range of bytes that a DMA step moves: it follows those of the frame's steps before it. */
function movedBy(step: Step, steps: readonly Step[]): readonly [number, number] | undefined {
  if (step.bytes === undefined) return undefined;
  const parts = steps.filter(({ kind, port }) => kind === step.kind && port === step.port);
  const before = parts.slice(0, parts.lastIndexOf(step));
  const from = before.reduce((sum, { bytes }) => sum + bytes!.length, 0);
  return [from, from + step.bytes.length];
}

/** Returns the indices of bytes that differ from those of the original frame. */
export function changedBytes({ bytes, original }: FrameBytes): ReadonlySet<number> {
  const changed = new Set<number>();
  if (bytes === original) return changed;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== original[i]) changed.add(i);
  return changed;
}
