/** `nic.ts identify`, on the software NIC and on a directory tree like the kernel's. */

import { assertEquals, assertMatch } from "@std/assert";
import { REGISTERS } from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import { blinkLed } from "../../nic/led.ts";
import { ffiOnly, Program, run, Sim, TemporaryDirectory, until } from "../support/processes.ts";
import { BAR_BYTES, CARD, DEVICES, Tree } from "../support/pci_tree.ts";

Deno.test("nic.ts identify blinks the LED, and restores it, also at SIGINT", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace");
  for (const id of ["0x10fb", "0x1528", "0x1563"]) {
    await using sim = await Sim.start(directory, ["none"], ["--trace", trace, "--device-id", id]);
    const args = ["identify", "--json", "--seconds=0.8", sim.addresses[0]];
    const { code, stdout, stderr } = await run(ffiOnly("nic.ts", args));
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout).led, 2);
    await using endless = Program.start(ffiOnly("nic.ts", ["identify", sim.addresses[0]]));
    await until("the LED", async () => /00000000 000e0000 000f0000/.test(await ledsOf(trace)));
    endless.kill("SIGINT");
    assertEquals((await endless.finish()).code, 0);
    await sim.quit();
    const [first, second, end] = (await ledsOf(trace)).split("00000000");
    for (const blinks of [first, second]) {
      assertMatch(blinks, /^ ?(000e0000 000f0000 )+(000e0000 )?$/, "on, off, on, …");
    }
    assertEquals(end, "", "and then as before");
  }
});

/** Returns what was written to LEDCTL. */
async function ledsOf(trace: string): Promise<string> {
  const text = await Deno.readTextFile(trace);
  const written = text.matchAll(/ write LEDCTL 0x([0-9a-f]{8})/g);
  return Array.from(written, ([, value]) => value).join(" ");
}

Deno.test("blinkLed() blinks the LED for activity of the link, and changes no other", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  const bar = new Uint32Array(BAR_BYTES / 4);
  bar[offsetOf(REGISTERS.LEDCTL) / 4] = 0x05044203;
  tree.write(`${DEVICES}/${CARD}/resource0`, new Uint8Array(bar.buffer));
  const file = `${tree.root}${DEVICES}/${CARD}/resource0`;
  const led = () => new Uint32Array(Deno.readFileSync(file).buffer)[offsetOf(REGISTERS.LEDCTL) / 4];
  const seen: number[] = [];
  let looks = 0;
  const report = await blinkLed(tree.system, CARD, 60, () => {
    seen.push(led());
    return ++looks > 1;
  });
  assertEquals([report.led, report.blinks, led()], [2, 1, 0x05044203]);
  assertEquals(seen, [0x05044203, 0x050e4203, 0x050e4203]);
});
