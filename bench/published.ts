/**
 * Published figures of the family's drivers in other languages, for comparison. They come from
 * other machines and real network cards: compare the shapes of curves, and their heights only
 * roughly.
 *
 * Source: the repository ixy-languages/ixy-languages (commit 2873ee8), the data of the figures
 * `batches-3.3` and `latency-hdr-hist-1`; described in P. Emmerich et al., "The Case for Writing
 * Network Drivers in High-Level Programming Languages", ANCS 2019.
 *
 * @module
 */

/** The setting of the throughput figures, in words. */
export const THROUGHPUT_SETTING =
  "Xeon E3-1230 v2 at 3.3 GHz, one core, two ports of an 82599, 64-byte packets, both directions";
/** The setting of the latency figures, in words. */
export const LATENCY_SETTING = "Xeon E5-2620 v3 at 2.4 GHz, 1 Mpps, time stamps in hardware";
/** The source, in words. */
export const CITATION = "ixy-languages (Emmerich et al., ANCS 2019)";

/** Batch sizes of the published throughput. */
export const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;

/** Millions of packets a second by language, for each of {@linkcode BATCHES}. */
export const THROUGHPUT: Readonly<Record<string, readonly number[]>> = {
  C: [8.33, 14.31, 20.94, 25.98, 27.44, 27.44, 27.45, 27.44, 27.44],
  Rust: [5.9, 10.6, 16.7, 23.4, 26.4, 27.6, 27.4, 27.4, 27.4],
  Go: [3.3, 5.9, 9.8, 15.0, 19.0, 20.6, 23.5, 24.4, 24.8],
  "C#": [2.5, 4.9, 9.0, 14.3, 19.0, 23.0, 25.6, 26.8, 27.0],
  Java: [5.1, 7.5, 10.0, 11.38, 11.62, 12.32, 12.62, 12.3, 12.66],
  OCaml: [3.26, 5.08, 8.0, 9.38, 10.98, 10.88, 12.3, 11.7, 11.36],
  Haskell: [4.0, 5.5, 7.11, 8.38, 9.21, 9.59, 9.95, 10.01, 9.84],
  Swift: [1.7, 2.5, 3.5, 4.1, 4.6, 4.8, 5.0, 5.1, 5.1],
  JavaScript: [2.11, 2.8, 3.67, 4.22, 4.47, 4.95, 4.55, 4.66, 4.86],
  Python: [0.08, 0.08, 0.1, 0.12, 0.14, 0.14, 0.14, 0.16, 0.16],
};

/** Percentiles of the published latency. */
export const PERCENTILES = [50, 90, 99, 99.9, 99.99, 99.999] as const;

/** Microseconds from wire to wire by language, for each of {@linkcode PERCENTILES}. */
export const LATENCY: Readonly<Record<string, readonly number[]>> = {
  C: [3.76, 3.82, 3.95, 4.24, 5.65, 12.6],
  Rust: [3.75, 3.9, 3.98, 4.3, 5.7, 12.4],
  Go: [3.93, 4.1, 4.22, 4.5, 6.47, 19.5],
  "C#": [3.96, 4.3, 10.4, 29.6, 32.5, 44.2],
  Java: [4, 5, 5, 13, 17, 19],
  OCaml: [4.13, 4.24, 4.33, 5.53, 12.8, 154],
  Haskell: [7.75, 7.9, 8.51, 11.5, 13.3, 37.8],
  Swift: [4.51, 5.55, 5.78, 6.64, 9.45, 46.3],
  JavaScript: [5, 8, 116, 159, 262, 332],
};
