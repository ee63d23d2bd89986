/**
 * Takes the pictures of the explorer that the README shows: `deno task explore:pictures`. It needs
 * Chromium.
 *
 * @module
 */

import { PROJECT } from "../support/processes.ts";
import { Rig } from "./browser/rig.ts";

/** Size of the pictures in pixels, and of the largest file in bytes: the repository keeps each version. */
const SIZE = { width: 1280, height: 800 }, MAX_BYTES = 300_000;

/** Pictures by file name: a lesson, and its step from 0. */
const PICTURES = {
  "explorer-initialisation.png": { lesson: "reset", step: 3 },
  "explorer-packet.png": { lesson: "wire-to-wire", step: 4 },
  "explorer-rule.png": { lesson: "reach", step: 3 },
} as const;

await using rig = await Rig.start();
for (const [name, { lesson, step }] of Object.entries(PICTURES)) {
  await using explorer = await rig.open(`lesson=${lesson}`);
  await explorer.page.setViewportSize(SIZE);
  for (let i = 0; i < step; i++) await explorer.press(".");
  const path = `${PROJECT}docs/${name}`;
  const { length } = await explorer.page.screenshot({ path });
  if (length > MAX_BYTES) throw new Error(`${path} has ${length} bytes, more than ${MAX_BYTES}`);
  console.log(`${path}: ${Math.round(length / 1000)} KB`);
}
