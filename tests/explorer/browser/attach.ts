/**
 * The page on a live run: the explorer's software NIC, and `fwd.ts` as its driver in another process.
 * Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import { Program, until } from "../../support/processes.ts";
import { DEADLINE_MS } from "./chromium.ts";
import { checkAccess } from "./accessibility.ts";
import { ExplorerPage } from "./explorer_page.ts";
import { type PageTests, type Rig, serveLive } from "./rig.ts";

/** Tests of `--attach`. */
export const ATTACH: PageTests = {
  "A live fwd.ts is shown, and its device pauses, does one round, and goes on": attach,
};

/** Returns the heads of all rings as the page shows them: only the device moves them. */
async function heads(page: Page): Promise<string> {
  const rings = await page.getByRole("region", { name: "Rings" }).textContent() ?? "";
  const found = rings.match(/[RT]DH\s*\d+/g) ?? [];
  assert(found.length > 0, rings);
  // A name near another one is in two lines, and the driver moves the tail's while the device pauses.
  return found.map((head) => head.replace(/\s/, "")).join();
}

async function attach(rig: Rig): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { program: server, address, forwarder: command } = await serveLive(stack);
  await using explorer = await ExplorerPage.load(rig.browser, address);
  const { page } = explorer, status = page.getByRole("status");
  await page.getByText("Port 0: no driver.").waitFor();

  const forwarder = stack.use(Program.start(command));
  await page.getByText("Port 1: a driver is connected.").waitFor();
  const before = await heads(page);
  await until("the heads to move", async () => await heads(page) !== before, DEADLINE_MS);

  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused, ").waitFor();
  const paused = await heads(page), since = await status.innerText();
  await until("another state", async () => await status.innerText() !== since, DEADLINE_MS);
  assertEquals(await heads(page), paused);
  await checkAccess(explorer, "a live run");
  await page.getByRole("button", { name: "One round" }).click();
  await until("the round", async () => await heads(page) !== paused, DEADLINE_MS);
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
