/**
 * How long the page takes. The figures are reported, and not asserted: the machine may be busy.
 * Not a test itself.
 *
 * @module
 */

import { assert } from "@std/assert";
import { ExplorerPage } from "./explorer_page.ts";
import type { PageTests, Rig } from "./rig.ts";

/** Two ports' initialisation, and 100 packets from one to the other. */
const HUNDRED = `x=;open${";frame:0:udp:8;round:0;forward:0;round:1;reclaim:1".repeat(13)}`;

/** Steps at its end that are shown one by one. */
const STEPS = 500;

/** Tests whose figures are of interest. */
export const SPEED: PageTests = {
  "The page loads": load,
  "The page shows an initialisation and 100 packets step by step": stepThrough,
};

async function load(rig: Rig): Promise<string> {
  await using explorer = await ExplorerPage.load(rig.browser, rig.address);
  await explorer.until("explorer.player.position >= 0");
  const shown = await explorer.page.evaluate<number>("performance.now()");
  await explorer.recorded();
  const bytes = await explorer.page.evaluate<number>(
    "performance.getEntries().reduce((sum, { transferSize = 0 }) => sum + transferSize, 0)",
  );
  const kilobytes = (bytes / 1000).toFixed(0);
  return `the first step after ${shown.toFixed(0)} ms, ${kilobytes} KB over the connection`;
}

async function stepThrough(rig: Rig): Promise<string> {
  await using explorer = await rig.open(HUNDRED);
  const end = await explorer.end();
  assert(end > 100 * 10 + STEPS);
  const milliseconds = await explorer.page.evaluate<number>(`(async () => {
    const since = performance.now();
    for (let step = ${end - STEPS}; step < ${end}; step++) {
      explorer.player.moveTo(step);
      await Promise.resolve();
      document.body.offsetHeight; // lays the page out
    }
    return performance.now() - since;
  })()`);
  const rate = STEPS / milliseconds * 1000;
  return `${rate.toFixed(0)} steps a second, each laid out, at the end of ${end} steps`;
}
