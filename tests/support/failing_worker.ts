/**
 * A worker for tests of how workers fail: does what its task says. Not a test itself.
 *
 * @module
 */

import { serve } from "../../programs/worker_thread.ts";

/**
 * Work until told to stop; throw at once; again while letting go; throw later; or go on for a second
 * after it was told.
 */
export type Conduct = "good" | "throws" | "fails twice" | "fails later" | "is slow";

serve<Conduct>((conduct, stop) => {
  if (conduct === "throws") throw new Error("this worker will not work");
  if (conduct === "fails twice") {
    using held = new DisposableStack();
    held.defer(() => {
      throw new Error("it does not even end well");
    });
    throw new Error("this worker fails");
  }
  const begun = performance.now();
  let told = Infinity;
  while (conduct === "is slow" ? performance.now() < told + 1000 : stop.signal === 0) {
    if (stop.signal !== 0) told = Math.min(told, performance.now());
    if (conduct === "fails later" && performance.now() - begun > 50) {
      throw new Error("this worker works no more");
    }
  }
});
