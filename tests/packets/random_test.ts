import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Random } from "../../packets/random.ts";

Deno.test("Random repeats its numbers for a seed, and spreads them from 0 to 1", () => {
  const numbers = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 1000 }, () => random.next());
  };
  assertEquals(numbers(7), numbers(7));
  assertNotEquals(numbers(7), numbers(8));
  for (const seed of [0, 1, 2 ** 32 - 1]) {
    const tenths = new Set(numbers(seed).map((n) => Math.floor(10 * n)));
    assertEquals([...tenths].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert(new Set(numbers(seed)).size > 990);
  }
});
