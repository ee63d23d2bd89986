/**
 * How a program starts and ends: its command line, errors and exit code.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { Errno } from "../native/stubs.ts";
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
 * 1 for a device or worker that failed, or 128 plus the number of a signal that ended the wait for a device.
 * It prints each of these errors as one sentence. Any other error is a bug of the program: it keeps its stack
 * trace, and the exit code is 1. Failed output changes the exit code too, see {@linkcode endOutput}.
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
      const refused = refusal(cause), sentence = refused ?? failure(cause);
      if (sentence === undefined) {
        err.print("error: this is a bug in the program: report it with what follows");
        endOutput(1);
        throw error;
      }
      if (refused !== undefined) code = 2;
      err.print(`error: ${visible(sentence)}`);
    }
  }
  Deno.exit(endOutput(code));
}

/** What to do about error numbers of Linux from Deno's own calls, whose messages do not say it. */
const REMEDIES: Readonly<Record<number, string>> = {
  [Errno.EAGAIN]: "raise `ulimit -u`, in a container --pids-limit",
  [Errno.ENOMEM]: "see `ulimit -v`, in a container --memory",
  [Errno.EMFILE]: "raise `ulimit -n`",
  [Errno.ENOSPC]: "free some space",
  [Errno.EROFS]: "mount it for writing",
};

/**
 * Returns the sentence about an error that the user can fix: a UsageError, or a call of Deno's that the
 * system or Deno has refused. Undefined for other errors.
 */
function refusal(error: unknown): string | undefined {
  if (error instanceof UsageError) return error.message + ownOption(error);
  if (error instanceof Deno.errors.NotCapable) return error.message;
  const [end, errno] = error instanceof Error && / \(os error (\d+)\)/.exec(error.message) || [];
  if (end === undefined) return undefined;
  const remedy = REMEDIES[Number(errno)];
  const message = (error as Error).message.replace(end, "");
  return remedy === undefined ? message : `${message}: ${remedy}`;
}

/** The programs' options for options of the library. */
const OWN_OPTIONS: Readonly<Record<string, string>> = {
  force: "--force",
  rebind: "--rebind",
  guard: "--no-guard",
  interrupts: "--interrupts",
  speeds: "--speed",
  virtio: "--virtio",
  "xdp.mode": "--xdp",
  "xdp.pass": "--pass",
  "xdp.take": "--take",
  rxQueues: "--queues",
  txQueues: "--queues",
  rxEntries: "--rx-entries",
  txEntries: "--tx-entries",
  bufferSize: "--buffer-size",
};

/** Returns the program's option that a library error is about, for the end of its message. */
function ownOption({ option = "" }: UsageError): string {
  return Object.hasOwn(OWN_OPTIONS, option) ? ` (${OWN_OPTIONS[option]})` : "";
}

/** Returns the sentence about a device, a worker or a system call that failed; undefined for other errors. */
function failure(error: unknown): string | undefined {
  const known = [DeviceError, WorkerError, SystemError].some((kind) => error instanceof kind);
  return known ? (error as Error).message : undefined;
}
