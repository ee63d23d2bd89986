/** Checks what Markdown files say about files, declarations and registers. */

import { assert, assertEquals } from "@std/assert";
import { REGISTERS } from "../ixgbe/registers.ts";
import type { Register } from "../src/registers.ts";
import { PROJECT, run } from "./support/processes.ts";
import { declarationsOf, isSource, projectFiles } from "./support/source.ts";

/** A link: its text and its target. */
const LINK = /\[([^\]]+)\]\(([^)\s]+)\)/g;
/** A link to a register, followed by its section in the datasheet. */
const REGISTER = /\[`([A-Z0-9_]+)`\]\([^)]*registers\.ts\) \(([\d.]+)\)/g;
/** The path of a source or Markdown file. */
const PATH = /(?:[\w-]+\/)*[\w-][\w.-]*\.(?:ts|c|md)\b(?!\.)/g;
/** A link from a comment to a symbol. */
const SYMBOL = /\{@link(?:code|plain)?\s+([A-Za-z_][\w.#]*)\s*\}/g;
/** A comment. */
const COMMENT = /\/\*[^]*?\*\/|\/\/.*/g;
/** A path in backquotes. */
const QUOTED_PATH = /`(?:[\w-]+\/)+[\w.-]+\.(?:ts|c|md)`/g;
/** A driver of the family, whose name looks like a file. */
const DRIVER = /(?:^|\/)ixy\.\w+$/;

/** Returns a sentence for each wrong link of a document. */
async function badLinks(document: string, text: string): Promise<string[]> {
  const bad: string[] = [];
  for (const [, label, target] of text.matchAll(LINK)) {
    if (/^[a-z]+:/.test(target)) continue;
    const file = new URL(target, `file:///${document}`).pathname.slice(1);
    let source: string;
    try {
      const info = await Deno.stat(PROJECT + file);
      source = info.isFile && isSource(file) ? await Deno.readTextFile(PROJECT + file) : "";
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      bad.push(`${document} links to ${file}, which does not exist`);
      continue;
    }
    const name = /^`([\w.#]+)`$/.exec(label)?.[1];
    if (source === "" || name === undefined || name.endsWith(".ts")) continue;
    if (!declarationsOf(file, source).has(name)) {
      bad.push(`${document} links to ${name} in ${file}, which does not declare it`);
    }
  }
  return bad;
}

/** Returns a sentence for each register whose section differs from the register table. */
function badSections(document: string, text: string): string[] {
  const table: Readonly<Record<string, Register | undefined>> = REGISTERS;
  return [...text.matchAll(REGISTER)]
    .filter(([, name, section]) => table[name]?.section !== section)
    .map(([, name, section]) =>
      `${document} has ${name} in section ${section}, and the register table in ${
        table[name]?.section
      }`
    );
}

/** Returns a sentence for each path in a document, or end of a path, that no file has. */
function badPaths(document: string, text: string, files: readonly string[]): string[] {
  return [...text.matchAll(PATH)]
    .filter(([path]) => !DRIVER.test(path))
    .filter(([path]) => !files.some((file) => file === path || file.endsWith(`/${path}`)))
    .map(([path]) => `${document} names ${path}, which does not exist`);
}

/** Returns a sentence for each link in comments to what no file of the project declares. */
function badSymbols(file: string, text: string, declared: ReadonlySet<string>): string[] {
  return [...text.matchAll(SYMBOL)]
    .filter(([, name]) => !declared.has(name.replace(".prototype.", ".")))
    .map(([, name]) => `${file} links to ${name}, which no file declares`);
}

const files = await projectFiles();
const read = (named: (file: string) => boolean) =>
  Promise.all(
    files.filter(named).map(async (file) => {
      return { file, text: await Deno.readTextFile(PROJECT + file) };
    }),
  );
const documents = await read((file) => file.endsWith(".md"));
const sources = await read(isSource);

Deno.test("Links in Markdown files lead to existing files and declarations", async () => {
  const bad = await Promise.all(documents.map(({ file, text }) => badLinks(file, text)));
  assertEquals(bad.flat(), []);
});

Deno.test("Markdown files name registers with the sections that the register table has", () => {
  assertEquals(documents.flatMap(({ file, text }) => badSections(file, text)), []);
});

Deno.test("Markdown files name source and Markdown files that exist", () => {
  assertEquals(documents.flatMap(({ file, text }) => badPaths(file, text, files)), []);
});

Deno.test("Comments link to what is declared, and name files that exist", () => {
  const declared = new Set(sources.flatMap(({ file, text }) => [...declarationsOf(file, text)]));
  assert(declared.size > 1000);
  const bad = sources.filter(({ file }) => file !== "tests/docs_test.ts").flatMap(
    ({ file, text }) => {
      const comments = [...text.matchAll(COMMENT)].join("\n");
      const paths = [...comments.matchAll(QUOTED_PATH)].join(" ");
      return [...badSymbols(file, comments, declared), ...badPaths(file, paths, files)];
    },
  );
  assertEquals(bad, []);
  assertEquals(
    badSymbols("a.ts", "{@linkcode A} {@link A.prototype.b} {@linkcode B}", new Set(["A"])),
    [
      "a.ts links to A.prototype.b, which no file declares",
      "a.ts links to B, which no file declares",
    ],
  );
});

Deno.test("Examples in comments and in the README have no type errors", async () => {
  const shown = sources.filter(({ text }) => /^ \* ```ts$/m.test(text)).map(({ file }) => file);
  assert(shown.includes("mod.ts") && shown.includes("src/batch.ts"));
  const command = [Deno.execPath(), "check", "--quiet", "--doc", "README.md", ...shown];
  const options = { cwd: PROJECT, milliseconds: 120_000 };
  assertEquals(await run(command, options), { code: 0, stdout: "", stderr: "" });
});

Deno.test("badLinks(), badSections() and badPaths() find missing files and names, and wrong sections", async () => {
  const text = "[`open`](../mod.ts) [`close`](../mod.ts) [a](../gone.ts) [`IxgbeRxQueue.receive`]" +
    "(../ixgbe/rx_queue.ts) [`IxgbeRxQueue.transmit`](../ixgbe/rx_queue.ts) [b](https://host/x) " +
    "[`RDT`](../ixgbe/registers.ts) (8.2.3.8.5) [`TDT`](../ixgbe/registers.ts) (8.2.3.8.5)";
  assertEquals(await badLinks("docs/x.md", text), [
    "docs/x.md links to close in mod.ts, which does not declare it",
    "docs/x.md links to gone.ts, which does not exist",
    "docs/x.md links to IxgbeRxQueue.transmit in ixgbe/rx_queue.ts, which does not declare it",
  ]);
  assertEquals(badSections("docs/x.md", text), [
    "docs/x.md has TDT in section 8.2.3.8.5, and the register table in 8.2.3.9.9",
  ]);
  assertEquals(
    badPaths("x.md", "`src/mempool.ts` `mempool.ts` `src/bus/bus.ts` `pool.ts`", files),
    [
      "x.md names src/bus/bus.ts, which does not exist",
      "x.md names pool.ts, which does not exist",
    ],
  );
});
