/**
 * Debian packages unpacked outside the system: they run, they are kept, and they are complete or
 * absent.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { unpackPackages } from "../../vm/debian.ts";
import { unxz } from "../../vm/vmlinux.ts";
import { UsageError } from "../../src/errors.ts";
import { TemporaryDirectory, tool } from "../support/processes.ts";

const SMALL = { suite: "bookworm", packages: ["hello"] };

/** Runs a function with a PATH in which no program is found. */
async function withoutPrograms<T>(action: () => Promise<T>): Promise<T> {
  const before = Deno.env.get("PATH")!;
  Deno.env.set("PATH", "/nonexistent");
  try {
    return await action();
  } finally {
    Deno.env.set("PATH", before);
  }
}

Deno.test("unpackPackages() unpacks packages that run with their own libraries, and keeps them", async () => {
  await using cache = await TemporaryDirectory.make();
  const options = { ...SMALL, cache: cache.path };
  const unpacked = await unpackPackages(options);
  const command = unpacked.command("hello");
  assertEquals(await tool(...command, "--greeting=good day"), "good day\n");
  assertMatch(await tool(...command, "--version"), /^hello /);
  assertEquals(command.filter((word) => word.startsWith(unpacked.root)).length, 3);
  assertThrows(() => unpacked.command("nothing-like-it"), UsageError, "has no nothing-like-it");
  const libraries = await unpacked.libraries("hello");
  assertEquals(libraries.get("libc.so.6"), `${unpacked.root}/lib/x86_64-linux-gnu/libc.so.6`);
  const file = "/usr/share/doc/hello/copyright";
  assertEquals(unpacked.file(file), unpacked.root + file);
  assertThrows(() => unpacked.file("/nothing/like/it"), UsageError, "has no it");
  assertEquals([...Deno.readDirSync(cache.path)].map(({ name }) => name), ["debian"]);

  const again = await withoutPrograms(() => unpackPackages(options));
  assertEquals(again.root, unpacked.root);
});

Deno.test("unpackPackages() leaves nothing incomplete when it fails, and says what to do", async () => {
  await using cache = await TemporaryDirectory.make();
  const fails = async (packages: string[], sentence: RegExp) => {
    const options = { suite: "bookworm", packages, cache: cache.path };
    const { message } = await assertRejects(() => unpackPackages(options), UsageError);
    assertMatch(message, sentence);
    assertMatch(message, /^[^\n]+ by hand$/);
    const left = await tool("/usr/bin/find", cache.path, "-mindepth", "1", "-not", "-type", "d");
    assertEquals(left, "");
  };
  await fails(["no-such-package"], /Unable to locate package no-such-package; /);
  await withoutPrograms(() => fails(["hello"], /this machine has no apt; /));
});

Deno.test("unpackPackages() removes what a killed process has left behind", async () => {
  await using cache = await TemporaryDirectory.make();
  const gone = new Deno.Command("true").spawn();
  await gone.status;
  await Deno.mkdir(cache.file(`making-${gone.pid}-x/entry`), { recursive: true });
  await Deno.mkdir(cache.file(`making-${Deno.pid}-y`));
  await unpackPackages({ ...SMALL, cache: cache.path });
  const names = [...Deno.readDirSync(cache.path)].map(({ name }) => name).sort();
  assertEquals(names, ["debian", `making-${Deno.pid}-y`]);
});

Deno.test("unxz() unpacks a file, and says what is wrong with it or missing", async () => {
  await using directory = await TemporaryDirectory.make();
  const [file, bad] = [directory.file("a"), directory.file("bad.xz")];
  await Deno.writeTextFile(file, "text");
  await Deno.writeTextFile(bad, "text");
  await tool("xz", file);
  assertEquals(new TextDecoder().decode(await unxz(`${file}.xz`)), "text");
  await assertRejects(() => unxz(bad), UsageError, "bad.xz: File format not recognized");
  await assertRejects(
    () => withoutPrograms(() => unxz(`${file}.xz`)),
    UsageError,
    "install xz (Debian's package xz-utils)",
  );
});
