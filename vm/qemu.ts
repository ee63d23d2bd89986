/**
 * QEMU: the one that is installed, if it is new enough, else Debian's, unpacked.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { runOnHost } from "./command.ts";
import { unpackPackages } from "./debian.ts";

const PROGRAM = "qemu-system-x86_64";
/** Where Debian has the newest one. */
const SUITE = "trixie-backports", PACKAGES = ["qemu-system-x86"];
/** Longest that QEMU may take to say its version, in milliseconds. */
const VERSION_MS = 30000;

/** The oldest version that this project was tried with. */
export const MIN_QEMU = "7.2";

/**
 * The command line that runs QEMU for x86-64.
 *
 * @param least The oldest version that will do, such as `10.1`.
 * @throws {UsageError} if there is none, and none can be downloaded.
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

/** Whether a version is at least another; one that is not there is not. */
function newer(found: string | undefined, least: string): boolean {
  if (found === undefined) return false;
  const [major, minor] = found.split(".").map(Number);
  const [leastMajor, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
