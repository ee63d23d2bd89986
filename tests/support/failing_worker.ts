/**
 * A worker for tests of failing workers: behaves as its task says. Not a test itself.
 *
 * @module
 */

import { serve } from "../../programs/worker_thread.ts";

/**
 * In this order: works until told to stop; throws at once; throws, and throws again during
 * clean-up; throws later; works for another second after it is told to stop.
 */
export type Conduct = "good" | "throws" | "fails twice" | "fails later" | "is slow";

serve<Conduct>((conduct, orders) => {
  if (conduct === "throws") throw new Error("this worker will not work");
  if (conduct === "fails twice") {
    using held = new DisposableStack();
    held.defer(() => {
      throw new Error("it does not even end well");
    });
    throw new Error("this worker fails");
  }
  if (!orders.begin(() => {})) return;
  const begun = performance.now();
  let told = Infinity;
  while (conduct === "is slow" ? performance.now() < told + 1000 : orders.signal === 0) {
    if (orders.signal !== 0) told = Math.min(told, performance.now());
    if (conduct === "fails later" && performance.now() - begun > 50) {
      throw new Error("this worker works no more");
    }
  }
});
