/**
 * Whether the page can be used by keyboard and screen reader, and read by weak eyes: the rules of WCAG 2
 * that axe can check. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import axe from "axe-core";
import { PROJECT } from "../../support/processes.ts";
import type { ExplorerPage } from "./explorer_page.ts";
import type { PageTests, Rig } from "./rig.ts";

/** Views that differ in what they show. */
const VIEWS = [
  "step=1",
  "lesson=wire-to-wire",
  "lesson=reach&step=2663",
  "x=queues:4;open;frame:0:jumbo",
  "x=device:virtio;open;frame:0:udp;round:0",
];

/** Tests by axe, in both schemes of colours. */
export const ACCESSIBILITY: PageTests = {
  "Names, roles and contrasts are as WCAG demands": checkViews,
};

async function checkViews(rig: Rig): Promise<void> {
  await using explorer = await rig.open();
  for (const view of VIEWS) {
    await explorer.page.goto("about:blank");
    await explorer.page.goto(`${rig.address}#${view}`);
    await explorer.recorded();
    await checkAccess(explorer, view);
  }
  const trace = `${PROJECT}tests/explorer/linux_ixgbe.trace`;
  await explorer.page.getByLabel("Trace file").setInputFiles(trace);
  await explorer.page.getByText("The trace's driver and this one").waitFor();
  await checkAccess(explorer, "a trace");
}

/** Fails if what the page shows breaks a rule, in light or in dark colours. */
export async function checkAccess({ page }: ExplorerPage, view: string): Promise<void> {
  await page.evaluate(axe.source);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const found = await page.evaluate<string[]>(`
      axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "best-practice"] }).then(({ violations }) =>
        violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`);
    assertEquals(found, [], `${view}, ${colorScheme}`);
  }
}
