/**
 * The process of one target, which `main.ts` starts: searches, and prints what it did as JSON; or prints
 * the case of a seed; or replays a case.
 *
 * @module
 */

import { mapProgress } from "./progress.ts";
import { search } from "./search.ts";
import { TARGETS } from "./targets.ts";

const [name, what, ...args] = Deno.args;
const target = TARGETS.find((target) => target.name === name)!;

async function searches(seed: number, milliseconds: number, file: string): Promise<void> {
  const progress = new Uint32Array(mapProgress(file).buffer);
  let stopped = false;
  Deno.addSignalListener("SIGINT", () => stopped = true);
  const outcome = await search(target, {
    seed,
    milliseconds,
    before: (attempt) => progress[0] = attempt,
    stopped: () => stopped,
  });
  console.log(JSON.stringify(outcome));
}

if (what === "search") {
  await searches(Number(args[0]), Number(args[1]), args[2]);
} else {
  await using fuzzer = await target.open();
  if (what === "replay") await fuzzer.replay(JSON.parse(Deno.readTextFileSync(args[0])));
  else console.log(JSON.stringify(fuzzer.generate?.(Number(args[0])) ?? null));
}
Deno.exit(0);
