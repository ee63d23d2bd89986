/**
 * How a program starts and ends: its command line, errors and exit code.
 *
 * @module
 */

import { causes, DeviceError, SystemError, UsageError, WorkerError } from "../src/errors.ts";
import { type Command, parse } from "./command_line.ts";
import type { Options } from "./options.ts";
import { endOutput, err, out, visible } from "./output.ts";
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

/**
 * Ends the process with the exit code that `main` returns, 2 for an error that the user can fix, or
 * 1 for a device or worker that failed. It prints these errors as one sentence. {@linkcode endOutput} adds
 * how output that failed changes the exit code.
 */
export async function endWith(main: () => number | Promise<number>): Promise<never> {
  let code = 1;
  try {
    code = await main();
  } catch (error) {
    for (const cause of causes(error)) {
      if (cause instanceof UsageError) code = 2;
      else if (!isFailure(cause)) throw error;
      err.print(`error: ${visible(cause.message + ownOption(cause))}`);
    }
  }
  Deno.exit(endOutput(code));
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
