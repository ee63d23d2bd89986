/** The examples of the wrappers: runs the one in their module, and checks it and the README's. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { readPcapng, writeCapture } from "../support/captures.ts";
import {
  Program,
  PROJECT,
  requirePackages,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { randomFrame } from "../support/programs.ts";

const FRAMES = 300;

/** Returns the module's example, with absolute imports. */
async function moduleExample(): Promise<string> {
  const text = await Deno.readTextFile(`${PROJECT}wrappers/mod.ts`);
  const example = /^ \* ```ts\n([^]*?)^ \* ```/m.exec(text);
  if (!example) throw new Error("wrappers/mod.ts has no example");
  return example[1].replace(/^ \* ?/gm, "").replace('"../mod.ts"', `"file://${PROJECT}mod.ts"`)
    .replace('"./mod.ts"', `"file://${PROJECT}wrappers/mod.ts"`);
}

Deno.test("The example of wrappers/mod.ts prints, captures and counts packets", async () => {
  await requirePackages("tshark");
  await using directory = await TemporaryDirectory.make();
  const input = directory.file("in.pcap"), capture = directory.file("line.pcapng");
  writeCapture(input, Array.from({ length: FRAMES }, () => randomFrame(60)));
  await Deno.writeTextFile(directory.file("example.ts"), await moduleExample());
  await using sim = await Sim.start(directory, [`pcap:in=${input}`]);
  const permissions = ["--allow-ffi", "--allow-write=line.pcapng"];
  const args = ["run", "--quiet", "--no-prompt", "--check", ...permissions, "example.ts"];
  const cwd = directory.path;
  await using program = Program.start([Deno.execPath(), ...args, ...sim.addresses], { cwd });
  await sim.reaches("a driver", ([{ connected }]) => connected);
  await sim.command("start");
  await until("most of the lines", () => program.stdout.split("\n").length > FRAMES / 2);
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stderr], [0, ""]);
  const last = /(\d+) of (\d+) packets lost, (\d+) damaged\n$/.exec(stdout);
  if (!last) throw new Error(`the last line counts nothing: ${stdout.slice(-200)}`);
  const [dropped, packets, corrupted] = last.slice(1).map(Number);
  assert(dropped > 0 && corrupted > 0 && packets > FRAMES / 2 && packets <= FRAMES, last[0]);
  const lines = stdout.trimEnd().split("\n").slice(0, -1);
  for (const line of lines) assertMatch(line, /^\d+\.\d{6} vfio-user:\S+ receive 0, 60 bytes: /);
  assertEquals(lines.length, packets - dropped);
  assertEquals((await readPcapng(capture)).length, packets - dropped);
  await sim.quit();
});
