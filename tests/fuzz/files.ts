/**
 * The files that this process has open, for fuzzers that pass descriptors.
 *
 * @module
 */

/** Files that fuzzers and what they attack open; Deno opens and closes others. */
const KINDS = /^(socket:|anon_inode:\[eventfd\]|\/memfd:|\/dev\/(zero|null)|.*\/ixy-fuzz-)/;
/** Times to look again, and milliseconds between: Deno may have closed a file of its own meanwhile. */
const LOOKS = 5, BETWEEN_MS = 10;

/** Checks that as many files are open as before. */
export function checkFiles(before: number): void {
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < LOOKS; i++) {
    if (openFiles() === before) return;
    Atomics.wait(sleep, 0, 0, BETWEEN_MS);
  }
  throw new Error(`${openFiles()} files are open, ${before} were before`);
}

/** Returns how many files are open. */
export function openFiles(): number {
  let n = 0;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (KINDS.test(Deno.readLinkSync(`/proc/self/fd/${name}`))) n++;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // the directory's own
    }
  }
  return n;
}
