/** The README's example, run as it stands there. */

import { assertEquals, assertMatch } from "@std/assert";
import { Program, PROJECT, Sim, TemporaryDirectory, until } from "./processes.ts";

Deno.test("The README's example forwards and ends at SIGINT", async () => {
  await using directory = await TemporaryDirectory.make();
  const readme = await Deno.readTextFile(`${PROJECT}README.md`);
  const example = /```ts\n(import \{ Mempool[^]*?)```/.exec(readme);
  if (!example) throw new Error("the README has no example");
  const file = directory.file("example.ts");
  const module = new URL("../mod.ts", import.meta.url).href;
  await Deno.writeTextFile(file, example[1].replace('"./mod.ts"', JSON.stringify(module)));

  await using sim = await Sim.start(directory, ["generator:rate=20000", "none"]);
  const args = ["run", "--quiet", "--no-prompt", "--check", "--allow-ffi", file, ...sim.addresses];
  await using program = Program.start([Deno.execPath(), ...args]);
  assertMatch(await program.line(() => true), /is an 82599 SFP\+, link 10000 Mbit\/s$/);
  await sim.command("start");
  await until("frames that were sent", async () => {
    return (await sim.report()).ports[1].counters.transmitted > 1000;
  });
  await sim.drain();
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stderr], [0, ""]);
  const ports = await sim.quit();
  const { received } = ports[0].counters, { transmitted } = ports[1].counters;
  assertMatch(stdout, new RegExp(`\nreceived ${received}, sent ${transmitted}\n$`));
});
