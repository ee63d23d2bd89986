/** The program `deno task explore`: how it starts, what it refuses, and how it ends. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { EXPLORE } from "../../explorer/main.ts";
import { NAMES } from "../../explorer/server/build.ts";
import { checkDirectory } from "../../explorer/server/directory.ts";
import { parse } from "../../programs/command_line.ts";
import { UsageError } from "../../src/errors.ts";
import {
  assertRefused,
  Program,
  PROJECT,
  type Result,
  run,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";

const { tasks } = JSON.parse(await Deno.readTextFile(`${PROJECT}deno.json`));
/** No desktop, so that no test opens a browser. */
const HEADLESS = { DISPLAY: "", WAYLAND_DISPLAY: "", NO_COLOR: "1" };

/** The command line of the task, with its permissions. */
function explore(...args: string[]): string[] {
  const [, ...words] = (tasks.explore as string).split(" ");
  return [Deno.execPath(), ...words, ...args];
}

/** Runs the program to its end. */
function end(...args: string[]): Promise<Result> {
  return run(explore(...args), { cwd: PROJECT, env: HEADLESS });
}

/** Starts the program, and waits for the page's address. */
async function start(
  args: readonly string[] = [],
  env: Record<string, string> = HEADLESS,
): Promise<{ program: Program; url: string }> {
  const program = Program.start(explore("--port", "0", ...args), { cwd: PROJECT, env });
  const line = await program.line((line) => line.includes("http://"));
  return { program, url: line.slice(line.indexOf("http://")) };
}

Deno.test("explore serves the page until Ctrl-C", async () => {
  const { program, url } = await start();
  await using ended = program;
  const page = await fetch(url);
  assertMatch(await page.text(), /<html lang="en"/);
  ended.kill("SIGINT");
  const result = await ended.finish();
  assertEquals([result.code, result.stderr], [0, ""]);
});

Deno.test("explore ends at Ctrl-C also while it builds", async () => {
  await using program = Program.start(explore("--port", "0"), { cwd: PROJECT, env: HEADLESS });
  await until("the bundler", async () => {
    const list = `/proc/${program.pid}/task/${program.pid}/children`;
    return (await Deno.readTextFile(list)) !== "";
  });
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stdout, stderr], [130, "", ""]);
});

Deno.test("explore --attach prints what drives its ports, and removes their sockets at its end", async () => {
  const { program, url } = await start(["--attach"]);
  await using ended = program;
  const page = await fetch(url);
  assertMatch(await page.text(), /<html data-mode="attach"/);
  const line = await ended.line((line) => line.includes("fwd.ts"));
  const [, a, b] = /fwd\.ts vfio-user:(\S+) vfio-user:(\S+)$/.exec(line)!;
  for (const socket of [a, b]) assert(Deno.statSync(socket).isSocket);
  const directory = a.slice(0, a.lastIndexOf("/"));
  assertEquals(Deno.statSync(directory).mode! & 0o777, 0o700);
  ended.kill("SIGTERM");
  assertEquals((await ended.finish()).code, 0);
  assertEquals(await exists(directory), false);
});

Deno.test("explore opens a browser where there is a desktop, unless told not to", async () => {
  await using directory = await TemporaryDirectory.make();
  const opened = directory.file("opened");
  const script = `#!/bin/sh\necho "$1" > ${opened}.new\n/bin/mv ${opened}.new ${opened}\n`;
  await Deno.writeTextFile(directory.file("xdg-open"), script, { mode: 0o700 });
  const env = { ...HEADLESS, DISPLAY: ":9", PATH: directory.path };
  const { program, url } = await start([], env);
  await using _ended = program;
  await until("the browser", () => exists(opened));
  assertEquals(await Deno.readTextFile(opened), `${url}\n`);
  await Deno.remove(opened);

  const { program: quiet } = await start(["--no-browser"], env);
  quiet.kill("SIGTERM");
  assertEquals(await quiet.finish(), { code: 0, stdout: quiet.stdout, stderr: "" });
  assertEquals(await exists(opened), false);
});

Deno.test("explore says why no browser was opened, and serves the page", async () => {
  await using directory = await TemporaryDirectory.make();
  const env = { ...HEADLESS, WAYLAND_DISPLAY: "w", PATH: directory.path };
  const complaint = async (why: string) => {
    const { program, url } = await start([], env);
    await using _ended = program;
    const sentence = `no browser was opened (${why}): open ${url} in one\n`;
    await until(() => `${sentence} in ${program.stderr}`, () => program.stderr === sentence);
    await (await fetch(url)).body!.cancel();
  };
  await complaint("xdg-open is not installed");
  await Deno.writeTextFile(directory.file("xdg-open"), "#!/bin/sh\nexit 3\n", { mode: 0o700 });
  await complaint("xdg-open ended with exit code 3");
});

Deno.test("explore --build writes files to a new directory or its own, and to no other", async () => {
  await using directory = await TemporaryDirectory.make();
  const site = directory.file("deep/site");
  const { code, stdout, stderr } = await end("--build", site);
  assertEquals([code, stderr], [0, ""]);
  const [, size] = /site has the explorer's 6 files \((\d+) KB compressed by Brotli\)\n$/.exec(
    stdout,
  )!;
  assert(Number(size) < 500, `${size} KB`);
  assertEquals([...Deno.readDirSync(site)].map(({ name }) => name).sort(), [...NAMES].sort());
  await checkDirectory(site); // it may be written again
  await checkDirectory(directory.file("new"));
  const refuse = (path: string, sentence: string) =>
    assertRejects(() => checkDirectory(path), UsageError, sentence);
  const other = directory.file("deep");
  await refuse(other, `--build ${other}: has site, which is not the explorer's`);
  await refuse(`${site}/page.js`, "page.js: is not a directory");
  await Deno.remove(`${site}/page.js`);
  await Deno.symlink(`${PROJECT}deno.json`, `${site}/page.js`);
  await refuse(site, "has page.js, which is not the explorer's");
  assertRefused(await end("--build", other), /--build .*deep: has site, which is not/);
});

Deno.test("explore refuses a port in use", async () => {
  using used = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = String((used.addr as Deno.NetAddr).port);
  assertRefused(await end("--port", port), /port \d+ of 127\.0\.0\.1 is in use: give another/);
});

const REFUSED: readonly [args: string[], sentence: string][] = [
  [["--port", "65536"], "--port"],
  [["--build", ""], "--build"],
  [["--build", "x", "--port", "1"], "--build serves nothing: leave out --port"],
  [["--build", "x", "--attach"], "--build serves nothing: leave out --attach"],
  [["--wire", "none"], "--wire is for a software NIC: add --attach"],
  [["--device-id", "0x1528"], "--device-id is for a software NIC: add --attach"],
  [["--attach", "--wire", "none"], "--wire belongs to a port: give --socket PATH before it"],
  [["--attach", "--device-id", "x"], "--device-id x"],
  [["page"], "page"],
];

Deno.test("explore refuses options that contradict each other", () => {
  for (const [args, sentence] of REFUSED) {
    assertThrows(() => parse(EXPLORE, args), UsageError, sentence);
  }
});

async function exists(file: string): Promise<boolean> {
  try {
    await Deno.lstat(file);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
