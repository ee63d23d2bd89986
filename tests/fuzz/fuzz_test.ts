/** Fuzzers: each target replays its corpus, and runs a few cases of one seed. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse } from "../../programs/command_line.ts";
import { UsageError } from "../../src/errors.ts";
import { PROJECT } from "../support/processes.ts";
import { FUZZ } from "./main.ts";
import type { Random } from "./random.ts";
import { CORPUS, replay, search, stored } from "./search.ts";
import { holds, operations, smaller, type Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const SEED = 1;
const MAIN = [Deno.execPath(), "run", "--quiet", "--allow-all", `${PROJECT}tests/fuzz/main.ts`];

for (const target of TARGETS) {
  Deno.test(`Fuzz ${target.name}: ${target.about}`, async () => {
    await replay(target);
    const { finding } = await search(target, { seed: SEED, attempts: target.attempts });
    if (finding !== undefined) {
      throw new Error(`${finding.error}\ncase: ${JSON.stringify(finding.case)}`);
    }
  });
}

Deno.test("The corpus has only cases of targets", () => {
  const names: string[] = TARGETS.map(({ name }) => name);
  for (const { name } of Deno.readDirSync(CORPUS)) {
    assert(names.includes(name), name);
    assert(stored(name).length > 0, name);
  }
});

Deno.test("search() makes a failing case as small as it can be, the same for the same seed", async () => {
  /** Fails if the numbers 7 and at least 1000 follow each other, in any distance. */
  const target: Target = {
    name: "example",
    about: "",
    attempts: 1,
    open: () =>
      operations({
        generate: (random: Random) => ({
          setup: null,
          operations: Array.from({ length: 500 }, () => [0, random.below(2000)]),
        }),
        run({ operations }) {
          const at = operations.findIndex(([, n]) => n === 7);
          holds(at < 0 || !operations.slice(at).some(([, n]) => n >= 1000), "seven, then many");
        },
      }),
  };
  const first = await search(target, { seed: 3 }), second = await search(target, { seed: 3 });
  assertEquals(first.finding!.case, { setup: null, operations: [[0, 7], [0, 1000]] });
  assertEquals([first.cases, first.finding!.case], [second.cases, second.finding!.case]);
  assertMatch(first.finding!.error, /seven, then many/);
});

Deno.test("smaller() keeps a case that passes when it is run again", async () => {
  const one = { setup: null, operations: [[1], [2], [3]] };
  assertEquals(await smaller(one, () => Promise.resolve(false)), one);
});

Deno.test("deno task fuzz refuses an unknown target with one sentence", () => {
  const sentence = 'there is no target "frob": the targets are registers, ';
  assertThrows(() => parse(FUZZ, ["rings", "frob"]), UsageError, sentence);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`deno task fuzz prints results, and ends in order at ${signal}`, async () => {
    const child = new Deno.Command(MAIN[0], {
      args: [...MAIN.slice(1), "--seconds=1000", "--seed=5", "rings"],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    let text = new TextDecoder().decode((await reader.read()).value); // the head: it has begun
    child.kill(signal);
    for (let part; (part = await reader.read()).value !== undefined;) {
      text += new TextDecoder().decode(part.value);
    }
    assertEquals((await child.status).code, 0);
    assertMatch(text, /^target +cases +iterations +a second +seed +result\n/);
    assertMatch(
      text,
      /\n(rings +[\d,]+ +[\d,]+ +[\d,]+ +5 +nothing found\n1 passed|0 passed), 0 failed\n$/,
    );
  });
}
