import { assertEquals } from "@std/assert";
import { mutantsOf, mutate } from "./mutants.ts";

/** Returns all mutants of a statement, as texts. */
function texts(source: string): string[] {
  return mutantsOf("a.ts", source).map((mutant) => mutate(source, mutant)).toSorted();
}

Deno.test("mutantsOf() changes operators, numbers, truth values, conditions and statements", () => {
  const cases: [source: string, mutants: string[]][] = [
    ["const a = b === c;", ["const a = b !== c;"]],
    ["const a = b << c | d;", ["const a = b << c & d;", "const a = b >>> c | d;"]],
    ["const a = 1, b = 2;", ["const a = 0, b = 2;", "const a = 1, b = 3;"]],
    ["const a = true;", ["const a = false;"]],
    ["const a = !b;", ["const a = b;"]],
    ["if (a) b = c;", ["if (!(a)) b = c;", "if (a) {}"]],
    ["if (a < b) { ; }", ["if (a <= b) { ; }"]],
    ["a += b--;", ["a += b++;", "a -= b--;", "{}"]],
    ["throw a;", ["{}"]],
    ['"use strict";', []],
  ];
  for (const [source, mutants] of cases) assertEquals(texts(source), mutants.toSorted(), source);
});

Deno.test("mutantsOf() leaves types and calls of super alone, and finds places behind types", () => {
  assertEquals(texts("interface A { b: 1 | 2 }"), []);
  assertEquals(texts("class A extends B { constructor(c: 1) { super(c); } }"), []);
  assertEquals(texts("const a = (b as 1 | 2) + c;"), ["const a = (b as 1 | 2) - c;"]);
});

Deno.test("mutantsOf() gives each mutant its line and its change", () => {
  const [mutant] = mutantsOf("a.ts", "// äöü 𝛼\nconst a =\n  b + c;\n");
  assertEquals(mutant.line, 3);
  assertEquals(mutant.change, "+ -> -");
});
