/** Runs of register accesses that repeat. */

import { assertEquals } from "@std/assert";
import { Runs } from "../../../explorer/page/runs.ts";
import type { Step } from "../../../explorer/recording/step.ts";

/** Returns the runs of accesses, each a register's letter; a dot is a step without register. */
function runsOf(letters: string, chapters: readonly number[] = []): string[] {
  const runs = new Runs();
  [...letters].forEach((name, i) => {
    const step: Step = {
      ...{ kind: "write", actor: "driver", port: 0, title: name, changes: new Uint32Array(0) },
      ...(name === "." ? {} : { register: { name, index: i, offset: 0, old: 0, value: 0 } }),
    };
    runs.append(i, step, chapters.includes(i));
  });
  return runs.all.map(({ from, to, period }) => letters.slice(from, to + 1) + (period || ""));
}

Deno.test("Runs finds the shortest period, and leaves what does not repeat three times", () => {
  assertEquals(runsOf("abcccccab"), ["a", "b", "ccccc1", "a", "b"]);
  assertEquals(runsOf("xababababy"), ["x", "abababab2", "y"]);
  assertEquals(runsOf("abcdabcdabcd"), ["abcdabcdabcd4"]);
  assertEquals(runsOf("aaab"), ["a", "a", "a", "b"]);
  assertEquals(runsOf("abab"), ["a", "b", "a", "b"]);
});

Deno.test("Runs begins another run right after one", () => {
  assertEquals(runsOf("aaaaabbbbb"), ["aaaaa1", "bbbbb1"]);
  assertEquals(runsOf("ababababccccc"), ["abababab2", "ccccc1"]);
});

Deno.test("Runs goes on neither over other steps nor over the beginning of a chapter", () => {
  assertEquals(runsOf("aaaa.aaaa"), ["aaaa1", ".", "aaaa1"]);
  assertEquals(runsOf("aaaaaaaa", [4]), ["aaaa1", "aaaa1"]);
  assertEquals(runsOf("aa.aa"), ["a", "a", ".", "a", "a"]);
});

Deno.test("Runs.units counts a register access as one, and any run as four", () => {
  const runs = new Runs();
  const step: Step = {
    ...{ kind: "read", actor: "driver", port: 0, title: "", changes: new Uint32Array(0) },
    register: { name: "a", index: 0, offset: 0, old: 0, value: 0 },
  };
  const units = Array.from({ length: 6 }, (_, i) => {
    runs.append(i, step, false);
    return runs.units;
  });
  assertEquals(units, [1, 2, 3, 4, 4, 4]);
});
