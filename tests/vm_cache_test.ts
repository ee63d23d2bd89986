/**
 * The cache of the parts of virtual machines: what it keeps and removes, also if several processes
 * share it. Nothing is downloaded.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import { cached } from "../vm/cache.ts";
import { PROJECT, run, TemporaryDirectory } from "./support/processes.ts";

const DAY_MS = 24 * 3600 * 1000;

/** Returns a function that creates a file with its name as text. */
function make(name: string): (path: string) => Promise<void> {
  return (path) => Deno.writeTextFile(path, name);
}

/** For an entry that exists already. */
function fail(): Promise<void> {
  throw new Error("the entry exists already");
}

/** Creates an entry and sets back the time of its last use. */
async function makeOld(cache: TemporaryDirectory, name: string, days: number): Promise<void> {
  const then = new Date(Date.now() - days * DAY_MS);
  await Deno.utime(await cached(cache.path, name, make(name)), then, then);
}

/** Returns the names in a directory. */
function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

Deno.test("cached() makes an entry once, and leaves nothing of one that it fails to make", async () => {
  await using cache = await TemporaryDirectory.make();
  const entry = await cached(cache.path, "kind/a", make("a"));
  assertEquals(entry, cache.file("kind/a"));
  assertEquals(await cached(cache.path, "kind/a", fail), entry);
  assertEquals(await Deno.readTextFile(entry), "a");
  await assertRejects(() => cached(cache.path, "kind/b", fail), Error, "the entry exists already");
  assertEquals([names(cache.path), names(cache.file("kind"))], [["kind"], ["a"]]);
});

Deno.test("cached() removes entries of the requested kind that were not used for a week", async () => {
  await using cache = await TemporaryDirectory.make();
  await makeOld(cache, "other/old", 100);
  await makeOld(cache, "at-the-top", 100);
  await makeOld(cache, "kind/week", 6.9);
  await makeOld(cache, "kind/asked", 6.9);
  await makeOld(cache, "kind/unused", 6.9);
  await cached(cache.path, "kind/asked", fail);
  for (const name of ["asked", "unused"]) {
    const { mtime } = await Deno.stat(cache.file(`kind/${name}`));
    const then = new Date(mtime!.getTime() - 0.2 * DAY_MS);
    await Deno.utime(cache.file(`kind/${name}`), then, then);
  }
  await Deno.mkdir(cache.file("kind/tree/of/files"), { recursive: true });
  await Deno.utime(cache.file("kind/tree"), 0, 0);

  await cached(cache.path, "kind/new", make("new"));
  assertEquals(names(cache.file("kind")), ["asked", "new", "week"]);
  await cached(cache.path, "other-top", make("other-top"));
  assertEquals(names(cache.file("other")), ["old"]);
  assertEquals(names(cache.path), ["at-the-top", "kind", "other", "other-top"]);
});

Deno.test("cached() keeps the requested entry, however old its last use", async () => {
  await using cache = await TemporaryDirectory.make();
  await makeOld(cache, "kind/old", 100);
  await cached(cache.path, "kind/old", fail);
  await cached(cache.path, "kind/old", fail);
});

Deno.test("cached() counts making an entry as a use, whatever its time of modification", async () => {
  await using cache = await TemporaryDirectory.make();
  await cached(cache.path, "kind/tree", async (path) => {
    await Deno.mkdir(path);
    await Deno.utime(path, 0, 0); // like the directories of a package
  });
  await cached(cache.path, "kind/new", make("new"));
  assertEquals(names(cache.file("kind")), ["new", "tree"]);
});

Deno.test("cached() keeps an entry that another process finds at the same time", async () => {
  await using cache = await TemporaryDirectory.make();
  await makeOld(cache, "kind/old", 100);
  const locked = await Deno.open(cache.file("kind"));
  await locked.lock(true); // like a process that looks up an entry
  const making = cached(cache.path, "kind/new", make("new"));
  await delay(100); // without waiting, it would have removed the entry by now
  assertEquals(names(cache.file("kind")), ["old"]);
  await Deno.utime(cache.file("kind/old"), new Date(), new Date());
  locked.close();
  await making;
  assertEquals(names(cache.file("kind")), ["new", "old"]);
});

/** Requests entries, and fails if one is incomplete. */
const ASKER = `
import { cached } from "${PROJECT}vm/cache.ts";
for (let i = 0; i < 50; i++) {
  const entry = await cached(Deno.args[0], "kind/" + i % 25, async (path) => {
    await Deno.mkdir(path);
    await Deno.writeTextFile(path + "/file", String(i % 25));
  });
  if (await Deno.readTextFile(entry + "/file") !== String(i % 25)) throw new Error(entry);
}`;

Deno.test("cached() gives every process complete entries, while all remove the same ones", async () => {
  await using cache = await TemporaryDirectory.make();
  await Deno.writeTextFile(cache.file("asker.ts"), ASKER);
  const directory = cache.file("cache");
  for (let i = 0; i < 200; i++) {
    const entry = `${directory}/kind/${i < 25 ? "" : "old"}${i}`;
    await Deno.mkdir(entry, { recursive: true });
    await Deno.writeTextFile(`${entry}/file`, String(i));
    await Deno.utime(entry, 0, 0);
  }
  const deno = [Deno.execPath(), "run", "--quiet", "-A", `--config=${PROJECT}deno.json`];
  const command = [...deno, cache.file("asker.ts"), directory];
  const results = await Promise.all(Array.from({ length: 3 }, () => run(command)));
  assertEquals(results, results.map(() => ({ code: 0, stdout: "", stderr: "" })));
  assertEquals(names(directory), ["kind"]);
  assertEquals(names(`${directory}/kind`), Array.from({ length: 25 }, (_, i) => `${i}`).sort());
});

Deno.test("cached() removes what a killed process was making or removing, and no more", async () => {
  await using cache = await TemporaryDirectory.make();
  const gone = new Deno.Command("true").spawn();
  await gone.status;
  await Deno.mkdir(cache.file(`making-${gone.pid}-x/entry`), { recursive: true });
  await Deno.mkdir(cache.file(`making-${Deno.pid}-y`));
  await cached(cache.path, "kind/a", make("a"));
  assertEquals(names(cache.path), ["kind", `making-${Deno.pid}-y`]);
});
