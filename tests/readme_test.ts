/** The README's example, run as it stands there. */

import { assertEquals, assertMatch } from "@std/assert";
import { writeCapture } from "./support/captures.ts";
import { Program, PROJECT, Sim, TemporaryDirectory } from "./support/processes.ts";
import { randomFrame } from "./support/programs.ts";

/** Fewer than a ring has descriptors: none can be lost, however late who forwards them may be. */
const FRAMES = 300;

Deno.test("The README's example forwards and ends at SIGINT", async () => {
  await using directory = await TemporaryDirectory.make();
  const readme = await Deno.readTextFile(`${PROJECT}README.md`);
  const example = /```ts\n(import \{ Mempool[^]*?)```/.exec(readme);
  if (!example) throw new Error("the README has no example");
  const file = directory.file("example.ts");
  const module = new URL("../mod.ts", import.meta.url).href;
  await Deno.writeTextFile(file, example[1].replace('"./mod.ts"', JSON.stringify(module)));

  const input = directory.file("in.pcap");
  writeCapture(input, Array.from({ length: FRAMES }, () => randomFrame(60)));
  await using sim = await Sim.start(directory, [`pcap:in=${input}`, "none"]);
  const args = ["run", "--quiet", "--no-prompt", "--check", "--allow-ffi", file, ...sim.addresses];
  await using program = Program.start([Deno.execPath(), ...args]);
  assertMatch(await program.line(() => true), /is an 82599 SFP\+, link 10000 Mbit\/s$/);
  await sim.command("start");
  await sim.reaches("every frame", ([, port]) => port.counters.transmitted === FRAMES);
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, new RegExp(`\nreceived ${FRAMES}, sent ${FRAMES}\n$`));
  await sim.quit();
});
