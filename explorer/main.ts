/**
 * The program `deno task explore`: builds the explorer, and serves it to browsers of this machine. With
 * `--build` it writes files for any web server instead.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { command } from "../programs/command_line.ts";
import { interruptible, type Interruption } from "../programs/interruption.ts";
import { flag, text, whole } from "../programs/options.ts";
import { err, out } from "../programs/output.ts";
import { run } from "../programs/run.ts";
import { hasDesktop, openBrowser } from "./server/browser.ts";
import { build } from "./server/build.ts";
import { gzip } from "./server/compression.ts";
import { checkDirectory, writeSite } from "./server/directory.ts";
import { WebServer } from "./server/server.ts";

/** What to do. */
interface Plan {
  /** Directory to write the files to, instead of serving them. */
  readonly directory: string | undefined;
  /** Port of the server; 0 for any free one, undefined for the default. */
  readonly port: number | undefined;
  /** Whether to open a browser. */
  readonly browser: boolean;
}

/** The command line. */
export const EXPLORE = command({
  start: "deno task explore",
  about: "Serves the explorer: a page on which driver and NIC are single-stepped in a browser.",
  options: {
    port: whole("TCP port of 127.0.0.1 to serve the page on", {
      ...{ value: "PORT", least: 0, most: 65535, default: undefined },
      values: "(default 8259 or, if that is in use, the next free one; 0: any free one)",
    }),
    "no-browser": flag("do not open a browser; none is opened without a desktop"),
    build: text(
      "instead of serving it, write the page to a new or empty directory, as files for any web server",
      "DIRECTORY",
      "a path",
    ),
  },
  notes: "Ctrl-C ends it.",
  plan({ values, named }): Plan {
    const { build: directory, port } = values;
    const needless = ["port", "no-browser"].find((name) => named.has(name));
    if (directory !== undefined && needless !== undefined) {
      throw new UsageError(`--build serves nothing: leave out --${needless}`);
    }
    return { directory, port, browser: !values["no-browser"] && hasDesktop() };
  },
});

async function main(plan: Plan, interruption: Interruption): Promise<number> {
  if (plan.directory !== undefined) return await write(plan.directory);
  await using server = await WebServer.start(await build(), plan.port);
  out.print(`the explorer is at ${server.url}`);
  if (plan.browser) openBrowser(server.url, err.print);
  await interruption.caught;
  return 0;
}

/** Writes the files to a directory; returns the exit code. */
async function write(directory: string): Promise<number> {
  await checkDirectory(directory); // before the build, which takes a moment
  const site = await build();
  await writeSite(site, directory);
  const compressed = await Promise.all([...site.values()].map(gzip));
  const bytes = compressed.reduce((sum, { length }) => sum + length, 0);
  out.print(
    `${directory} has the explorer's ${site.size} files (${Math.ceil(bytes / 1000)} KB compressed)`,
  );
  return 0;
}

if (import.meta.main) await run(EXPLORE, interruptible(main));
