/**
 * How a program starts and ends: its command line, errors and exit code.
 *
 * @module
 */

import {
  causes,
  DeviceError,
  StopError,
  SystemError,
  UsageError,
  WorkerError,
} from "../src/errors.ts";
import { type Command, parse } from "./command_line.ts";
import type { Options } from "./options.ts";
import { endOutput, err, out } from "./output.ts";
import { usage } from "./usage.ts";

/**
 * Runs a program on its command line, or prints its usage text, and ends the process with the exit
 * code of {@linkcode endWith}.
 *
 * @param main Carries out the plan, and returns the exit code.
 */
export function run<O extends Options, Plan extends object>(
  command: Command<O, Plan>,
  main: (plan: Plan) => number | Promise<number>,
): Promise<never> {
  return endWith(() => {
    const plan = parse(command, Deno.args);
    if (plan !== undefined) return main(plan);
    out.printAndWait(usage(command).split("\n"));
    return 0;
  });
}

/** Added to a signal's number: the exit code of a program that the signal ended. */
const SIGNAL_CODE = 128;

/**
 * Ends the process with the exit code that `main` returns, 2 for an error that the user can fix,
 * 1 for a device or worker that failed, or 128 and the signal's number for a signal that arrived before the
 * devices were ready. It prints these errors as one sentence. {@linkcode endOutput} adds
 * how output that failed changes the exit code.
 */
export async function endWith(main: () => number | Promise<number>): Promise<never> {
  let code = 1;
  try {
    code = await main();
  } catch (error) {
    for (const cause of causes(error)) {
      if (cause instanceof StopError) {
        code = SIGNAL_CODE + cause.signal;
        err.print(visible(cause.message));
        continue;
      }
      if (cause instanceof UsageError) code = 2;
      else if (!isFailure(cause)) throw error;
      err.print(`error: ${visible(cause.message + ownOption(cause))}`);
    }
  }
  Deno.exit(endOutput(code));
}

/** Returns the text with control characters, which names can contain, as escapes. */
function visible(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The programs' options for options of the library. */
const OWN_OPTIONS: Readonly<Record<string, string>> = {
  force: "--force",
  rebind: "--rebind",
  guard: "--no-guard",
  interrupts: "--interrupts",
  speeds: "--speed",
  virtio: "--virtio",
  rxQueues: "--queues",
  txQueues: "--queues",
  rxEntries: "--rx-entries",
  txEntries: "--tx-entries",
  bufferSize: "--buffer-size",
};

/** Returns the program's option that a library error is about, for the end of its message. */
function ownOption(error: Error): string {
  const { option = "" } = error instanceof UsageError ? error : {};
  return Object.hasOwn(OWN_OPTIONS, option) ? ` (${OWN_OPTIONS[option]})` : "";
}

/** Whether the message of an error is enough, without a stack trace. */
function isFailure(error: unknown): error is Error {
  return [DeviceError, WorkerError, SystemError].some((kind) => error instanceof kind);
}
