/**
 * Builds the explorer's files: the engine (recorder, driver and NIC model, for a worker), its source
 * map, and the page.
 *
 * The bundler is `deno bundle`, which is esbuild. Used as a package, esbuild would need a resolver of
 * our own for import maps and `npm:` specifiers; `deno bundle` resolves as `deno run` does, by the same
 * lock file, and the version of esbuild is that of Deno. Deno calls it experimental (`--quiet` hides that),
 * and downloads esbuild once per machine.
 *
 * @module
 */

import { Interruption } from "../../programs/interruption.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { UsageError } from "../../src/errors.ts";
import { withoutComments } from "./comments.ts";
import { importMap, PROJECT } from "./import_map.ts";
import { leanMap } from "./source_map.ts";
import { withRenamedScopes } from "./specialised.ts";

/** Files by name. */
export type Site = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** What a site is built from: paths from the project's root. */
export interface Entries {
  /** The modules that the bundles begin with. */
  readonly engine: string;
  readonly page: string;
  /** Files that are taken as they are. */
  readonly files: readonly string[];
}

/** Names of the files of a site. */
export const NAMES: readonly string[] = [
  ...["index.html", "icon.svg", "page.js", "page.css", "engine.js", "engine.js.map"],
];

const ENTRIES: Entries = {
  engine: "explorer/recorder/worker.ts",
  page: "explorer/page/main.tsx",
  files: ["explorer/page/index.html", "explorer/page/icon.svg"],
};

/**
 * Builds all files: {@linkcode NAMES}.
 *
 * @throws {UsageError} if the bundler fails, with what it says.
 */
export async function build(entries: Entries = ENTRIES): Promise<Site> {
  await using directory = await TemporaryDirectory.make();
  const map = directory.file("import_map.json");
  await Deno.writeTextFile(map, JSON.stringify(await importMap()));
  // One after the other: the first bundler on a machine copies esbuild into Deno's cache, and two at once disturb
  // each other. The engine is not minified: stacks need the names of its functions.
  const engine = directory.file("engine.js"), page = directory.file("page.js");
  await bundle(entries.engine, engine, map, ["--sourcemap=external"]);
  await bundle(entries.page, page, map, ["--minify"]);
  return new Map([
    ...await Promise.all(entries.files.map(asIs)),
    ["page.js", await Deno.readFile(page)],
    ["page.css", await Deno.readFile(directory.file("page.css"))],
    ["engine.js", encode(withoutComments(withRenamedScopes(await Deno.readTextFile(engine))))],
    ["engine.js.map", encode(await engineMap(`${engine}.map`))],
  ]);
}

/** Returns a file's name and bytes. */
async function asIs(path: string): Promise<[string, Uint8Array<ArrayBuffer>]> {
  return [path.split("/").at(-1)!, await Deno.readFile(new URL(path, PROJECT))];
}

/** Bundles a module with all that it imports into a file. */
async function bundle(
  entry: string,
  output: string,
  importMap: string,
  options: readonly string[],
): Promise<void> {
  const stop = Interruption.current?.signal;
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--platform", "browser", "--import-map", importMap],
      ...[...options, "--output", output, entry],
    ],
    cwd: PROJECT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    detached: true, // Ctrl-C reaches this program only, which then ends the bundler
    ...(stop && { signal: stop }),
  });
  const { success, stdout, stderr } = await command.output();
  if (success) return;
  stop?.throwIfAborted();
  const said = [stdout, stderr].map((text) => new TextDecoder().decode(text)).join("\n");
  throw new UsageError(`cannot bundle ${entry}: ${said.trim().replaceAll(/\s+/g, " ")}`);
}

async function engineMap(file: string): Promise<string> {
  return JSON.stringify(leanMap(await Deno.readTextFile(file), new URL(`file://${file}`)));
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Returns the site whose page shows the software NIC of its server. */
export function attachedSite(site: Site): Site {
  const html = new TextDecoder().decode(site.get("index.html"));
  return new Map([...site, [
    "index.html",
    encode(html.replace("<html", '<html data-mode="attach"')),
  ]]);
}
