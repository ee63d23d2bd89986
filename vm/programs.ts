/**
 * Programs of Debian packages for the guest, in addition to those of every guest: an archive with
 * the programs, the libraries that they are linked with, and other files of the packages.
 *
 * @module
 */

import { Archive } from "./cpio.ts";
import { unpackPackages } from "./debian.ts";
import { LIBRARIES, LIBRARY_DIRECTORY } from "./initramfs.ts";
import { SUITE } from "./kernel.ts";

/**
 * Names of packages, each with what to install from it: names of programs, which come with their
 * libraries, and paths of other files (`/usr/lib/…`), which stay the same in the guest.
 */
export type Programs = Readonly<Record<string, readonly string[]>>;

/**
 * Returns an archive of programs; empty if there are none.
 *
 * @param programs The programs.
 * @throws {UsageError} if the packages cannot be downloaded, or lack a program or file.
 */
export async function programArchive(programs: Programs): Promise<Uint8Array[]> {
  const packages = Object.keys(programs);
  if (packages.length === 0) return [];
  const archive = new Archive();
  const unpacked = await unpackPackages({ suite: SUITE, packages });
  const libraries = new Map<string, string>();
  for (const name of Object.values(programs).flat()) {
    if (name.startsWith("/")) {
      archive.file(name.slice(1), await Deno.readFile(unpacked.file(name)), true);
      continue;
    }
    archive.file(`bin/${name}`, await Deno.readFile(unpacked.program(name)), true);
    for (const [library, path] of await unpacked.libraries(name)) libraries.set(library, path);
  }
  for (const [library, path] of libraries) {
    if (LIBRARIES.includes(library)) continue; // every guest has it
    archive.file(`${LIBRARY_DIRECTORY}/${library}`, await Deno.readFile(path));
  }
  return archive.end();
}
