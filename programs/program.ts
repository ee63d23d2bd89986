/**
 * What programs have in common: options, numbers, errors and exit codes.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { causes, DeviceError, SystemError, UsageError, WorkerError } from "../src/errors.ts";

/** Options of a program: true for those that take a value, false for those that are set or not. */
export type OptionKinds = Readonly<Record<string, boolean>>;

/** Arguments of a program. */
export interface Arguments {
  /** Values of the options that were given. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** What is not an option. */
  readonly positionals: readonly string[];
}

/**
 * Parses arguments. `--help` prints the usage and ends the program.
 *
 * @throws {UsageError} if there is an option that the program does not know, or one lacks its value.
 */
export function parse(args: readonly string[], usage: string, kinds: OptionKinds): Arguments {
  const options = Object.fromEntries(
    Object.entries({ ...kinds, help: false }).map(([name, takesValue]) => {
      return [name, { type: takesValue ? "string" as const : "boolean" as const }];
    }),
  );
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true });
    if (parsed.values.help) {
      console.log(usage);
      Deno.exit(0);
    }
    return { values: { ...parsed.values }, positionals: parsed.positionals };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(`${error.message.split(". ")[0]}: see --help`);
  }
}

/**
 * A number among the options.
 *
 * @throws {UsageError} if it is no whole number (any number if `fraction`) from `least` to `most`.
 */
export function number(
  { values }: Arguments,
  option: string,
  fallback: number,
  least: number,
  most: number,
  fraction = false,
): number {
  const text = values[option];
  if (text === undefined) return fallback;
  const n = Number(text);
  if (text === "" || !(n >= least && n <= most) || !(fraction || Number.isInteger(n))) {
    throw new UsageError(
      `--${option} takes a ${
        fraction ? "" : "whole "
      }number from ${least} to ${most}, not "${text}"`,
    );
  }
  return n;
}

/**
 * An option whose value is one of a few words; undefined if it was not given.
 *
 * @throws {UsageError} if it is none of them.
 */
export function choice<Word extends string>(
  { values }: Arguments,
  option: string,
  words: readonly Word[],
): Word | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  const word = words.find((candidate) => candidate === text);
  if (word === undefined) {
    throw new UsageError(`--${option} takes ${words.join(" or ")}, not "${text}"`);
  }
  return word;
}

/**
 * Runs a program and ends the process: with the exit code that `main` returns, 2 for what the user
 * can mend, 1 for a device or worker that failed. Errors of these kinds are printed as one sentence.
 */
export async function run(main: () => Promise<number>): Promise<never> {
  let code = 1;
  try {
    code = await main();
  } catch (error) {
    for (const cause of causes(error)) {
      if (cause instanceof UsageError) code = 2;
      else if (!isFailure(cause)) throw error;
      console.error(`error: ${cause.message}${ownOption(cause)}`);
    }
  }
  Deno.exit(code);
}

/** The programs' names of what the library calls otherwise. */
const OWN_OPTIONS: Readonly<Record<string, string>> = {
  force: "--force",
  rebind: "--rebind",
  interrupts: "--interrupts",
  virtio: "--virtio",
  rxQueues: "--queues",
  txQueues: "--queues",
  rxEntries: "--rx-entries",
  txEntries: "--tx-entries",
  bufferSize: "--buffer-size",
};

/** The option of the program that an error of the library is about, for the end of its message. */
function ownOption(error: Error): string {
  const { option = "" } = error instanceof UsageError ? error : {};
  return Object.hasOwn(OWN_OPTIONS, option) ? ` (${OWN_OPTIONS[option]})` : "";
}

/** Whether something says by its message all that there is to say of it. */
function isFailure(error: unknown): error is Error {
  return [DeviceError, WorkerError, SystemError].some((kind) => error instanceof kind);
}
