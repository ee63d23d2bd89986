/**
 * Command lines: what a program declares of its own, and how it is read.
 *
 * Words are taken apart by `parseArgs` of Deno's standard library, which guesses where a word can be
 * read in two ways. Here such words are refused, each with one sentence. `--` ends the options: what
 * follows are operands. `--help` and `-h` win over every error.
 *
 * @module
 */

import { parseArgs } from "jsr:@std/cli@1/parse-args";
import { UsageError } from "../src/errors.ts";
import { flag, isFlag, type Option, type Options, type Values } from "./options.ts";

/** What a command line says, as far as that does not depend on the program. */
export interface Given<O extends Options> {
  /** What the options are, given or by default. */
  readonly values: Values<O>;
  /** Names of those that were given. */
  readonly named: ReadonlySet<string>;
  /** Repeated options, in the order in which they were given. */
  readonly sequence: readonly { readonly name: string; readonly text: string }[];
  /** What is not an option. */
  readonly operands: readonly string[];
  /** What follows `--`, if the program passes that on. */
  readonly rest: readonly string[];
}

/** A program as its users see it. */
export interface Command<O extends Options, Plan extends object> {
  /** How it is started; the last word is its name. */
  readonly start: string;
  /** What it does. */
  readonly about: string;
  readonly options: O;
  /** Its operands: how the usage text calls them, what they are, and how many there can be. */
  readonly operands?: {
    readonly shown: string;
    readonly are: string;
    readonly least: number;
    readonly most: number;
  };
  /** What the usage text calls the words after `--`, if they are not operands. */
  readonly rest?: string;
  /** What there is to say beside the options. */
  readonly notes?: string;
  /**
   * What to do.
   *
   * @throws {UsageError} if that cannot be.
   */
  plan(given: Given<O>): Plan;
}

/** Declares a program. */
export function command<const O extends Options, Plan extends object>(
  declared: Command<O, Plan>,
): Command<O, Plan> {
  return declared;
}

/** What every program has. */
export const COMMON: Options = { help: flag("print this", { alias: "h" }) };
/** What a program has that declares no operands. */
export const NO_OPERANDS = { shown: "", are: "no operands", least: 0, most: 0 };

/**
 * Reads a command line.
 *
 * @returns What to do; undefined if the usage text was asked for.
 * @throws {UsageError} with one sentence that names the option: if it is unknown, is given twice, has no
 * value, or one that it does not take. If there are too many or too few operands, or one is empty. If
 * the program cannot do what was asked for.
 */
export function parse<O extends Options, Plan extends object>(
  command: Command<O, Plan>,
  args: readonly string[],
): Plan | undefined {
  const end = args.indexOf("--");
  const words = end < 0 ? args : args.slice(0, end), after = end < 0 ? [] : args.slice(end + 1);
  const { texts, sequence, operands, complaints } = takeApart(command.options, words);
  if (texts.has("help")) return undefined;
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(command.options)) {
    const given = texts.get(name);
    values[name] = given === undefined ? option.default : valueOf(name, option, given, complaints);
  }
  for (const { name, text } of sequence) {
    if (text === "") complaints.push(withoutValue(name, command.options[name]));
  }
  const passesOn = command.rest !== undefined;
  if (!passesOn) operands.push(...after);
  complaints.push(...wrongOperands(command, operands));
  if (complaints.length > 0) throw new UsageError(`${complaints[0]}: see --help`);
  return command.plan({
    values: values as Values<O>,
    named: new Set(texts.keys()),
    sequence,
    operands,
    rest: passesOn ? after : [],
  });
}

/** The words before `--`, each where it belongs. */
interface Parts {
  /** Options that were given: the text of each value, empty for a flag. */
  readonly texts: Map<string, string[]>;
  /** Repeated options. */
  readonly sequence: { readonly name: string; readonly text: string }[];
  readonly operands: string[];
  /** What is wrong with them. */
  readonly complaints: string[];
}

