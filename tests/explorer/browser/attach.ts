/**
 * The page on a live run: the explorer's software NIC, and `fwd.ts` as its driver in another process.
 * Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import { ffiOnly, Program, until } from "../../support/processes.ts";
import { DEADLINE_MS } from "./chromium.ts";
import { ExplorerPage } from "./explorer_page.ts";
import { explorer as start, type PageTests, type Rig } from "./rig.ts";

/** Tests of `--attach`. */
export const ATTACH: PageTests = {
  "A live fwd.ts is shown, and its device pauses, does one round, and goes on": attach,
};

/** Returns the text of the rings, which has their heads and tails. */
function rings(page: Page): Promise<string> {
  return page.getByRole("region", { name: "Rings" }).innerHTML();
}

async function attach(rig: Rig): Promise<void> {
  await using server = start("--attach", "--no-browser", "--port=0");
  const printed = async (pattern: RegExp) =>
    (await server.line((line) => pattern.test(line), DEADLINE_MS)).match(pattern)!;
  const [address] = await printed(/http:\/\/127\.0\.0\.1:\d+\//);
  const [, ...ports] = await printed(/fwd\.ts (\S+) (\S+)$/);
  await using explorer = await ExplorerPage.load(rig.browser, address);
  const { page } = explorer, status = page.getByRole("status");
  await page.getByText("Port 0: no driver.").waitFor();

  const forwarder = Program.start(ffiOnly("fwd.ts", ["--quiet", ...ports]));
  await using _ = forwarder;
  await page.getByText("Port 1: a driver is connected.").waitFor();
  const before = await rings(page);
  await until("the heads to move", async () => await rings(page) !== before, DEADLINE_MS);

  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused, ").waitFor();
  const paused = await rings(page), since = await status.innerText();
  await until("another state", async () => await status.innerText() !== since, DEADLINE_MS);
  assertEquals(await rings(page), paused);
  await page.getByRole("button", { name: "One round" }).click();
  await until("the round", async () => await rings(page) !== paused, DEADLINE_MS);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText("Running, ").waitFor();

  forwarder.kill("SIGINT");
  const { code, stderr } = await forwarder.finish(DEADLINE_MS);
  assertEquals([code, stderr], [0, ""]);
  await page.getByText("Port 0: no driver.").waitFor();
  assert(!server.ended);
  server.kill("SIGINT");
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assertMatch(await alert.innerText(), /^The server has ended\. /);
}
