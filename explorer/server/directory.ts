/**
 * The explorer's files in a directory, for any web server.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { NAMES, type Site } from "./build.ts";

/**
 * Checks that a directory is empty, has only files of an earlier build, or does not exist.
 *
 * @throws {UsageError} if it is something else, or cannot be read.
 */
export async function checkDirectory(path: string): Promise<void> {
  try {
    for await (const { name, isFile } of Deno.readDir(path)) {
      if (isFile && NAMES.includes(name)) continue;
      throw new UsageError(
        `--build ${path}: has ${name}, which is not the explorer's: give an empty directory`,
      );
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.FilesystemLoop) {
      throw new UsageError(`--build ${path}: is not a directory: give an empty one, or a new name`);
    }
    throw error;
  }
}

/**
 * Writes all files of a site to a directory, which it creates if need be.
 *
 * @throws {UsageError} as {@linkcode checkDirectory} does.
 */
export async function writeSite(site: Site, path: string): Promise<void> {
  await checkDirectory(path);
  await Deno.mkdir(path, { recursive: true });
  for (const [name, bytes] of site) await Deno.writeFile(`${path}/${name}`, bytes);
}
