/**
 * The page on a live run: the explorer's software NIC, and `fwd.ts` as its driver in another process.
 * Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ffiOnly, Program, until } from "../../support/processes.ts";
import { ExplorerPage } from "./explorer_page.ts";
import { explorer as start, type PageTests, type Rig } from "./rig.ts";

/** Tests of `--attach`. */
export const ATTACH: PageTests = {
  "The page shows a live fwd.ts, pauses its NIC, and steps it": attach,
};

async function attach(rig: Rig): Promise<void> {
  await using server = start("--attach", "--no-browser", "--port=0");
  const printed = async (pattern: RegExp) =>
    (await server.line((line) => pattern.test(line))).match(pattern)!;
  const [address] = await printed(/http:\/\/127\.0\.0\.1:\d+\//);
  const [, first, second] = await printed(/fwd\.ts (\S+) (\S+)$/);
  await using forwarder = Program.start(ffiOnly("fwd.ts", ["--quiet", first, second]));
  await using explorer = await ExplorerPage.load(rig.browser, address);
  const { page } = explorer;
  await page.getByText("connected").first().waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
}
