/** What `README.md` shows, held against the files that it shows. */

import { assert } from "@std/assert";
import { PROJECT } from "./support/processes.ts";

Deno.test("README.md shows example.ts as it is", async () => {
  const readme = await Deno.readTextFile(`${PROJECT}README.md`);
  const example = await Deno.readTextFile(`${PROJECT}example.ts`);
  assert(
    readme.includes("```ts\n" + example + "```\n"),
    "README.md shows another program under “As a module” than example.ts: replace it by the file",
  );
});
