/**
 * What the software NIC wants of V8.
 *
 * @module
 */

/** The model's loops are longer than the compiler cares to put together by itself: a tenth faster. */
export const INLINE_MORE =
  "--v8-flags=--max-inlined-bytecode-size=1000,--max-inlined-bytecode-size-cumulative=3000";
