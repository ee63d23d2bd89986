/**
 * Objects that components watch: the page has no other store.
 *
 * @module
 */

import { useLayoutEffect, useReducer } from "preact/hooks";

/** An object that tells its listeners of each change. */
export abstract class Observable {
  readonly #listeners = new Set<() => void>();

  /**
   * Calls a function after each change.
   *
   * @returns A function that ends it.
   */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells all listeners that something has changed. */
  protected changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** A hook: renders the component again after each change of an object. Returns the object. */
export function useObservable<T extends Observable>(object: T): T {
  const [, render] = useReducer((n: number, _: void) => n + 1, 0);
  useLayoutEffect(() => object.subscribe(render), [object]);
  return object;
}
