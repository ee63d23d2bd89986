/**
 * Round-trip times of a stream's frames, as a histogram: from a generator's delivery of a frame to
 * its port until the frame is back. Frames carry no time stamp.
 *
 * @module
 */

import { milliseconds } from "../../native/clock.ts";

/** Maximum number of frames in flight: a power of two, and more than all rings hold. */
const ON_THE_WAY = 65536;
/** Nanoseconds of the finest bin, and of a millisecond. */
const UNIT = 10, MILLISECOND = 1e6;
/** Number of bins of one unit. Each octave beyond has half as many: a width of 0.1 % at most. */
const LINEAR_BITS = 11, LINEAR = 1 << LINEAR_BITS, HALF = LINEAR / 2;
/** Time of the last bin, in units: five seconds. It also takes all longer times. */
const MAX_UNITS = 2 ** 29 - 1;

/**
 * A histogram for output: the shortest time of each bin in nanoseconds, and its number of frames.
 */
export type LatencyBins = (readonly [nanoseconds: number, frames: number])[];

/** Returns the bin of a time. */
function binOf(units: number): number {
  if (units < LINEAR) return units;
  const shift = 32 - LINEAR_BITS - Math.clz32(units);
  return shift * HALF + (units >>> shift);
}

/** Returns the shortest time of a bin, in units. */
function lowestOf(bin: number): number {
  if (bin < LINEAR) return bin;
  const shift = Math.floor(bin / HALF) - 1;
  return (bin - shift * HALF) * 2 ** shift;
}

/** Round-trip times of one stream's frames. */
export class Latency {
  /** When frames in flight were sent, in milliseconds, by the low bits of their numbers. */
  readonly #sent = new Float64Array(ON_THE_WAY);
  readonly #bins = new Uint32Array(binOf(MAX_UNITS) + 1);

  /** Notes that a frame is sent now. */
  sent(number: number): void {
    this.#sent[number & (ON_THE_WAY - 1)] = milliseconds();
  }

  /** Counts the time of a frame that is back. */
  back(number: number): void {
    const away = milliseconds() - this.#sent[number & (ON_THE_WAY - 1)];
    const units = away * (MILLISECOND / UNIT);
    this.#bins[binOf(Math.min(MAX_UNITS, units) >>> 0)]++;
  }

  /** Returns the bins with frames, the shortest times first. Counts are never reset. */
  bins(): LatencyBins {
    const bins: LatencyBins = [];
    this.#bins.forEach((frames, bin) => {
      if (frames > 0) bins.push([lowestOf(bin) * UNIT, frames]);
    });
    return bins;
  }
}
