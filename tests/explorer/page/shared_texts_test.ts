/** Texts of steps that are shared. */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { SharedTexts } from "../../../explorer/page/shared_texts.ts";
import type { Step } from "../../../explorer/recording/step.ts";

Deno.test("SharedTexts.share() leaves steps as they are, also when it has let go of older texts", () => {
  const texts = new SharedTexts();
  const steps = Array.from({ length: 12_000 }, (_, i): Step => ({
    ...{ kind: "read", actor: "driver", port: 0, title: `read ${i}` },
    ...i % 2 === 0 && { why: "It waits.", stack: `at f\nat g${i % 3}` },
    changes: Uint32Array.of(i, 0, 1),
  }));
  const before = structuredClone(steps), changes = steps.map((step) => step.changes);
  texts.share(steps);
  texts.share(steps.slice(0, 10));
  assertEquals(steps, before);
  steps.forEach((step, i) => assertStrictEquals(step.changes, changes[i]));
});
