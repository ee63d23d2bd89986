/**
 * The source behind a step: from a stack, or from a text by hand, to lines of the project's source.
 *
 * Stacks have lines of the bundle `engine.js`, or of a function that `src/specialise.ts` compiled from
 * the bundle's text. The source map leads from there to the source, which it contains.
 *
 * @module
 */

import { originalPositionFor, TraceMap } from "@jridgewell/trace-mapping";
import type { Place } from "./step.ts";

/** A line of the project's source. */
export interface SourceLine {
  /** Path from the project's root: `ixgbe/device.ts`. */
  readonly file: string;
  /** Number of the line, from 1. */
  readonly line: number;
  /** Name of the function, as a stack shows it; empty for a function without name. */
  readonly name: string;
}

/** What is read of a source map. Paths of sources begin at the project's root. */
export interface SourceMap {
  readonly version: 3;
  readonly sources: readonly string[];
  readonly sourcesContent: readonly string[];
  readonly names: readonly string[];
  readonly mappings: string;
}

/** A line of V8's stacks: the function's name if it has one, the script's URL, line and column from 1. */
const FRAME = /^\s*at (?:async )?(?:(.+) \()?(\S+?)(?:, <anonymous>)?:(\d+):(\d+)\)?$/;
/** The name of a specialised function at the end of its script's URL. */
const SPECIALISED = /\/engine\.js#(\w+)-\d+$/;
const ENGINE = /\/engine\.js$/;
/** In a specialised script, the line on which the function begins, and the column, from 1 and 0. */
const FIRST_LINE = 3, FIRST_COLUMN = '"use strict"; return '.length;
/** A line on which a function begins, with its indentation and name. */
const FUNCTION =
  /^(\s*)(?!(?:if|for|while|switch|catch)\b)(?:(?:export|async|static|override|function|get|set) )*([#\w]+)(?:<.*>)?\(/;

/** The source of what the bundle `engine.js` consists of. */
export class Sources {
  readonly #bundle: string;
  readonly #map: TraceMap;
  readonly #texts: ReadonlyMap<string, readonly string[]>;
  /** Where specialised functions begin in the bundle, by name: line and column from 0. */
  readonly #begins = new Map<string, { readonly line: number; readonly column: number }>();

  /**
   * @param bundle The text of `engine.js`.
   * @param map Its source map.
   */
  constructor(bundle: string, map: SourceMap) {
    this.#bundle = bundle;
    this.#map = new TraceMap({
      version: 3,
      names: [...map.names],
      sources: [...map.sources],
      mappings: map.mappings,
    });
    this.#texts = new Map(map.sources.map((file, i) => [file, map.sourcesContent[i].split("\n")]));
  }

  /**
   * Loads the bundle and its map.
   *
   * @param base URL beside which `engine.js` and `engine.js.map` are.
   * @throws {Error} if they cannot be loaded.
   */
  static async load(base: URL | string): Promise<Sources> {
    const [bundle, map] = await Promise.all(["engine.js", "engine.js.map"].map(async (name) => {
      const response = await fetch(new URL(name, base));
      if (!response.ok) throw new Error(`${name} cannot be loaded: HTTP status ${response.status}`);
      return await response.text();
    }));
    return new Sources(bundle, JSON.parse(map));
  }

  /**
   * Returns the lines of a stack, the innermost first. It leaves out the explorer's own, and packages.
   *
   * @param stack `new Error().stack` in the engine.
   */
  places(stack: string): SourceLine[] {
    return stack.split("\n").flatMap((text) => {
      const frame = FRAME.exec(text);
      if (frame === null) return [];
      const [, called = "", url] = frame;
      const inBundle = this.#inBundle(url, Number(frame[3]), Number(frame[4]) - 1);
      if (inBundle === undefined) return [];
      const { source, line } = originalPositionFor(this.#map, inBundle);
      if (source === null) return [];
      return [{ file: source, line, name: called.replace(/ \[as .*\]$/, "") }];
    });
  }

  /** Returns the first line of a file that contains a text; undefined if there is none. */
  find({ file, text }: Place): SourceLine | undefined {
    const lines = this.text(file), at = lines.findIndex((line) => line.includes(text));
    return at < 0 ? undefined : { file, line: at + 1, name: enclosing(lines, at) };
  }

  /** Returns the lines of a file; none if it is not part of the engine. */
  text(file: string): readonly string[] {
    return this.#texts.get(file) ?? [];
  }

  /** Returns the position in the bundle: its line from 1, its column from 0. */
  #inBundle(
    url: string,
    line: number,
    column: number,
  ): { line: number; column: number } | undefined {
    if (ENGINE.test(url)) return { line, column };
    const [, name] = SPECIALISED.exec(url) ?? [];
    const begin = name === undefined ? undefined : this.#beginOf(name);
    if (begin === undefined) return undefined;
    const shift = line === FIRST_LINE ? begin.column - FIRST_COLUMN : 0;
    return { line: begin.line + 1 + line - FIRST_LINE, column: column + shift };
  }

  #beginOf(name: string): { readonly line: number; readonly column: number } | undefined {
    const known = this.#begins.get(name);
    if (known !== undefined) return known;
    const at = this.#bundle.indexOf(`function ${name}(`);
    if (at < 0) return undefined;
    const before = this.#bundle.slice(0, at).split("\n");
    const begin = { line: before.length - 1, column: before.at(-1)!.length };
    this.#begins.set(name, begin);
    return begin;
  }
}

/** Returns the name of the function that a line is in, by indentation; empty if it is in none. */
function enclosing(lines: readonly string[], at: number): string {
  let indentation = lines[at].search(/\S/);
  for (let i = at; i >= 0; i--) {
    const [, space = "", name] = FUNCTION.exec(lines[i]) ?? [];
    const begins = lines[i].trimEnd().endsWith("{") || lines[i].trimEnd().endsWith("(");
    if (name !== undefined && begins && space.length < indentation) return name;
    if (lines[i].trim() !== "") indentation = Math.min(indentation, lines[i].search(/\S/));
  }
  return "";
}
