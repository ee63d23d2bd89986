/** Checks that `README.md` shows files as they are. */

import { assert } from "@std/assert";
import { PROJECT } from "./support/processes.ts";

Deno.test("README.md shows example.ts as it is", async () => {
  const readme = await Deno.readTextFile(`${PROJECT}README.md`);
  const example = await Deno.readTextFile(`${PROJECT}example.ts`);
  assert(
    readme.includes("```ts\n" + example + "```\n"),
    "the program under “As a module” in README.md is not example.ts: replace it by that file",
  );
});
