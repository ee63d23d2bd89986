/**
 * Traces that `sim --trace` wrote, opened in the page. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { PROJECT } from "../../support/processes.ts";
import type { PageTests, Rig } from "./rig.ts";

/** Register accesses of Linux's driver, which `tests/explorer/record_linux.ts` recorded. */
const LINUX = `${PROJECT}tests/explorer/linux_ixgbe.trace`;

/** Tests of traces. */
export const TRACES: PageTests = {
  "A trace of Linux's driver is read and played": openLinux,
  "A damaged trace gives a sentence with the line": openDamaged,
};

async function openLinux(rig: Rig): Promise<void> {
  await using explorer = await rig.open();
  const { page } = explorer;
  await page.getByLabel("Trace file").setInputFiles(LINUX);
  await page.getByRole("heading", { name: "linux_ixgbe.trace" }).waitFor();
  assert(await explorer.end() > 900);
  await page.getByText("This driver's initialisation is recorded").waitFor({ state: "hidden" });
  await explorer.page.evaluate(
    "explorer.player.moveTo(explorer.player.recording.find(0, (s) => s.title === 'write FCTRL'))",
  );
  const written = page.getByRole("region", { name: "Values written to FCTRL" });
  assertMatch(
    await written.innerText(),
    /this driver\s+0x00000700\s+difference\s+UPE: 0 there, 1 here/,
  );
  await explorer.press("Home");
  const first = await explorer.views();
  for (let i = 0; i < 60; i++) await explorer.press("ArrowRight");
  assertEquals(await explorer.position(), 60);
  await explorer.press("Home");
  assertEquals(await explorer.views(), first);
  await page.getByRole("button", { name: "Close trace" }).click();
  await explorer.recorded();
}

async function openDamaged(rig: Rig): Promise<void> {
  await using explorer = await rig.open();
  const lines = (await Deno.readTextFile(LINUX)).split("\n");
  const file = rig.directory.file("damaged.trace");
  await Deno.writeTextFile(file, [...lines.slice(0, 6), "0.4 read"].join("\n"));
  await explorer.page.getByLabel("Trace file").setInputFiles(file);
  assertMatch(await explorer.page.getByRole("alert").innerText(), /line 7\b/);
  assertEquals(await explorer.page.evaluate("explorer.trace"), undefined);
}
