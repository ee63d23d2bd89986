/** The build, and the way from a stack in the built engine back to the source. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Sources } from "../../../explorer/recording/sources.ts";
import { build, type Entries, NAMES, type Site } from "../../../explorer/server/build.ts";
import { withoutComments } from "../../../explorer/server/comments.ts";
import { withRenamedScopes } from "../../../explorer/server/specialised.ts";
import { ifReadable, list, readText } from "../../../native/files.ts";
import { TemporaryDirectory } from "../../../programs/temporary_directory.ts";
import { UsageError } from "../../../src/errors.ts";
import { PROJECT, until } from "../../support/processes.ts";
import type { Forwarded } from "./engine.ts";

/** Builds a site with a small page, after changes of the entries. */
async function buildSmall(changes: Partial<Entries> = {}): Promise<Site> {
  await using directory = await TemporaryDirectory.make();
  const file = async (name: string, text: string) => {
    await Deno.writeTextFile(directory.file(name), text);
    return directory.file(name);
  };
  await file("style.css", "p { color: red; }");
  return await build({
    engine: "tests/explorer/server/engine.ts",
    page: await file("main.ts", 'import "./style.css";\ndocument.title = "page";'),
    files: [await file("index.html", "<!DOCTYPE html>"), await file("icon.svg", "<svg/>")],
    ...changes,
  });
}

/** Returns the number of child processes of this process. */
function children(): number {
  const lists = list("/proc/self/task").map((thread) => {
    return ifReadable(() => readText(`/proc/self/task/${thread}/children`)) ?? ""; // it may have ended
  });
  return lists.join(" ").split(" ").filter((pid) => pid !== "").length;
}

/** Writes a site to a directory, and runs its engine. */
async function forward(site: Site, directory: TemporaryDirectory): Promise<Forwarded> {
  for (const [name, bytes] of site) await Deno.writeFile(directory.file(name), bytes);
  const worker = new Worker(`file://${directory.file("engine.js")}`, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<Forwarded>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  try {
    return await promise;
  } finally {
    worker.terminate();
  }
}

Deno.test("withoutComments() leaves code where it is, and all that only looks like a comment", () => {
  const text = [
    ...["/** A class. */", "class A {", "  /** A method,", "   * on lines. */", "  b() { // c"],
    ...["    return /* d */ `", "/** e */ ${1} // f`; }", '  g = "/* h */"; i = /[/*]/; } // j'],
  ].join("\n");
  assertEquals(
    withoutComments(text),
    [
      ...["", "class A {", "  ", "", "  b() { ", "    return         `", "/** e */ ${1} // f`; }"],
      ...['  g = "/* h */"; i = /[/*]/; } '],
    ].join("\n"),
  );
});

Deno.test("build() runs one bundler at a time: Deno's first ones on a machine would disturb each other", async () => {
  const before = children();
  let most = 0, built = false;
  await Promise.all([
    buildSmall().finally(() => built = true),
    until("the build", () => {
      most = Math.max(most, children() - before);
      return built;
    }),
  ]);
  assertEquals(most, 1);
});

Deno.test("build() makes the files, and Sources leads from the engine's stacks to the driver", async () => {
  await using directory = await TemporaryDirectory.make();
  const site = await buildSmall();
  assertEquals([...site.keys()], NAMES);
  const { sent, violations, stacks } = await forward(site, directory);
  assertEquals({ sent, violations }, { sent: 1, violations: 0 });
  const sources = await Sources.load(`file://${directory.path}/`);
  const places = stacks.map((stack) => sources.places(stack));

  // A method, with its callers.
  const [{ file, line, name }] = places[0].filter(({ file }) => file.startsWith("ixgbe/"));
  assertEquals(await Deno.readTextFile(PROJECT + file), sources.text(file).join("\n"));
  const called = sources.text(file)[line - 1];
  assert(/\bregs\.(write|set|clear)\(/.test(called), `${name} at ${file}:${line}: ${called}`);

  // A specialised function.
  const { file: hot, line: at } = places.at(-1)!.find(({ file }) => file.startsWith("ixgbe/"))!;
  assertEquals(hot, "ixgbe/tx_queue.ts");
  const text = sources.text(hot)[at - 1];
  assert(text.includes("write(t)"), text);
});

Deno.test("Sources.find() returns a text's line and its function, or undefined", async () => {
  const site = await buildSmall();
  const text = (name: string) => new TextDecoder().decode(site.get(name));
  const sources = new Sources(text("engine.js"), JSON.parse(text("engine.js.map")));
  const file = "ixgbe/rx_queue.ts", lines = sources.text(file);
  const found = sources.find({ file, text: "function receiver(" })!;
  assert(lines[found.line - 1].includes("function receiver("));
  assertEquals(sources.find({ file, text: "this text is nowhere" }), undefined);
  assertEquals(sources.find({ file: "none.ts", text: "function" }), undefined);
  assertEquals(sources.text("none.ts"), []);
  assertEquals(
    sources.places("Error\n    at Array.map (<anonymous>)\n    at f (http://x/y.js:1:2)"),
    [],
  );
});

Deno.test("the engine has each specialised function once, so its name finds it", async () => {
  const site = await buildSmall();
  const engine = new TextDecoder().decode(site.get("engine.js"));
  const names = [...engine.matchAll(/\bspecialise\d*\(import\.meta[^]*?function (\w+)\(/g)];
  assert(names.length >= 2);
  for (const [, name] of names) assertEquals(engine.split(`function ${name}(`).length - 1, 1, name);
});

Deno.test("withRenamedScopes() adds the names that the bundler chose", () => {
  const bundle =
    "x = specialise(import.meta.url, {\n  A,\n  B: B2\n}, function f() {});\ny = { B: B2 };";
  assertEquals(withRenamedScopes(bundle), bundle.replace("B: B2\n", "B: B2, B2\n"));
});

Deno.test("build() answers a module that cannot be bundled with one sentence that names it", async () => {
  const error = await assertRejects(() => buildSmall({ page: "explorer/none.tsx" }), UsageError);
  assert(error.message.startsWith("cannot bundle explorer/none.tsx: "), error.message);
  assert(!error.message.includes("\n"));
});
