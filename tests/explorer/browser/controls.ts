/**
 * The player's buttons and keys. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { PageTests, Rig } from "./rig.ts";

/** Steps between the ones at which the views are compared. */
const STRIDE = 211;

/** Tests of moving. */
export const CONTROLS: PageTests = {
  "Stepping back shows the same as stepping there": stepBack,
  "Each key has its effect": pressKeys,
  "Play goes on by itself, and pause stops it": play,
};

async function stepBack(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=wire-to-wire");
  const end = await explorer.end();
  const numbers = Array.from({ length: Math.ceil(end / STRIDE) }, (_, i) => i * STRIDE);
  const there: string[] = [];
  for (const number of numbers) {
    await explorer.moveTo(number);
    there.push(await explorer.views());
  }
  assertEquals(new Set(there).size, there.length);
  await explorer.moveTo(end - 1);
  for (const number of numbers.toReversed()) {
    await explorer.moveTo(number);
    assertEquals(await explorer.views(), there.pop(), `step ${number}`);
  }
}

async function pressKeys(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=wire-to-wire");
  const end = await explorer.end();
  await explorer.press("Home");
  assertEquals(await explorer.position(), 0);
  await explorer.press("ArrowRight");
  await explorer.press("ArrowDown");
  assertEquals(await explorer.position(), 2);
  await explorer.press("ArrowLeft");
  assertEquals(await explorer.position(), 1);
  await explorer.press("PageDown");
  assertEquals(await explorer.position(), 21);
  await explorer.press("PageUp");
  assertEquals(await explorer.position(), 1);
  await explorer.press("End");
  assertEquals(await explorer.position(), end - 1);
  await explorer.press("?");
  const help = explorer.page.getByRole("dialog");
  assert(await help.isVisible());
  await explorer.press("Escape");
  assert(!await help.isVisible());
}

async function play(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=reset");
  await explorer.moveTo(0);
  await explorer.page.getByLabel("Speed").selectOption({ label: "60 steps/s" });
  await explorer.press("Space");
  await explorer.until("explorer.player.position > 10");
  await explorer.press("Space");
  const position = await explorer.position();
  await explorer.press("ArrowLeft");
  assertEquals(await explorer.position(), position - 1);
  assertEquals(await explorer.page.evaluate("explorer.player.speed"), 0);
}
