/**
 * Links to steps, good and bad ones, and where the page works. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DEADLINE_MS } from "./chromium.ts";
import { ExplorerPage } from "./explorer_page.ts";
import { explorer as start, type PageTests, type Rig } from "./rig.ts";
import { Program } from "../../support/processes.ts";

/** Tests of addresses. */
export const LINKS: PageTests = {
  "The address points at the step that is shown, also after a reload": reload,
  "A link to an experiment records it": openExperiment,
  "A bad link gives a sentence and the first experiment": openBad,
  "The static build works from an ordinary web server": openStatic,
  "A narrow window says how wide it must be": openNarrow,
};

async function reload(rig: Rig): Promise<void> {
  await using explorer = await rig.open("lesson=descriptor-done");
  await explorer.moveTo(40);
  const title = await explorer.title();
  await explorer.page.waitForURL(/#lesson=descriptor-done&step=41$/);
  await explorer.page.reload();
  await explorer.recorded();
  assertEquals([await explorer.position(), await explorer.title()], [40, title]);
}

async function openExperiment(rig: Rig): Promise<void> {
  await using explorer = await rig.open("x=ports:1,entries:128;open;frame:0:vlan;round:0&step=30");
  assertEquals(await explorer.position(), 29);
  const experiment = await explorer.page.evaluate<Record<string, unknown>>("explorer.experiment");
  assertEquals([experiment.ports, experiment.entries], [1, 128]);
}

async function openBad(rig: Rig): Promise<void> {
  await using explorer = await rig.open();
  const { page } = explorer, alert = page.getByRole("alert");
  for (
    const link of ["lesson=none", "x=entries:65;open", "x=entries:64;dance", "step=one", "y=1"]
  ) {
    await page.goto(`${rig.address}#${link}`);
    await alert.waitFor();
    await explorer.recorded();
    assertMatch(await alert.innerText(), /^[A-Z`"].*\./, link);
    await alert.getByRole("button").click();
  }
}

async function openStatic(rig: Rig): Promise<void> {
  const site = rig.directory.file("site");
  await using build = start("--build", site);
  const { code, stderr } = await build.finish(DEADLINE_MS);
  assertEquals([code, stderr], [0, ""]);
  const command = ["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"];
  await using server = Program.start(command, { cwd: site });
  const port =
    (await server.line((line) => line.startsWith("Serving"), DEADLINE_MS)).match(/port (\d+)/)![1];
  await using explorer = await ExplorerPage.open(
    rig.browser,
    `http://127.0.0.1:${port}/#lesson=descriptor-done`,
  );
  assertEquals((await explorer.lesson()).current, 0);
}

async function openNarrow(rig: Rig): Promise<void> {
  const window = { width: 1200, height: 800 };
  await using explorer = await ExplorerPage.load(rig.browser, rig.address, window);
  const sentence = explorer.page.getByText(/at least 1280 pixels/);
  assert(await sentence.isVisible());
  assert(!await explorer.page.getByRole("main").isVisible());
  await explorer.page.setViewportSize({ ...window, width: 1280 });
  assert(!await sentence.isVisible());
  assert(await explorer.page.getByRole("main").isVisible());
}
