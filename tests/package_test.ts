/**
 * What the project publishes: the package, and the documentation of its entries.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { PROJECT, run, TemporaryDirectory } from "./support/processes.ts";

const ENTRIES = Object.values(config.exports).map((entry) => PROJECT + entry);
/** The programs that README.md runs. */
const PROGRAMS = ["demo", "fwd", "pktgen", "pcap", "echo", "nic", "sim/main"];

function deno(...args: string[]): Promise<string> {
  return succeed([Deno.execPath(), ...args]);
}

async function succeed(command: string[]): Promise<string> {
  const options = { cwd: PROJECT, env: { NO_COLOR: "1" }, milliseconds: 120_000 };
  const { code, stdout, stderr } = await run(command, options);
  assertEquals(code, 0, stdout + stderr);
  return stdout + stderr;
}

/** Returns the files of the project that a module imports, itself included. */
async function graph(module: string): Promise<string[]> {
  const { modules } = JSON.parse(await deno("info", "--quiet", "--json", module));
  return modules.flatMap(({ local }: { local?: string }) => {
    return local?.startsWith(PROJECT) ? [local.slice(PROJECT.length)] : [];
  });
}

Deno.test("deno publish takes the package: complete entries and programs, no tests", async () => {
  const output = await deno("publish", "--dry-run", "--allow-dirty");
  const published = [...output.matchAll(/file:\/\/(\S+)/g)].map(([, file]) => {
    return decodeURIComponent(file).slice(PROJECT.length);
  });
  for (const file of ["LICENSE", "README.md", "deno.json", "mod.ts"]) {
    assert(published.includes(file), file);
  }
  for (const module of [...ENTRIES, ...PROGRAMS.map((name) => `${PROJECT}${name}.ts`)]) {
    for (const file of await graph(module)) assert(published.includes(file), file);
  }
  const rooms = new Set(published.map((file) => file.split("/")[0]));
  for (const room of ["tests", "bench", "vm", "Vagrantfile", ".git", ".ci"]) {
    assert(!rooms.has(room), room);
  }
});

Deno.test("mod.ts exports what a user needs, and nothing else", async () => {
  const { nodes } = JSON.parse(await deno("doc", "--quiet", "--json", `${PROJECT}mod.ts`));
  const [{ symbols }] = Object.values(nodes) as [{ symbols: { name: string }[] }];
  assertEquals(symbols.map(({ name }) => name).sort(), [
    ...[
      "Device",
      "DeviceError",
      "Interrupt",
      "LinkModule",
      "LinkStatus",
      "MAX_BATCH",
      "Mempool",
      "MempoolOptions",
    ],
    ...["OpenOptions", "PacketBatch", "PoolLayout", "RSS_KEY", "RSS_SYMMETRIC_KEY", "RxQueue"],
    ...[
      "Statistics",
      "StopError",
      "StopFlag",
      "SystemError",
      "TxQueue",
      "UsageError",
      "Waiter",
      "XdpOptions",
      "layoutFor",
      "open",
    ],
    "toeplitz",
  ]);
});

/** Yields all pages under a directory. */
async function* pages(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (isDirectory) yield* pages(`${directory}/${name}`);
    else if (name.endsWith(".html") && name !== "all_symbols.html") yield `${directory}/${name}`;
  }
}

/** Returns the names that documentation links to: `{@linkcode Mempool}`. */
async function linkTargets(): Promise<string[]> {
  const json = await deno("doc", "--quiet", "--json", ...ENTRIES);
  return [...new Set([...json.matchAll(/\{@link\w* ([^\s}]+)\}/g)].map(([, name]) => name))];
}

/** Returns the links of a page within the documentation, as file paths. */
function localLinks(page: string, html: string): string[] {
  return [...html.matchAll(/\b(?:href|src)="([^"]+)"/g)].flatMap(([, link]) => {
    const url = new URL(link.replaceAll("&#x2F;", "/").replaceAll("&amp;", "&"), `file://${page}`);
    const file = decodeURIComponent(url.pathname);
    if (url.protocol !== "file:" || file.startsWith(PROJECT)) return [];
    return [file.endsWith("/") ? `${file}index.html` : file];
  });
}

Deno.test("documentation of the entries has no broken link", async () => {
  await using directory = await TemporaryDirectory.make();
  const output = directory.file("doc");
  await deno("doc", "--quiet", "--html", "--name=ixy", `--output=${output}`, ...ENTRIES);
  const targets = await linkTargets();
  assert(targets.length > 10);
  const there = new Map<string, boolean>();
  for await (const page of pages(output)) {
    const html = await Deno.readTextFile(page);
    for (const file of localLinks(page, html)) {
      if (!there.has(file)) there.set(file, await Deno.stat(file).then(() => true, () => false));
      assert(there.get(file), `${page}: ${file}`);
    }
    for (const target of targets) {
      // `deno doc` shows a link to an unknown name as code without a link. So a name that is a link
      // once must be a link everywhere.
      const unlinked = html.replaceAll(`<code>${target}</code></a>`, "");
      assert(!unlinked.includes(`<code>${target}</code>`), `${page}: ${target}`);
    }
  }
  assert(there.size > 100);
});
