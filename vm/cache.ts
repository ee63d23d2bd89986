/**
 * The directory of what is downloaded or made once and kept. An entry is either whole or not there:
 * it is made under another name and then renamed. One that nobody has asked for in a week goes when
 * somebody asks for another beside it. Any number of processes may share the directory.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { dirname } from "node:path";
import { UsageError } from "../src/errors.ts";

/** How long an entry is kept that nobody asks for, in milliseconds. */
const UNUSED_MS = 7 * 24 * 3600 * 1000;
/** Longest to wait while others look entries up, and how often to try, in milliseconds. */
const LOCK_MS = 10000, TRY_MS = 5;

/** The default directory: `ixy.ts` in the user's cache directory. */
export function defaultCache(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${base}/ixy.ts`;
}

/**
 * An entry of a cache directory, made if it is not there. It stays for a week at least.
 *
 * @param cache The cache directory.
 * @param name Path of the entry in it: a file or a directory.
 * @param make Makes the entry at the path that it is given; may use other names beside it.
 * @returns The entry's path.
 * @throws {UsageError} if another process keeps the directory locked.
 */
export async function cached(
  cache: string,
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const entry = `${cache}/${name}`;
  await Deno.mkdir(dirname(entry), { recursive: true });
  if (await lookUp(cache, entry)) return entry;
  await removeLeftovers(cache);
  const work = await Deno.makeTempDir({ dir: cache, prefix: prefix() });
  try {
    await make(`${work}/entry`);
    await touch(`${work}/entry`);
    await Deno.rename(`${work}/entry`, entry);
  } catch (error) {
    // Another process may have been quicker; what it made is as good.
    if (!await exists(entry)) throw error;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return entry;
}

/** Marks an entry as asked for, and removes those beside it that nobody asks for any more. */
async function lookUp(cache: string, entry: string): Promise<boolean> {
  const directory = dirname(entry), unused: string[] = [];
  let found: boolean;
  {
    // What one process has found must not be what another finds unused.
    using _lock = await lock(directory);
    found = await touch(entry);
    // The cache directory itself holds the directories of all kinds of entries.
    if (directory !== cache) unused.push(...await setAside(cache, directory));
  }
  for (const path of unused) await remove(path);
  return found;
}

/** Renames what nobody asks for any more, so that none is ever there in part; returns the new paths. */
async function setAside(cache: string, directory: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name } of Deno.readDir(directory)) {
    const entry = `${directory}/${name}`, path = `${cache}/${prefix()}${crypto.randomUUID()}`;
    try {
      const { mtime } = await Deno.lstat(entry);
      if (Date.now() - mtime!.getTime() < UNUSED_MS) continue;
      await Deno.rename(entry, path);
      paths.push(path);
    } catch (error) {
      // Somebody may have removed it by hand; or it is another user's, who will.
      if (!isAbsent(error) && !isForbidden(error)) throw error;
    }
  }
  return paths;
}

/** Locks a directory until it is closed. */
async function lock(directory: string): Promise<Deno.FsFile> {
  const file = await Deno.open(directory), deadline = performance.now() + LOCK_MS;
  while (!await file.tryLock(true)) {
    if (performance.now() > deadline) {
      file.close();
      throw new UsageError(
        `${directory}: another process has kept it locked for ${LOCK_MS / 1000} s: ` +
          "find it by `fuser`, end it, and try again",
      );
    }
    await delay(TRY_MS);
  }
  return file;
}

/** Makes now the time at which an entry was last asked for; returns whether it is there. */
async function touch(entry: string): Promise<boolean> {
  try {
    await Deno.utime(entry, new Date(), new Date());
    return true;
  } catch (error) {
    // Another user's can be used as well.
    if (isForbidden(error)) return await exists(entry);
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** How names of what is being made or removed begin: they say by whom, lest it stay if that is killed. */
function prefix(): string {
  return `making-${Deno.pid}-`;
}

async function removeLeftovers(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const pid = /^making-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || await exists(`/proc/${pid}`)) continue;
    await remove(`${cache}/${name}`);
  }
}

/** Removes what several processes may be removing; one of them is the last. */
async function remove(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound;
}

function isForbidden(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied;
}
