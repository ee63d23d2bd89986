/**
 * The directory of what is downloaded or made once and kept. An entry is either whole or not there:
 * it is made under another name and then renamed.
 *
 * @module
 */

import { dirname } from "node:path";

/** The default directory: `ixy.ts` in the user's cache directory. */
export function defaultCache(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${base}/ixy.ts`;
}

/**
 * An entry of a cache directory, made if it is not there.
 *
 * @param cache The cache directory.
 * @param name Path of the entry in it: a file or a directory.
 * @param make Makes the entry at the path that it is given; may use other names beside it.
 * @returns The entry's path.
 */
export async function cached(
  cache: string,
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const entry = `${cache}/${name}`;
  if (await exists(entry)) return entry;
  await Deno.mkdir(dirname(entry), { recursive: true });
  await removeLeftovers(cache);
  // The name says whose it is, so that what a killed process has left can be told and removed.
  const work = await Deno.makeTempDir({ dir: cache, prefix: `making-${Deno.pid}-` });
  try {
    await make(`${work}/entry`);
    await Deno.rename(`${work}/entry`, entry);
  } catch (error) {
    // Another process may have been quicker; what it made is as good.
    if (!await exists(entry)) throw error;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return entry;
}

async function removeLeftovers(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const pid = /^making-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || await exists(`/proc/${pid}`)) continue;
    await Deno.remove(`${cache}/${name}`, { recursive: true });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
