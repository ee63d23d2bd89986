/**
 * Medians and spread of a few numbers.
 *
 * @module
 */

/** What is said of a set of measurements. */
export interface Summary {
  /** How many there are. */
  readonly n: number;
  readonly min: number;
  readonly q1: number;
  readonly median: number;
  readonly q3: number;
  readonly max: number;
}

/**
 * The value below which a share of the numbers lies, between two of them by proportion.
 *
 * @param sorted At least one number, the smallest first.
 * @param share 0 to 1.
 */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1), below = Math.floor(at);
  const next = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (at - below) * (next - sorted[below]);
}

/** The middle of some numbers; NaN of none. */
export function median(numbers: readonly number[]): number {
  return numbers.length === 0 ? NaN : quantile(numbers.toSorted((a, b) => a - b), 0.5);
}

/** Median, quartiles and range; undefined of no numbers. */
export function summarize(numbers: readonly number[]): Summary | undefined {
  if (numbers.length === 0) return undefined;
  const sorted = numbers.toSorted((a, b) => a - b);
  const [min, q1, middle, q3, max] = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    quantile(sorted, share)
  );
  return { n: sorted.length, min, q1, median: middle, q3, max };
}