function takeApart(own: Options, words: readonly string[]): Parts {
  const options: Options = { ...own, ...COMMON };
  const parts: Parts = { texts: new Map(), sequence: [], operands: [], complaints: [] };
  const { texts, sequence, operands, complaints } = parts;
  const names = Object.keys(options).filter((name) => !options[name].repeated);
  const alias = names.flatMap((name) => options[name].alias ? [[name, options[name].alias]] : []);
  const parsed: Record<string, unknown> = parseArgs(withoutGuesses(options, words, complaints), {
    boolean: names.filter((name) => isFlag(options[name])),
    string: names.filter((name) => !isFlag(options[name])),
    collect: names, // shows which was given twice
    alias: Object.fromEntries(alias),
    // Told of all that is not declared above. It takes operands too, of which `_` would make numbers.
    unknown(word: string, name?: string, value?: unknown): boolean {
      if (name === undefined) operands.push(word);
      else if (Object.hasOwn(options, name)) sequence.push({ name, text: textOf(value) });
      else complaints.push(`there is no option ${word.split("=", 1)}`);
      return false;
    },
  });
  for (const name of names) {
    const given = parsed[name] as readonly unknown[] | undefined ?? [];
    if (given.length > 0) texts.set(name, given.map(textOf));
    if (isFlag(options[name]) && !given.every((value) => value === true)) {
      complaints.push(`--${name} takes no value`); // `-q5`
    }
  }
  return parts;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/**
 * The words, but those of which `parseArgs` would make something else than is written there. Complains
 * of these.
 */
function withoutGuesses(
  options: Options,
  words: readonly string[],
  complaints: string[],
): string[] {
  const known = new Map<string, Option<unknown>>();
  for (const [name, option] of Object.entries(options)) {
    known.set(`--${name}`, option);
    if (option.alias) known.set(`-${option.alias}`, option);
  }
  return words.flatMap((word, i) => {
    const [name] = word.split("=", 1), option = known.get(name), next = words[i + 1] ?? "";
    const before = known.get(words[i - 1] ?? "");
    if (word === "-" && before !== undefined && !isFlag(before)) return []; // is its value
    // `-batch` would be letters, among them -h for help; but `-b5` is fine.
    const letters = /^-[^-]/.test(name) && name.length > 2 && !/^-[a-z]\d/.test(word);
    // `--no-batch=5` would be --batch=5, and `--json=no` would be --json.
    if (letters || word.startsWith("-") && name !== word) {
      if (option === undefined) complaints.push(`there is no option ${name}`);
      else if (isFlag(option)) complaints.push(`${name} takes no value`);
      return option !== undefined && !isFlag(option) ? [word] : [];
    }
    if (option === undefined) return [word];
    if (isFlag(option)) {
      // `--json true` would be --json, and the operand gone.
      if (/^(true|false)$/.test(next)) {
        complaints.push(`${name} takes no value: leave out "${next}", or put it behind --`);
      }
    } else if (/^-\d/.test(next)) {
      complaints.push(refusal(name, option, next)); // `--batch -1` would have an option -1
    } else if (next === "-") return [`${name}=-`]; // `--pcap -` would have no value
    return [word];
  });
}

/** The value of an option that was given, if there is nothing to complain of. */
function valueOf(
  name: string,
  option: Option<unknown>,
  [text, ...more]: readonly string[],
  complaints: string[],
): unknown {
  if (more.length > 0) complaints.push(`--${name} is given twice`);
  if (isFlag(option)) return true;
  const value = text === "" ? undefined : option.read(text);
  if (text === "") complaints.push(withoutValue(name, option));
  else if (value === undefined) complaints.push(refusal(`--${name}`, option, text));
  return value;
}

function withoutValue(name: string, { takes }: Option<unknown>): string {
  return `--${name} has no value: it takes ${takes}`;
}

function refusal(name: string, { takes }: Option<unknown>, text: string): string {
  return `${name} takes ${takes}, not ${JSON.stringify(text)}`;
}

function wrongOperands<O extends Options, Plan extends object>(
  { start, operands = NO_OPERANDS }: Command<O, Plan>,
  given: readonly string[],
): string[] {
  const n = given.length, name = start.split(" ").at(-1);
  if (given.includes("")) return [`operand ${given.indexOf("") + 1} is empty`];
  if (n >= operands.least && n <= operands.most) return [];
  if (operands.most === 0) {
    return [`${name} takes no operands: leave out ${JSON.stringify(given[0])}`];
  }
  return [`${name} takes ${operands.are}, not ${n} ${n === 1 ? "operand" : "operands"}`];
}
