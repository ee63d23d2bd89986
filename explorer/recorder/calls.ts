/**
 * Calls of the driver's functions, as steps: the call, what happens meanwhile, and the return.
 *
 * @module
 */

import type { Place } from "../recording/step.ts";
import type { Journal } from "./journal.ts";

/** A function that the program calls: where it is, and what it is for. */
export interface Call {
  readonly source: Place;
  readonly why: string;
}

/** Records calls. They may contain others. */
export class Calls {
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /**
   * Calls a function.
   *
   * @param name How the program writes it: `rxQueues[0].receive(batch)`.
   * @param call Where the function is, and what it is for.
   * @param result Says what it returned.
   */
  run<T>(port: number, name: string, call: Call, act: () => T, result?: (value: T) => string): T {
    const outer = this.#begin(port, name, call);
    const value = act();
    this.#end([port, name, call], result?.(value), outer);
    return value;
  }

  /** As {@linkcode Calls.prototype.run}, for a function that returns a promise. */
  async wait<T>(
    port: number,
    name: string,
    call: Call,
    act: () => Promise<T>,
    result?: (value: T) => string,
  ): Promise<T> {
    const outer = this.#begin(port, name, call);
    const value = await act();
    this.#end([port, name, call], result?.(value), outer);
    return value;
  }

  /** Returns the chapter of the caller. */
  #begin(port: number, name: string, { source, why }: Call): string {
    const outer = this.#journal.chapter;
    this.#journal.chapter = chapterOf(name);
    this.#journal.add({ kind: "call", actor: "program", port, title: name, why, source });
    return outer;
  }

  #end(
    [port, name, { source }]: readonly [number, string, Call],
    result: string | undefined,
    outer: string,
  ): void {
    const returns = `${name.replace(/\(.*/, "")} returns`;
    const title = result === undefined ? returns : `${returns}: ${result}`;
    this.#journal.chapter = chapterOf(name);
    this.#journal.add({ kind: "return", actor: "driver", port, title, source });
    this.#journal.chapter = outer;
  }
}

/** The chapter of a call: the function's name, `receive()`. */
function chapterOf(name: string): string {
  return `${/(\w+)\(/.exec(name)![1]}()`;
}
