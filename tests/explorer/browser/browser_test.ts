/**
 * The explorer's page in Chromium, which all tests share. It is not in the suite of the other tests:
 * `deno task test browser`.
 *
 * @module
 */

import { ACCESSIBILITY } from "./accessibility.ts";
import { ATTACH } from "./attach.ts";
import { hasChromium } from "./chromium.ts";
import { CONTROLS } from "./controls.ts";
import { LESSON_PAGES } from "./lesson_pages.ts";
import { LINKS } from "./links.ts";
import { EXPORTS } from "./exports.ts";
import { Rig } from "./rig.ts";
import { SPEED } from "./speed.ts";
import { TRACES } from "./traces.ts";

const installed = await hasChromium();
if (!installed) console.log("not run: tests of the page: install the package chromium to run them");

Deno.test({
  name: "The explorer's page works in Chromium",
  ignore: !installed,
  async fn(t) {
    await using rig = await Rig.start();
    const groups = [SPEED, LESSON_PAGES, CONTROLS, ACCESSIBILITY, LINKS, EXPORTS, TRACES, ATTACH];
    for (const group of groups) {
      for (const [name, test] of Object.entries(group)) {
        await t.step(name, async (t) => {
          const figures = await test(rig);
          // A name is the only text of a test that `deno test --quiet` shows.
          if (figures) await t.step(figures, () => {});
        });
      }
    }
  },
});
