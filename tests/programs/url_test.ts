/**
 * Programs and library from a URL, without files on disk or configuration. The test serves the
 * checkout over HTTP, and Deno starts with an empty cache, outside the checkout. An import map
 * takes the JSR imports of programs from the same server; the library has none.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Offline, offline } from "../../vm/offline.ts";
import { PROJECT, type Result, run, Sim, TemporaryDirectory } from "../support/processes.ts";
import type { Totals } from "../support/programs.ts";

/** Serves the checkout, and the needed parts of the standard library, on a loopback port. */
class WebServer implements AsyncDisposable {
  /** Requested files that do not exist. */
  readonly missing: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #library: Promise<Offline>;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(new URL(request.url).pathname.slice(1)),
    );
    this.#library = offline(this.url("std"));
  }

  /** Host and port, in the form of permissions. */
  get host(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** Returns the URL of a file. */
  url(file: string): string {
    return `http://${this.host}/${file}`;
  }

  /** Writes an import map from JSR modules to this server. */
  async writeImportMap(file: string): Promise<void> {
    const { imports } = await this.#library;
    await Deno.writeTextFile(file, JSON.stringify({ imports }));
  }

  async #answer(file: string): Promise<Response> {
    const type = file.endsWith(".js") ? "application/javascript" : "application/typescript";
    try {
      const { files } = await this.#library;
      const content = files.get(file.replace(/^std\//, "")) ?? await Deno.readFile(PROJECT + file);
      return new Response(content, { headers: { "content-type": `${type}; charset=utf-8` } });
    } catch {
      this.missing.push(file);
      return new Response("not found", { status: 404 });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Runs a program from a URL, or one that imports from a URL, with an empty cache. */
async function deno(
  web: WebServer,
  directory: TemporaryDirectory,
  ...args: string[]
): Promise<Result> {
  const empty = directory.file("empty");
  await Deno.mkdir(empty);
  try {
    return await run(
      [Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", "--allow-ffi", ...args],
      { cwd: directory.path, env: { DENO_DIR: empty } },
    );
  } finally {
    await Deno.remove(empty, { recursive: true });
    assertEquals(web.missing, []);
  }
}

/** Runs the forwarder from a URL. */
async function fwd(
  web: WebServer,
  directory: TemporaryDirectory,
  ...args: string[]
): Promise<Result> {
  const map = directory.file("import_map.json");
  await web.writeImportMap(map);
  return await deno(web, directory, `--import-map=${map}`, web.url("fwd.ts"), ...args);
}

Deno.test("fwd.ts runs from a URL and prints its usage", async () => {
  await using directory = await TemporaryDirectory.make();
  await using web = new WebServer();
  const { code, stdout, stderr } = await fwd(web, directory, "--help");
  assertEquals(stderr, "");
  assertMatch(stdout, /^usage: /);
  assertEquals(code, 0);
});

for (const threads of [[], ["--queues=2", "--workers=2"]]) {
  Deno.test(
    ["fwd.ts", ...threads, "runs from a URL and forwards"].join(" "),
    () => forward(threads),
  );
}

async function forward(threads: readonly string[]): Promise<void> {
  await using directory = await TemporaryDirectory.make();
  await using web = new WebServer();
  await using sim = await Sim.start(directory, Array(2).fill("generator:rate=50000,flows=16"));
  await sim.command("start");
  const options = ["--json", "--quiet", "--seconds=1", ...threads];
  const result = await fwd(web, directory, ...options, ...sim.addresses);
  assertEquals(result.stderr, "");
  assertEquals(result.code, 0);
  const totals: Totals = JSON.parse(result.stdout.trim().split("\n").at(-1)!);
  for (const { rxPackets, txPackets } of totals.ports) {
    assert(rxPackets > 0);
    assert(txPackets > 0);
  }
  await sim.quit();
}

Deno.test("mod.ts can be imported from a URL", async () => {
  await using directory = await TemporaryDirectory.make();
  await using web = new WebServer();
  await using sim = await Sim.start(directory, ["none"]);
  const script = directory.file("link.ts");
  await Deno.writeTextFile(
    script,
    `import { open } from "${web.url("mod.ts")}";
using nic = await open(Deno.args[0]);
const { up, megabits } = await nic.waitForLink();
console.log(nic.model, up, megabits);
`,
  );
  const result = await deno(web, directory, `--allow-import=${web.host}`, script, ...sim.addresses);
  assertEquals(result.stderr, "");
  assertEquals(result.stdout, "82599 SFP+ true 10000\n");
  assertEquals(result.code, 0);
  await sim.quit();
});
