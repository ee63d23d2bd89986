/**
 * Command lines: how a program declares its own, and how it is parsed.
 *
 * `parseArgs` of Deno's standard library splits the words, but guesses where a word is ambiguous.
 * This module refuses such words, each with one sentence. `--` ends the options: operands follow.
 * `--help` and `-h` take precedence over every error.
 *
 * @module
 */

import { parseArgs } from "jsr:@std/cli@1/parse-args";
import { UsageError } from "../src/errors.ts";
import { flag, isFlag, type Option, type Options, type Values } from "./options.ts";

/** A parsed command line. */
export interface Given<O extends Options> {
  /** Values of the options, given or default. */
  readonly values: Values<O>;
  /** Names of the options given. */
  readonly named: ReadonlySet<string>;
  /** Repeated options, in the order given. */
  readonly sequence: readonly { readonly name: string; readonly text: string }[];
  /** Words that are not options. */
  readonly operands: readonly string[];
  /** The words after `--`, if the program passes them on. */
  readonly rest: readonly string[];
}

/** A program as its users see it. */
export interface Command<O extends Options, Plan extends object> {
  /** How to start it; the last word is its name. */
  readonly start: string;
  /** What it does. */
  readonly about: string;
  readonly options: O;
  /** Its operands: their names in the usage text, what they are, and how many it takes. */
  readonly operands?: {
    readonly shown: string;
    readonly are: string;
    readonly least: number;
    readonly most: number;
  };
  /** The usage text's name for the words after `--`, if they are not operands. */
  readonly rest?: string;
  /** Text after the options. */
  readonly notes?: string;
  /**
   * Returns what to do.
   *
   * @throws {UsageError} if the options and operands contradict each other.
   */
  plan(given: Given<O>): Plan;
}

/** Declares a program. */
export function command<const O extends Options, Plan extends object>(
  declared: Command<O, Plan>,
): Command<O, Plan> {
  return declared;
}

/** The options of every program. */
export const COMMON: Options = { help: flag("print this text", { alias: "h" }) };
/** What Deno puts in the place of bytes that are not UTF-8. The argument would name another file. */
const REPLACEMENT = "\ufffd";
/** The operands of a program that declares none. */
export const NO_OPERANDS = { shown: "", are: "no operands", least: 0, most: 0 };

/**
 * Parses a command line.
 *
 * @returns What to do; undefined if `--help` is given.
 * @throws {UsageError} with one sentence that names the option: if it is unknown, is given twice,
 * or has no value or one that it does not take. Also if there are too many or too few operands, one
 * is empty or not UTF-8, or `plan` refuses the command line.
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
  const replaced = args.find((word) => word.includes(REPLACEMENT));
  if (replaced !== undefined) {
    throw new UsageError(
      `${replaced}: has bytes that are not UTF-8, which Deno does not pass on: use a link with another name`,
    );
  }
  return command.plan({
    values: values as Values<O>,
    named: new Set(texts.keys()),
    sequence,
    operands,
    rest: passesOn ? after : [],
  });
}

/** The words before `--`, sorted. */
interface Parts {
  /** Options given: the text of each value, empty for a flag. */
  readonly texts: Map<string, string[]>;
  /** Repeated options. */
  readonly sequence: { readonly name: string; readonly text: string }[];
  readonly operands: string[];
  /** Errors, a sentence each. */
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
    collect: names, // shows which are given twice
    alias: Object.fromEntries(alias),
    // Called for each word that is not declared above. Takes operands too: `_` would make them
    // numbers.
    unknown(word: string, name?: string, value?: unknown): boolean {
      if (name === undefined) operands.push(word);
      else if (Object.hasOwn(options, name)) sequence.push({ name, text: textOf(value) });
      else complaints.push(`unknown option ${word.split("=", 1)}`);
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
 * Returns the words without those that `parseArgs` would misread, and adds a complaint for each of
 * these.
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
    if (word === "-" && before !== undefined && !isFlag(before)) return []; // its value, see below
    // `-batch` would be read as letters, among them -h for help; `-b5` is fine.
    const letters = /^-[^-]/.test(name) && name.length > 2 && !/^-[a-z]\d/.test(word);
    // `--no-batch=5` would be read as --batch=5, and `--json=no` as --json.
    if (letters || word.startsWith("-") && name !== word) {
      if (option === undefined) complaints.push(`unknown option ${name}`);
      else if (isFlag(option)) complaints.push(`${name} takes no value`);
      return option !== undefined && !isFlag(option) ? [word] : [];
    }
    if (option === undefined) return [word];
    if (isFlag(option)) {
      // `--json true` would be read as --json, without the operand.
      if (/^(true|false)$/.test(next)) {
        complaints.push(`${name} takes no value: leave out "${next}", or put it after --`);
      }
    } else if (/^-\d/.test(next)) {
      complaints.push(refusal(name, option, next)); // `--batch -1` would be read as two options
    } else if (next === "-") return [`${name}=-`]; // `--pcap -` would lack its value
    return [word];
  });
}

/** Returns the value of an option given; adds a complaint if the text is not one. */
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
