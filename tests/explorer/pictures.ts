/**
 * Takes the pictures of the explorer that the README shows: `deno task explore:pictures`. It needs
 * Chromium.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import type { Page } from "playwright-core";
import { Program, PROJECT } from "../support/processes.ts";
import { ExplorerPage } from "./browser/explorer_page.ts";
import { Rig, serveLive } from "./browser/rig.ts";

/** Size of the pictures in pixels, and of the largest file in bytes: the repository keeps each version. */
const SIZE = { width: 1280, height: 780 }, MAX_BYTES = 300_000;

/** Pictures by file name: a lesson, and its step from 0. */
const LESSONS = {
  "explorer-initialisation.png": { lesson: "reset", step: 3 },
  "explorer-packet.png": { lesson: "wire-to-wire", step: 4 },
  "explorer-rule.png": { lesson: "reach", step: 3 },
} as const;
/** The picture of a live run, and seconds of it to show. */
const LIVE = "explorer-live.png", LIVE_SECONDS = 10;

async function take(page: Page, name: string): Promise<void> {
  const path = `${PROJECT}docs/${name}`, { length } = await page.screenshot({ path });
  if (length > MAX_BYTES) throw new Error(`${path} has ${length} bytes, more than ${MAX_BYTES}`);
  console.log(`${path}: ${Math.round(length / 1000)} KB`);
}

await using rig = await Rig.start();
for (const [name, { lesson, step }] of Object.entries(LESSONS)) {
  await using explorer = await rig.open(`lesson=${lesson}`);
  await explorer.page.setViewportSize(SIZE);
  for (let i = 0; i < step; i++) await explorer.press(".");
  await take(explorer.page, name);
}
await using stack = new AsyncDisposableStack();
const { address, forwarder } = await serveLive(stack);
stack.use(Program.start(forwarder));
await using live = await ExplorerPage.load(rig.browser, address, SIZE);
await delay(LIVE_SECONDS * 1000);
await take(live.page, LIVE);
