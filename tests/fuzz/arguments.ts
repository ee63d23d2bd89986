/**
 * Command lines of all programs: words that mean something and words that do not. A program refuses
 * a command line with one sentence; a valid one is taken whole, with no word lost.
 *
 * @module
 */

import fc from "fast-check";
import { type Command, type Given, parse } from "../../programs/command_line.ts";
import type { Option, Options } from "../../programs/options.ts";
import { usage } from "../../programs/usage.ts";
import { parseWire } from "../../sim/wires/parse.ts";
import { UsageError } from "../../src/errors.ts";
import { parsePciAddress } from "../../src/pci/address.ts";
import { PROGRAMS } from "../programs/commands.ts";
import { holds, type Target, values } from "./target.ts";

/** A case: the program's index, and its words. */
type Case = readonly [number, readonly string[]];

const VALUES = [
  ...[
    "0",
    "1",
    "2",
    "64",
    "256",
    "512",
    "4096",
    "1e3",
    "-1",
    "0x10fb",
    "1,2",
    "100,1000",
    ",",
    ".",
  ],
  ...["generator", "generator:rate=1,size=60", "cable:1", "pcap:in=a,out=b", "tap:x", "dgram:a,b"],
  ...["pcap:in=a,in=b", "generator:flows=0", "none:", "card,link=5", "02:00:00:00:00:01", "legacy"],
  ...["0000:03:00.0", "0000:03:00.8", "vfio-user:a", "vfio-user:", "vhost-user:\0", "list", "bind"],
  ...[
    "true",
    "false",
    "-",
    "--",
    "a b",
    "ä",
    "\ud800",
    "__proto__",
    "constructor",
    "a=b",
    "x".repeat(500),
  ],
];

const anyWord = fc.oneof(
  fc.constantFrom(...VALUES),
  fc.string({ maxLength: 8, unit: "binary" }),
  fc.string({ maxLength: 4, unit: "grapheme-ascii" }).map((text) => `-${text}`),
  fc.string({ maxLength: 6, unit: "grapheme-ascii" }).map((text) => `--${text}`),
);

/** Words of a program: its options in all spellings, valid and invalid values, and anything. */
function wordsOf(program: Command<Options, object>): fc.Arbitrary<string[]> {
  const names = [...Object.keys(program.options), "help", "no-json", "frobnicate"];
  const aliases = Object.values(program.options).flatMap(({ alias }) => alias ?? []);
  const option = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...names).map((name) => `--${name}`) },
    fc.constantFrom(...aliases, "h", "z").map((letter) => `-${letter}`),
  );
  const value = fc.oneof(fc.constantFrom(...VALUES), fc.nat().map(String), anyWord);
  const piece = fc.oneof(
    fc.tuple(option, value),
    fc.tuple(option, value).map(([name, text]) => [`${name}=${text}`]),
    option.map((name) => [name]),
    anyWord.map((word) => [word]),
  );
  return fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.flat());
}

const cases: fc.Arbitrary<Case> = fc.nat(PROGRAMS.length - 1).chain((program) => {
  const [command, valid] = PROGRAMS[program];
  return fc.tuple(
    fc.constant(program),
    fc.tuple(wordsOf(command), fc.constantFrom([], valid)).map((parts) => parts.flat()),
  );
});

/** Runs a call that may refuse with one sentence; returns what it returns. */
function refusing<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    holds(error.message.length > 10, `the sentence is ${JSON.stringify(error.message)}`);
    holds(!error.message.includes("undefined"), `"undefined" in: ${error.message}`);
    return undefined;
  }
}

/** Checks that every word of a valid command line is an option, a value or an operand. */
function checkWhole(
  program: Command<Options, object>,
  words: readonly string[],
  given: Given<Options>,
) {
  const dashes = words.indexOf("--");
  const before = dashes < 0 ? words.length : dashes,
    after = dashes < 0 ? 0 : words.length - dashes - 1;
  const names = [...given.named, ...given.sequence.map(({ name }) => name)];
  const options: Options = program.options,
    flag = ({ value }: Option<unknown>) => value === undefined;
  const joined = words.slice(0, before).filter((word, i) => {
    const [name] = word.split("=", 1), previous = words[i - 1] ?? "";
    const isValue = Object.entries(options).some(([long, option]) =>
      !flag(option) && (previous === `--${long}` || previous === `-${option.alias}`)
    );
    if (isValue) return false;
    return name !== word && /^-/.test(name) || /^-[a-z]\d/.test(word);
  }).length;
  const takers = names.filter((name) => !flag(options[name])).length;
  const expected = names.length + takers - joined + given.operands.length + given.rest.length;
  holds(
    expected === before + after,
    `of ${before + after} words ${expected} are taken: ${JSON.stringify(given)}`,
  );
}

function run([index, words]: Case): void {
  const [program] = PROGRAMS[index];
  let given: Given<Options> | undefined;
  const observed = {
    ...program,
    plan(parsed: Given<Options>) {
      given = parsed;
      return program.plan(parsed);
    },
  };
  const plan = refusing(() => parse(observed, words));
  if (plan !== undefined) holds(typeof plan === "object", "a plan is an object");
  if (given !== undefined) checkWhole(program, words, given);
  for (const word of words) {
    refusing(() => parseWire(word));
    const address = parsePciAddress(word);
    holds(
      address === undefined || /^[\da-f]{4,}:[\da-f]{2}:[\da-f]{2}\.[0-7]$/.test(address),
      `${address}`,
    );
  }
}

/** The target. */
export const ARGUMENTS: Target = {
  name: "arguments",
  about: "command lines of all programs",
  attempts: 20,
  open() {
    for (const [program] of PROGRAMS) usage(program);
    return values({ arbitrary: cases, run });
  },
};
