/**
 * The player's buttons and keys. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Kind } from "../../../explorer/recording/step.ts";
import type { PageTests, Rig } from "./rig.ts";

/** Steps between the ones at which the views are compared. */
const STRIDE = 211;

/** An experiment that has a step for each jump, and others at both ends. */
const ALL_JUMPS =
  "x=ports:1,interrupts:true,promiscuous:false;open;interrupt:0;frame:0:udp;frame:0:foreign;" +
  "break:0:tail-beyond-end;receive:0;free;sleep:1";

/** The keys of jumps, and the kinds of steps that they lead to. */
const JUMPS: Readonly<Record<string, readonly Kind[]>> = {
  c: ["call"],
  r: ["read", "write"],
  f: ["arrive", "send"],
  d: ["drop"],
  i: ["cause", "interrupt"],
  v: ["violation"],
};

/** Tests of moving. */
export const CONTROLS: PageTests = {
  "Stepping back shows the same as stepping there": stepBack,
  "Each key has its effect": pressKeys,
  "Keys jump to the next and the previous step of a kind": jump,
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
  await explorer.page.evaluate(
    "explorer.player.moveTo(explorer.index.runs.find((r) => r.period).from)",
  );
  const rows = () => explorer.page.evaluate<number>("explorer.index.rows.length"),
    folded = await rows();
  await explorer.press("u");
  assert(await rows() > folded);
  await explorer.press("u");
  assertEquals(await rows(), folded);
  await explorer.press("?");
  const help = explorer.page.getByRole("dialog");
  assert(await help.isVisible());
  await explorer.press("Escape");
  assert(!await help.isVisible());
}

async function jump(rig: Rig): Promise<void> {
  await using explorer = await rig.open(ALL_JUMPS);
  const end = await explorer.end();
  const press = async (...keys: string[]) => {
    for (const key of keys) await explorer.press(key);
    return explorer.position();
  };
  for (const [key, kinds] of Object.entries(JUMPS)) {
    const first = await press("Home", key), last = await press("End", `Shift+${key.toUpperCase()}`);
    assert(0 < first && first <= last && last < end - 1, `${key}: steps ${first} and ${last}`);
    for (const step of [first, last]) {
      const kind = await explorer.page.evaluate<Kind>(
        `explorer.player.recording.at(${step}).kind`,
      );
      assert(kinds.includes(kind), `${key}: step ${step} is ${kind}`);
    }
  }
  const arrival = await press("Home", "f"), next = await press("n");
  assert(next > arrival);
  assertEquals(await explorer.page.evaluate("explorer.player.step.frame"), 1);
  assertEquals(await press("Shift+N"), arrival);
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
