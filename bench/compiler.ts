/**
 * Compiles the instrument and its leanest forwarder, which are C, for the processor of this machine.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";
import type { TemporaryDirectory } from "../programs/temporary_directory.ts";

const SOURCES = decodeURIComponent(new URL("instrument/", import.meta.url).pathname);
/** The programs and their files. */
const PROGRAMS = { instrument: ["instrument.c"], limit: ["limit.c"] } as const;
const FLAGS = ["-std=gnu17", "-O3", "-march=native", "-flto", "-Wall", "-Wextra", "-Werror"];

/** Paths of the programs. */
export type Compiled = Readonly<Record<keyof typeof PROGRAMS, string>>;

/**
 * Compiles both programs into a directory.
 *
 * @throws {UsageError} if gcc is missing, or the machine is not an x86-64.
 */
export async function compile(directory: TemporaryDirectory): Promise<Compiled> {
  if (Deno.build.arch !== "x86_64") {
    throw new UsageError(
      "the instrument is for x86-64: measure on the software NIC: --device vfio-user",
    );
  }
  for (const [name, files] of Object.entries(PROGRAMS)) {
    await gcc([...FLAGS, "-o", directory.file(name), ...files.map((file) => SOURCES + file)]);
  }
  return { instrument: directory.file("instrument"), limit: directory.file("limit") };
}

async function gcc(args: string[]): Promise<void> {
  try {
    const { success, stderr } = await new Deno.Command("gcc", { args }).output();
    if (!success) throw new DeviceError("gcc", new TextDecoder().decode(stderr));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(
      "the instrument is C, and gcc is missing: apt-get install gcc, or measure on the software NIC: " +
        "--device vfio-user",
    );
  }
}
