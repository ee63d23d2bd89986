/**
 * Texts that many steps have, as reasons and stacks. Each message of the worker brings its own copies.
 *
 * @module
 */

import type { Step } from "../recording/step.ts";

/** The texts of a step. */
const TEXTS = ["title", "why", "section", "chapter", "stack"] as const;
/** The most texts that are known at a time. */
const MOST = 10_000;

/** Keeps one copy of each text: with copies of its own, a step takes several times as much memory. */
export class SharedTexts {
  readonly #known = new Map<string, string>();

  /** Replaces the texts of steps by equal ones of earlier steps. */
  share(steps: readonly Step[]): void {
    for (const step of steps as readonly { -readonly [K in keyof Step]: Step[K] }[]) {
      for (const name of TEXTS) {
        const text = step[name];
        if (text !== undefined) step[name] = this.#one(text);
      }
    }
  }

  #one(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= MOST) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
