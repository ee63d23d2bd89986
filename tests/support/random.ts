/**
 * Random choices that a seed repeats. Not a test itself.
 *
 * @module
 */

import { Random as Numbers } from "../../packets/random.ts";

/** Pseudo-random choices: the same seed gives the same ones. */
export class Random extends Numbers {
  /** Returns a whole number from `least` to `most`. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** Returns one of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.whole(0, items.length - 1)];
  }

  /** Returns the items in another order. */
  shuffled<T>(items: readonly T[]): T[] {
    const all = [...items];
    for (let i = all.length - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [all[i], all[j]] = [all[j], all[i]];
    }
    return all;
  }
}
