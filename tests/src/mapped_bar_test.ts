/** BARs with mapped areas, and access between the areas. */

import { assertEquals, assertThrows } from "@std/assert";
import { Mapping } from "../../native/mapping.ts";
import { MappedArea, MappedBar } from "../../src/pci/mapped_bar.ts";

/** Access that records every request. */
class Recorded {
  readonly asked: (string | number)[][] = [];

  read(offset: number, bytes: 1 | 2 | 4): number {
    this.asked.push(["read", offset, bytes]);
    return 77;
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.asked.push(["write", offset, bytes, value]);
  }

  close(): void {
    this.asked.push(["close"]);
  }
}

/** An area of one page in which each word holds its own offset in the BAR. */
function area(offset: number): MappedArea {
  const mapping = Mapping.memory(4096, false);
  new Uint32Array(mapping.buffer).forEach((_, i, words) => words[i] = offset + 4 * i);
  return new MappedArea(mapping, offset);
}

Deno.test("MappedBar loads and stores in its areas, and uses access between them", () => {
  const access = new Recorded();
  const bar = new MappedBar(0x6000, [area(0x1000), area(0x4000)], access);
  const offsets = [0, 0x1000, 0x1ffc, 0x2000, 0x4004, 0x5000];
  assertEquals(offsets.map((at) => bar.read(at, 4)), [77, 0x1000, 0x1ffc, 77, 0x4004, 77]);
  bar.write(0x1002, 1, 0xab);
  bar.write(0x2002, 2, 0xcd);
  assertEquals([bar.read(0x1000, 4), bar.read(0x1002, 2)], [0xab1000, 0xab]);
  assertEquals(access.asked, [
    ...[["read", 0, 4], ["read", 0x2000, 4], ["read", 0x5000, 4]],
    ["write", 0x2002, 2, 0xcd],
  ]);
  bar.close();
});

Deno.test("MappedBar.doorbell() is a word of an area, and uses access elsewhere", () => {
  const access = new Recorded();
  const bar = new MappedBar(0x3000, [area(0x1000)], access);
  const mapped = bar.doorbell(0x1018), sent = bar.doorbell(0x2018);
  assertEquals([mapped.words[mapped.index], mapped.write], [0x1018, undefined]);
  mapped.words[mapped.index] = 5;
  assertEquals(bar.read(0x1018, 4), 5);
  sent.write!(6);
  assertEquals(access.asked, [["write", 0x2018, 4, 6]]);
  bar.close();
});

Deno.test("MappedBar with `doorbellsOnly` uses its areas only for doorbells", () => {
  const access = new Recorded();
  const bar = new MappedBar(0x3000, [area(0x1000)], access, true);
  assertEquals(bar.read(0x1018, 4), 77);
  bar.write(0x1018, 4, 5);
  assertEquals(access.asked, [["read", 0x1018, 4], ["write", 0x1018, 4, 5]]);
  const { words, index, write } = bar.doorbell(0x1018);
  assertEquals([words[index], write], [0x1018, undefined]);
  bar.close();
});

Deno.test("MappedBar.close() empties the views of every area, and closes access", () => {
  const access = new Recorded();
  const bar = new MappedBar(0x6000, [area(0x1000), area(0x4000)], access);
  const doorbells = [bar.doorbell(0x1000), bar.doorbell(0x4000)];
  bar.close();
  assertEquals(doorbells.map(({ words }) => words.length), [0, 0]);
  assertEquals(access.asked, [["close"]]);
});

Deno.test("MappedBar without access refuses registers outside its areas", () => {
  const bar = new MappedBar(4096, [area(0)]);
  assertEquals(bar.read(0xffc, 4), 0xffc);
  const outside = [() => bar.read(4096, 4), () => bar.write(4096, 4, 0), () => bar.doorbell(4096)];
  for (const each of outside) {
    assertThrows(each, RangeError, "register at 4096 lies outside a BAR of 4096");
  }
  bar.close();
});
