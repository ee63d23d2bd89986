/**
 * The process of one target, which `main.ts` starts: prints what it did as JSON.
 *
 * @module
 */

import { mapProgress } from "./progress.ts";
import { search } from "./search.ts";
import { TARGETS } from "./targets.ts";

const [name, seed, milliseconds, file] = Deno.args;
const progress = new Uint32Array(mapProgress(file).buffer);
let stopped = false;
Deno.addSignalListener("SIGINT", () => stopped = true);
const outcome = await search(TARGETS.find((target) => target.name === name)!, {
  seed: Number(seed),
  milliseconds: Number(milliseconds),
  before: (attempt) => progress[0] = attempt,
  stopped: () => stopped,
});
console.log(JSON.stringify(outcome));
Deno.exit(0);
