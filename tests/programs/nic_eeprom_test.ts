/** `nic.ts eeprom`, on the software NIC. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  assertRefused,
  ffiOnly,
  Program,
  run,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";

Deno.test("nic.ts eeprom dumps the software NIC's EEPROM without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  const eeprom = async (options: string[], args: string[], flags: string[] = []) => {
    await using sim = await Sim.start(directory, ["none"], options);
    const found = await run(ffiOnly("nic.ts", ["eeprom", sim.addresses[0], ...args], flags));
    await sim.quit();
    return found;
  };
  // The words of its EEPROM, or of the shadow RAM that X540 and X550 have instead.
  for (const [id, words] of [["0x10fb", 1024], ["0x1528", 8192], ["0x1563", 8192]] as const) {
    const board = ["--device-id", id];
    const { code, stdout, stderr } = await eeprom(board, []);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^ {2}signature {5}valid\n {2}checksum {6}0x[0-9a-f]{4}, right$/m);
    assertMatch(stdout, /^ {2}MAC address {3}02:69:78:79:00:00$/m);
    assertMatch(stdout, /^ {2}board {9}SIM599-001$/m);
    assertMatch(stdout, /^0000 {2}4000( [0-9a-f]{4}){7}$/m);
    const json = JSON.parse((await eeprom(board, ["--json"])).stdout);
    assertEquals([json.checksum, json.words.length, json.words[0]], [json.computed, words, 0x4000]);
    const file = directory.file("raw");
    const raw = await eeprom(board, ["--raw", file], [`--allow-write=${file}`]);
    assertEquals(raw, { code: 0, stdout: "", stderr: "" });
    const bytes = new DataView((await Deno.readFile(file)).buffer);
    assertEquals(bytes.byteLength, 2 * words);
    for (const [i, word] of json.words.entries()) assertEquals(bytes.getUint16(2 * i, true), word);
  }
  const damaged = await eeprom(["--fault=damaged-eeprom"], []);
  assertEquals(damaged.code, 1);
  assertMatch(
    damaged.stdout,
    /^ {2}checksum {6}0x[0-9a-f]{4}, wrong: the words give 0x[0-9a-f]{4}$/m,
  );
  assertRefused(await eeprom([], ["--raw", "x"]), /x: no permission to write it/);
  assertRefused(await eeprom([], ["--raw", "x", "--json"]), /omit --json/);
  const held = await eeprom(["--fault=held-eeprom", "--device-id=0x1528"], []);
  assertRefused(held, /SW_FW_SYNC/);
});

Deno.test("nic.ts eeprom --raw names a file that takes no more, once", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const command = ffiOnly("nic.ts", ["eeprom", "--raw=-", sim.addresses[0]]);
  const full = await run(["sh", "-c", `exec "$@" >/dev/full`, "sh", ...command]);
  const sentence = "standard output: no space left on device: what is there is not complete";
  assertEquals(full, { code: 1, stdout: "", stderr: `error: ${sentence}\n` });
  await sim.quit();
});

Deno.test("nic.ts eeprom ends at a signal with a sentence, and leaves no rule broken", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace"),
    slow = ["--trace", trace, "--delays=bus=20", "--device-id=0x1563"];
  await using sim = await Sim.start(directory, ["none"], slow);
  await using program = Program.start(ffiOnly("nic.ts", ["eeprom", sim.addresses[0]]));
  await until("the first words", async () => / FLEX_MNG\[/.test(await Deno.readTextFile(trace)));
  program.kill("SIGTERM");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stdout], [143, ""], stderr);
  assertMatch(stderr, /^[^\n]*SIGTERM[^\n]*\n$/);
  const [last] = (await Deno.readTextFile(trace)).match(
    / write SW_FW_SYNC \S+(?!.* write SW_FW_SYNC)/s,
  )!;
  assertMatch(last, /0x0+$/, "the semaphore is free");
  await sim.quit();
});
