/**
 * Medians and spread of a few numbers.
 *
 * @module
 */

/** Summary of a set of measurements. */
export interface Summary {
  /** Their number. */
  readonly n: number;
  readonly min: number;
  readonly q1: number;
  readonly median: number;
  readonly q3: number;
  readonly max: number;
}

/**
 * Returns a quantile, interpolated between two numbers.
 *
 * @param sorted At least one number, in ascending order.
 * @param share The share of numbers below, 0 to 1.
 */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1), below = Math.floor(at);
  const next = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (at - below) * (next - sorted[below]);
}

/** Returns the median; NaN without numbers. */
export function median(numbers: readonly number[]): number {
  return numbers.length === 0 ? NaN : quantile(numbers.toSorted((a, b) => a - b), 0.5);
}

/** Returns median, quartiles and range; undefined without numbers. */
export function summarize(numbers: readonly number[]): Summary | undefined {
  if (numbers.length === 0) return undefined;
  const sorted = numbers.toSorted((a, b) => a - b);
  const [min, q1, middle, q3, max] = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    quantile(sorted, share)
  );
  return { n: sorted.length, min, q1, median: middle, q3, max };
}
