/**
 * A cache directory of files that are downloaded or built once. An entry is either complete or
 * absent: it is built under another name and then renamed. An entry that was not used for a week is
 * removed when another one beside it is used. Any number of processes may share the directory.
 *
 * @module
 */

import { waitUntil } from "../native/clock.ts";
import { dirname } from "node:path";
import { UsageError } from "../src/errors.ts";

/** Time without use after which an entry is removed, in milliseconds. */
const UNUSED_MS = 7 * 24 * 3600 * 1000;
/** Longest to wait while other processes look up entries, and between attempts, in milliseconds. */
const LOCK_MS = 10000, TRY_MS = 5;

/** The default directory: `ixy.ts` in the user's cache directory. */
export function defaultCache(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${base}/ixy.ts`;
}

/**
 * Returns an entry of a cache directory, and builds it if it is absent. It stays for at least a
 * week.
 *
 * @param cache The cache directory.
 * @param name Path of the entry in it: a file or a directory.
 * @param make Builds the entry at the given path; may use other names beside it.
 * @returns The entry's path.
 * @throws {UsageError} if another process keeps the directory locked, or it cannot be created.
 */
export async function cached(
  cache: string,
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const entry = `${cache}/${name}`;
  await makeDirectory(dirname(entry));
  if (await lookUp(cache, entry)) return entry;
  await removeLeftovers(cache);
  const work = await Deno.makeTempDir({ dir: cache, prefix: prefix() });
  try {
    await make(`${work}/entry`);
    await touch(`${work}/entry`);
    await Deno.rename(`${work}/entry`, entry);
  } catch (error) {
    // Another process may have built it first; its entry is as good.
    if (!await exists(entry)) throw error;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return entry;
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await Deno.mkdir(directory, { recursive: true });
  } catch (cause) {
    const [reason] = cause instanceof Error ? cause.message.split(" (os error") : [cause];
    throw new UsageError(
      `cannot create ${directory} (${reason}): set XDG_CACHE_HOME to a directory that is writable`,
      { cause },
    );
  }
}

/** Marks an entry as used, and removes unused ones beside it; returns whether the entry exists. */
async function lookUp(cache: string, entry: string): Promise<boolean> {
  const directory = dirname(entry), unused: string[] = [];
  let found: boolean;
  {
    // An entry that this process finds must not be removed by another as unused.
    using _lock = await lock(directory);
    found = await touch(entry);
    // The cache directory itself contains the directories of all kinds of entries.
    if (directory !== cache) unused.push(...await setAside(cache, directory));
  }
  for (const path of unused) await remove(path);
  return found;
}

/**
 * Renames unused entries, so that none is ever incomplete under its name; returns the new paths.
 */
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
      // The entry was removed by hand, or belongs to another user, whose process removes it.
      if (!isAbsent(error) && !isForbidden(error)) throw error;
    }
  }
  return paths;
}

/** Locks a directory until the returned file is closed. */
async function lock(directory: string): Promise<Deno.FsFile> {
  const file = await Deno.open(directory);
  if (await waitUntil(LOCK_MS, () => file.tryLock(true), TRY_MS)) return file;
  file.close();
  throw new UsageError(
    `${directory}: another process has kept it locked for ${LOCK_MS / 1000} s: ` +
      "find it with `fuser`, end it, and try again",
  );
}

/** Records the time of an entry's last use; returns whether the entry exists. */
async function touch(entry: string): Promise<boolean> {
  try {
    await Deno.utime(entry, new Date(), new Date());
    return true;
  } catch (error) {
    // An entry of another user can be used too.
    if (isForbidden(error)) return await exists(entry);
    if (isAbsent(error)) return false;
    throw error;
  }
}

/**
 * Returns the prefix of temporary names. It contains the process id, so that the leftovers of a
 * killed process can be removed.
 */
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

/** Removes a path that other processes may be removing at the same time. */
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
