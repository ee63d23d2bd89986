/**
 * Finds QEMU: the installed one if it is new enough, else the one of Debian, unpacked.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { runOnHost } from "./command.ts";
import { unpackPackages } from "./debian.ts";

const PROGRAM = "qemu-system-x86_64";
/** Debian suite and package with the newest QEMU. */
const SUITE = "trixie-backports", PACKAGES = ["qemu-system-x86"];
/** Longest that QEMU may take to print its version, in milliseconds. */
const VERSION_MS = 30000;

/** Oldest version of QEMU that the project is tested with. */
export const MIN_QEMU = "7.2";

/**
 * Returns the command line that runs QEMU for x86-64.
 *
 * @param least Oldest acceptable version, such as `10.1`.
 * @throws {UsageError} if QEMU is not installed and cannot be downloaded.
 */
export async function findQemu(least: string = MIN_QEMU): Promise<string[]> {
  if (newer(await version([PROGRAM]), least)) return [PROGRAM];
  const unpacked = await unpackPackages({ suite: SUITE, packages: PACKAGES });
  const { root } = unpacked;
  const command = [
    "env",
    `QEMU_MODULE_DIR=${root}/usr/lib/x86_64-linux-gnu/qemu`,
    ...unpacked.command(PROGRAM),
    ...["-L", `${root}/usr/share/qemu`, "-L", `${root}/usr/share/seabios`],
  ];
  const found = await version(command);
  if (!newer(found, least)) {
    throw new UsageError(
      `QEMU ${found ?? "that runs"} is not ${least} or newer: install a newer ${PROGRAM}, ` +
        `or remove ${root} to download it again`,
    );
  }
  return command;
}

async function version(command: readonly string[]): Promise<string | undefined> {
  const result = await runOnHost([...command, "--version"], VERSION_MS);
  if (!result?.success) return undefined;
  return /version (\d+\.\d+)/.exec(result.stdout)?.[1];
}

/** Returns whether a version exists and is at least another. */
function newer(found: string | undefined, least: string): boolean {
  if (found === undefined) return false;
  const [major, minor] = found.split(".").map(Number);
  const [leastMajor, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
