/**
 * Options of programs. Each is declared once, as data, from which parsing, defaults, error messages
 * and the usage text follow.
 *
 * @module
 */

/** An option of a program. Its name is its key among {@linkcode Options}, without `--`. */
export interface Option<T> {
  /** Its letter, after a single `-`. */
  readonly alias?: string;
  /** Its description in the usage text. */
  readonly help: string;
  /** The name of its value in the usage text; a flag has none. */
  readonly value?: string;
  /** The values that it takes: `a whole number from 1 to 256`. */
  readonly takes: string;
  /** Its value if it is not given. */
  readonly default: T;
  /** Whether it can be given several times; then {@linkcode Given.sequence} alone holds it. */
  readonly repeated?: boolean;
  /** Reads its value; undefined if the option does not take it. */
  read(text: string): T | undefined;
}

/** The options of a program, by name. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** Values of options, by name. */
export type Values<O extends Options> = {
  readonly [Name in keyof O]: O[Name]["default"];
};

/** Whether an option takes no value. */
export function isFlag(option: Option<unknown>): boolean {
  return option.value === undefined;
}

/** What all options can declare. */
interface About {
  readonly alias?: string;
  /** The name of the value in the usage text. */
  readonly value?: string;
  /** Overrides what the usage text says about values and default. */
  readonly values?: string;
}

/** The range of a number. */
interface Range<Default> extends About {
  readonly least: number;
  /** Default: the largest exact whole number. */
  readonly most?: number;
  readonly default: Default;
}

/** An option without a value. */
export function flag(help: string, about: Pick<About, "alias"> = {}): Option<boolean> {
  return { ...about, help, takes: "no value", default: false, read: () => undefined };
}

/** An option that takes a whole number, in decimal digits. */
export function whole<Default extends number | undefined>(
  help: string,
  range: Range<Default>,
): Option<number | Default> {
  return numeric(help, range, "whole number", /^\d+$/);
}

/** An option that takes a number, in decimal digits, with or without a point. */
export function decimal<Default extends number | undefined>(
  help: string,
  range: Range<Default>,
): Option<number | Default> {
  return numeric(help, range, "number", /^\d+(\.\d+)?$/);
}

function numeric<Default extends number | undefined>(
  help: string,
  range: Range<Default>,
  kind: string,
  pattern: RegExp,
): Option<number | Default> {
  const { least, most = Number.MAX_SAFE_INTEGER, value = "N" } = range;
  const limits = range.most === undefined ? [] : [`${least} to ${most}`];
  return {
    ...described(help, range, limits.join(), range.default),
    value,
    takes: `a ${kind} from ${least} to ${most}`,
    read: (text) => inRange(text, pattern, least, most),
    default: range.default,
  };
}

function inRange(text: string, pattern: RegExp, least: number, most: number): number | undefined {
  const n = pattern.test(text) ? Number(text) : NaN;
  return n >= least && n <= most ? n : undefined;
}

/**
 * An option that takes whole numbers, separated by commas. Its value is sorted, without duplicates.
 */
export function wholes(
  help: string,
  range: Range<readonly number[]>,
): Option<readonly number[]> {
  const { least, most = Number.MAX_SAFE_INTEGER, value = "N,…" } = range;
  return {
    ...described(help, range, `each ${least} to ${most}`, range.default.join()),
    value,
    takes: `numbers from ${least} to ${most}, separated by commas`,
    read(text) {
      const all = text.split(",").map((part) => inRange(part, /^\d+$/, least, most) ?? NaN);
      return all.some(Number.isNaN) ? undefined : [...new Set(all)].toSorted((a, b) => a - b);
    },
    default: range.default,
  };
}

/** An option that takes one of a few words. */
export function choice<const Word extends string>(
  help: string,
  words: readonly Word[],
  about: About & { readonly default: NoInfer<Word> },
): Option<Word>;
export function choice<const Word extends string>(
  help: string,
  words: readonly Word[],
  about: About & { readonly default: undefined },
): Option<Word | undefined>;
export function choice(
  help: string,
  words: readonly string[],
  about: About & { readonly default: string | undefined },
): Option<string | undefined> {
  const takes = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return {
    ...described(help, about, takes, about.default, ": "),
    value: about.value ?? "HOW",
    takes,
    read: (text) => words.find((word) => word === text),
    default: about.default,
  };
}

/** An option that takes some of a few words, separated by commas; default all. */
export function words<const Word extends string>(
  help: string,
  all: readonly Word[],
  about: About,
): Option<readonly Word[]> {
  const takes = `${all.slice(0, -1).join(", ")} and ${all.at(-1)}, separated by commas`;
  return {
    ...described(help, about, all.join(", "), "all", ": "),
    value: about.value ?? "WORD,…",
    takes,
    read(text) {
      const some = text.split(",").map((part) => all.find((word) => word === part));
      return some.every((word) => word !== undefined) ? some : undefined;
    },
    default: all,
  };
}

/** An option that takes any text, such as a path or a name. */
export function text(help: string, value: string, takes: string): Option<string | undefined> {
  return { help, value, takes, read: (text) => text, default: undefined };
}

/** An option that can be given several times, and whose order among others matters. */
export function repeated(help: string, value: string, takes: string): Option<undefined> {
  return { help, value, takes, repeated: true, read: () => undefined, default: undefined };
}

/** Returns the alias, and the description with values and default. */
function described(
  help: string,
  { alias, values }: About,
  limits: string,
  fallback: number | string | undefined,
  separator = ", ",
): { help: string; alias?: string } {
  const unlimited = fallback === undefined || fallback === Infinity;
  const shown = values ?? [limits, unlimited ? "" : `(default ${fallback})`].join(" ").trim();
  const between = shown === "" || shown.startsWith("(") ? " " : separator;
  return { help: `${help}${between}${shown}`.trim(), ...(alias !== undefined && { alias }) };
}
