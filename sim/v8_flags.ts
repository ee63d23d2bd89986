/**
 * V8 flags for the software NIC.
 *
 * @module
 */

/**
 * The model's loops exceed the compiler's limits for inlining; with higher ones it is a tenth
 * faster.
 */
export const INLINE_MORE =
  "--v8-flags=--max-inlined-bytecode-size=1000,--max-inlined-bytecode-size-cumulative=3000";
