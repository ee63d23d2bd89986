/**
 * The programs and the library by URL: nothing on disk, no configuration, no import map. The checkout
 * is served over HTTP as it is, and Deno starts with an empty cache, outside the checkout.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { PROJECT, type Result, run, Sim, TemporaryDirectory } from "../support/processes.ts";
import type { Totals } from "../support/programs.ts";

/** The checkout on a port of its own on loopback. */
class WebServer implements AsyncDisposable {
  /** Files that were asked for and are not there. */
  readonly missing: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(new URL(request.url).pathname),
    );
  }

  /** Host and port, as permissions name them. */
  get host(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** The URL of a file. */
  url(file: string): string {
    return `http://${this.host}/${file}`;
  }

  async #answer(file: string): Promise<Response> {
    try {
      const type = file.endsWith(".json") ? "application/json" : "application/typescript";
      return new Response(await Deno.readFile(PROJECT + file.slice(1)), {
        headers: { "content-type": `${type}; charset=utf-8` },
      });
    } catch {
      this.missing.push(file);
      return new Response("not found", { status: 404 });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Runs a program by URL, or one that imports from a URL, with an empty cache. */
async function deno(
  web: WebServer,
  directory: TemporaryDirectory,
  ...args: string[]
): Promise<Result> {
  const empty = directory.file("empty");
  const permissions = ["--allow-ffi", `--allow-import=${web.host}`];
  await Deno.mkdir(empty);
  try {
    return await run(
      [Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", ...permissions, ...args],
      { cwd: directory.path, env: { DENO_DIR: empty } },
    );
  } finally {
    await Deno.remove(empty, { recursive: true });
    assertEquals(web.missing, []);
  }
}

Deno.test("fwd.ts runs by URL and prints its usage", async () => {
  await using directory = await TemporaryDirectory.make();
  await using web = new WebServer();
  const { code, stdout, stderr } = await deno(web, directory, web.url("fwd.ts"), "--help");
  assertEquals(stderr, "");
  assertMatch(stdout, /^usage: /);
  assertEquals(code, 0);
});

for (const threads of [[], ["--queues=2", "--workers=2"]]) {
  Deno.test(["fwd.ts", ...threads, "runs by URL and forwards"].join(" "), () => forward(threads));
}

async function forward(threads: readonly string[]): Promise<void> {
  await using directory = await TemporaryDirectory.make();
  await using web = new WebServer();
  await using sim = await Sim.start(directory, Array(2).fill("generator:rate=50000,flows=16"));
  await sim.command("start");
  const options = ["--json", "--quiet", "--seconds=1", ...threads];
  const result = await deno(web, directory, web.url("fwd.ts"), ...options, ...sim.addresses);
  assertEquals(result.stderr, "");
  assertEquals(result.code, 0);
  const totals: Totals = JSON.parse(result.stdout.trim().split("\n").at(-1)!);
  for (const { rxPackets, txPackets } of totals.ports) {
    assert(rxPackets > 0);
    assert(txPackets > 0);
  }
  await sim.quit();
}

Deno.test("mod.ts can be imported by URL", async () => {
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
  const result = await deno(web, directory, script, ...sim.addresses);
  assertEquals(result.stderr, "");
  assertEquals(result.stdout, "82599 SFP+ true 10000\n");
  assertEquals(result.code, 0);
  await sim.quit();
});
