/**
 * The program `deno task explore`: builds the explorer, and serves it to browsers of this machine. With
 * `--attach`, the page shows a software NIC of this process, which a driver of another process uses.
 * With `--build`, the program writes files for any web server instead.
 *
 * Exit codes: 0; 2 if an option is wrong, a port cannot be opened, or the page cannot be built.
 *
 * @module
 */

import { shellWord, visible } from "../native/files.ts";
import { command } from "../programs/command_line.ts";
import { interruptible, type Interruption } from "../programs/interruption.ts";
import { flag, text, whole } from "../programs/options.ts";
import { err, out } from "../programs/output.ts";
import { run } from "../programs/run.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { SIM } from "../sim/options.ts";
import { UsageError } from "../src/errors.ts";
import {
  ATTACH_OPTIONS,
  type Attached,
  attachedOf,
  attachOptionsIn,
  inDirectory,
} from "./attach_options.ts";
import { hasDesktop, openBrowser } from "./server/browser.ts";
import { attachedSite, build } from "./server/build.ts";
import { compress } from "./server/compression.ts";
import { checkDirectory, writeSite } from "./server/directory.ts";
import { addressesOf, LiveModel } from "./server/live/live_model.ts";
import { WebServer } from "./server/server.ts";

/** What to do. */
interface Plan {
  /** Directory to write the files to, instead of serving them. */
  readonly directory: string | undefined;
  /** The software NIC to show. */
  readonly attached: Attached | undefined;
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
    attach: flag(
      "show a software NIC that another process drives; the options below are for it (default: two " +
        "ports with generators)",
    ),
    ...ATTACH_OPTIONS,
  },
  notes: `\`${SIM.start} --help\` lists the kinds of WIRE. Ctrl-C ends the program.`,
  plan(given): Plan {
    const { values, named } = given, { build: directory, port } = values;
    const [needsAttach] = attachOptionsIn(given);
    if (needsAttach !== undefined && !values.attach) {
      throw new UsageError(`--${needsAttach} is for a software NIC: add --attach`);
    }
    const serving = ["port", "no-browser", "attach"].find((name) => named.has(name));
    if (directory !== undefined && serving !== undefined) {
      throw new UsageError(`--build serves nothing: leave out --${serving}`);
    }
    return {
      directory,
      attached: values.attach ? attachedOf(given) : undefined,
      port,
      browser: !values["no-browser"] && hasDesktop(),
    };
  },
});

async function main(plan: Plan, interruption: Interruption): Promise<number> {
  if (plan.directory !== undefined) await write(plan.directory);
  else if (plan.attached !== undefined) await attach(plan, plan.attached, interruption);
  else await serve(plan, interruption);
  return 0;
}

/** Writes the files to a directory. */
async function write(directory: string): Promise<void> {
  await checkDirectory(directory); // before the build, which takes a moment
  const site = await build();
  await writeSite(site, directory);
  const compressed = await Promise.all([...site.values()].map(compress));
  const bytes = compressed.reduce((sum, { br }) => sum + br.length, 0);
  out.print(
    `${visible(directory)} has the explorer's ${site.size} files ` +
      `(${Math.ceil(bytes / 1000)} KB compressed by Brotli)`,
  );
}

/** Serves the page until a signal arrives. */
async function serve({ port, browser }: Plan, interruption: Interruption): Promise<void> {
  await using server = await WebServer.start(await build(), port);
  present(server, browser);
  await Promise.race([interruption.caught, server.ended]);
}

/** Serves the page on a software NIC until a signal arrives. */
async function attach(
  { port, browser }: Plan,
  { options, temporary }: Attached,
  interruption: Interruption,
): Promise<void> {
  await using directory = temporary ? await TemporaryDirectory.make() : null;
  const placed = directory ? inDirectory(options, (name) => directory.file(name)) : options;
  await using model = await LiveModel.start(placed);
  const site = attachedSite(await build());
  await using server = await WebServer.start(site, port, (socket) => model.take(socket));
  using _ = { [Symbol.dispose]: () => model.dismiss() }; // the server would break connections off
  present(server, browser);
  const words = addressesOf(placed).map(shellWord);
  out.print(`start a driver in another terminal: deno run --allow-ffi fwd.ts ${words.join(" ")}`);
  await Promise.race([interruption.caught, model.ended, server.ended]);
}

/** Prints the address, and opens a browser. */
function present({ url }: WebServer, browser: boolean): void {
  out.print(`the explorer is at ${url}`);
  if (browser) openBrowser(url, err.print);
}

if (import.meta.main) await run(EXPLORE, interruptible(main));
