/**
 * How long frames of a stream are away: from the moment a generator hands one to its port until it
 * has come back, as a histogram. The frames themselves are not changed for it.
 *
 * @module
 */

import { milliseconds } from "../../native/clock.ts";

/** Frames that can be on their way at once; a power of two, and more than all rings hold. */
const ON_THE_WAY = 65536;
/** Nanoseconds of the finest bin, and of a millisecond. */
const UNIT = 10, MILLISECOND = 1e6;
/** Bins of one unit each; beyond, each octave has half as many, and so a width of 0.1 % at most. */
const LINEAR_BITS = 11, LINEAR = 1 << LINEAR_BITS, HALF = LINEAR / 2;
/** The longest time that has a bin of its own, in units: five seconds; whatever is longer is in it. */
const MAX_UNITS = 2 ** 29 - 1;

/** A histogram for output: the shortest time of each bin in nanoseconds, and how many frames are in it. */
export type LatencyBins = (readonly [nanoseconds: number, frames: number])[];

/** Where a time belongs. */
function binOf(units: number): number {
  if (units < LINEAR) return units;
  const shift = 32 - LINEAR_BITS - Math.clz32(units);
  return shift * HALF + (units >>> shift);
}

/** The shortest time of a bin, in units. */
function lowestOf(bin: number): number {
  if (bin < LINEAR) return bin;
  const shift = Math.floor(bin / HALF) - 1;
  return (bin - shift * HALF) * 2 ** shift;
}

/** Times of one stream's frames. */
export class Latency {
  /** When the frames on their way were sent, in milliseconds, by the low bits of their numbers. */
  readonly #sent = new Float64Array(ON_THE_WAY);
  readonly #bins = new Uint32Array(binOf(MAX_UNITS) + 1);

  /** A frame is sent now. */
  sent(number: number): void {
    this.#sent[number & (ON_THE_WAY - 1)] = milliseconds();
  }

  /** A frame has come back. */
  back(number: number): void {
    const away = milliseconds() - this.#sent[number & (ON_THE_WAY - 1)];
    const units = away * (MILLISECOND / UNIT);
    this.#bins[binOf(Math.min(MAX_UNITS, units) >>> 0)]++;
  }

  /** The bins that are not empty, the shortest times first. They are never emptied. */
  bins(): LatencyBins {
    const bins: LatencyBins = [];
    this.#bins.forEach((frames, bin) => {
      if (frames > 0) bins.push([lowestOf(bin) * UNIT, frames]);
    });
    return bins;
  }
}
