/**
 * Adds the coverage of specialised functions to the files that they are written in.
 *
 * `specialise` compiles the text of a function anew, as a script of its own with the name
 * `rx_queue.ts#receiver-1`. V8 counts what runs in that script, so the file itself seems not to run.
 * Deno compiles both from the same text, so ranges differ only by where the function begins.
 *
 * @module
 */

/** A range of a script, in UTF-16 units, and how often it ran. */
export interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

/** A function's ranges: its own first, then those of blocks that ran a different number of times. */
export interface FunctionCoverage {
  readonly functionName: string;
  readonly ranges: readonly Range[];
  readonly isBlockCoverage: boolean;
}

/** What V8 counted in a script (Profiler.ScriptCoverage of its protocol). */
export interface ScriptCoverage {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly FunctionCoverage[];
}

/** The name of a specialised script: file, function, number. */
const SPECIALISED = /^(.+)#([\w$]+)-\d+$/;

/** Returns the function's own range in a script, where exactly one function has that name. */
function rangeOf(script: ScriptCoverage, name: string): Range | undefined {
  const found = script.functions.filter(({ functionName }) => functionName === name);
  return found.length === 1 ? found[0].ranges[0] : undefined;
}

/** Returns a function's coverage, moved by a number of characters. */
function moved(coverage: FunctionCoverage, by: number): FunctionCoverage {
  const ranges = coverage.ranges.map(({ startOffset, endOffset, count }) => ({
    startOffset: startOffset + by,
    endOffset: endOffset + by,
    count,
  }));
  return { ...coverage, ranges };
}

/**
 * Returns the coverage of specialised scripts as coverage of their files.
 *
 * @param scripts All scripts of a run, among them the files of the specialised ones.
 * @throws {Error} if the file of a specialised script is not among the scripts, or has no function
 * of that name and length: then the file's figures would be wrong.
 */
export function specialisedCoverage(scripts: readonly ScriptCoverage[]): ScriptCoverage[] {
  const files = new Map(scripts.map((script) => [script.url, script]));
  return scripts.flatMap((script) => {
    const [, url, name] = SPECIALISED.exec(script.url) ?? [];
    if (url === undefined) return [];
    const file = files.get(url), own = rangeOf(script, name), there = file && rangeOf(file, name);
    if (own === undefined || there === undefined) {
      throw new Error(`${script.url}: ${url} has no coverage of a function "${name}"`);
    }
    const length = own.endOffset - own.startOffset;
    if (there.endOffset - there.startOffset !== length) {
      throw new Error(`${script.url}: the text of "${name}" differs from that in ${url}`);
    }
    const inside = script.functions.filter(({ ranges: [range] }) =>
      range.startOffset >= own.startOffset && range.endOffset <= own.endOffset
    );
    const by = there.startOffset - own.startOffset;
    return { scriptId: script.scriptId, url, functions: inside.map((each) => moved(each, by)) };
  });
}

/** Reads a file of raw coverage; removes it if a process was killed while it wrote the file. */
function readScript(file: string): ScriptCoverage | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    Deno.removeSync(file); // `deno coverage` would stop at it
    return undefined;
  }
}

/**
 * Adds the coverage of specialised scripts to a directory of raw coverage, in files of its own. Removes
 * incomplete files.
 *
 * @throws {Error} as {@linkcode specialisedCoverage}.
 */
export function addSpecialised(directory: string): void {
  const scripts = [...Deno.readDirSync(directory)].filter(({ name }) => name.endsWith(".json"))
    .map(({ name }) => readScript(`${directory}/${name}`))
    .filter((script) => script !== undefined);
  specialisedCoverage(scripts).forEach((script, i) => {
    Deno.writeTextFileSync(`${directory}/specialised-${i}.json`, JSON.stringify(script));
  });
}
