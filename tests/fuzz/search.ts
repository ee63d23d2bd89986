/**
 * Runs one target: replays the corpus, and searches for new cases.
 *
 * @module
 */

import { mix } from "../../packets/random.ts";
import type { Attempt, Finding, Json, Target } from "./target.ts";

/** The directory of the corpus: a folder for each target, a file for each case. */
export const CORPUS: URL = new URL("corpus/", import.meta.url);
/** Milliseconds after which the event loop has its turn. */
const SLICE_MS = 50;

/** When a search ends, if it finds nothing. */
export interface Limits {
  readonly seed: number;
  /** Milliseconds; default: no limit. */
  readonly milliseconds?: number;
  /** Attempts; default: no limit. */
  readonly attempts?: number;
  /** Called before each attempt with its number. */
  readonly before?: (attempt: number) => void;
  /** Returns whether to end now. */
  readonly stopped?: () => boolean;
}

/** What a search did. */
export interface Outcome {
  readonly cases: number;
  readonly iterations: number;
  readonly milliseconds: number;
  readonly finding?: Finding;
}

/** Returns the seed of an attempt. */
export function seedOf(seed: number, attempt: number): number {
  return mix(mix(seed) + attempt);
}

/** Searches for a case that fails. */
export async function search(target: Target, limits: Limits): Promise<Outcome> {
  const { seed, milliseconds = Infinity, attempts = Infinity, before, stopped } = limits;
  await using fuzzer = await target.open();
  const start = performance.now();
  let cases = 0, iterations = 0, turn = start;
  let found: Attempt["finding"];
  for (let n = 0; n < attempts && found === undefined; n++) {
    before?.(n);
    const attempt = await fuzzer.attempt(seedOf(seed, n));
    cases += attempt.cases;
    iterations += attempt.iterations;
    found = attempt.finding;
    const now = performance.now();
    if (now - start >= milliseconds) break;
    if (now - turn < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve)); // signals arrive here
    turn = performance.now();
    if (stopped?.()) break;
  }
  const took = performance.now() - start;
  return { cases, iterations, milliseconds: took, ...(found !== undefined && { finding: found }) };
}

/** A file of the corpus. */
export interface Stored {
  /** What the case showed when it was found. */
  readonly error: string;
  readonly case: Json;
}

/** Returns the cases of a target, by file name. */
export function stored(target: string): [name: string, stored: Stored][] {
  const directory = new URL(`${target}/`, CORPUS);
  let names: string[];
  try {
    names = [...Deno.readDirSync(directory)].map(({ name }) => name).toSorted();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  return names.map((name) => [name, JSON.parse(Deno.readTextFileSync(new URL(name, directory)))]);
}

/** Writes a case to the corpus; returns its path in the project. */
export function store(target: string, { case: one, error }: Finding): string {
  const directory = new URL(`${target}/`, CORPUS);
  Deno.mkdirSync(directory, { recursive: true });
  const text = JSON.stringify({ error: error.split("\n")[0], case: one }, null, 2) + "\n";
  let hash = 0;
  for (const character of text) hash = mix(hash + character.codePointAt(0)!);
  const name = `${hash.toString(16).padStart(8, "0")}.json`;
  Deno.writeTextFileSync(new URL(name, directory), text);
  return `tests/fuzz/corpus/${target}/${name}`;
}

/** Replays the corpus of a target; returns how many cases there were. */
export async function replay(target: Target): Promise<number> {
  const cases = stored(target.name);
  if (cases.length === 0) return 0;
  await using fuzzer = await target.open();
  for (const [name, { case: one }] of cases) {
    try {
      await fuzzer.replay(one);
    } catch (error) {
      throw new Error(`tests/fuzz/corpus/${target.name}/${name} fails`, { cause: error });
    }
  }
  return cases.length;
}
