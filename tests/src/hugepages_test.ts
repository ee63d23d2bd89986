/** Where DMA memory comes from when there are no hugepages, or pages of 1 GiB. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { status } from "../../native/files.ts";
import { PageSize } from "../../native/mapping.ts";
import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";
import { UsageError } from "../../src/errors.ts";
import { Hugepages, HugepagesGroup } from "../support/hugepages.ts";
import { isRoot, PROJECT, run } from "../support/processes.ts";

/** Whether this machine can limit hugepages by a control group. */
const LIMITED = HugepagesGroup.available;

/** Allocates memory of each kind, writes to it, and prints what it has got. */
const SCRIPT = `
  const { DmaMemory, HUGEPAGE } = await import("${PROJECT}src/dma.ts");
  for (const kind of ["auto", "pages", "hugepages"]) {
    try {
      const memory = DmaMemory.allocate(2 * HUGEPAGE, kind);
      new Uint8Array(memory.buffer).fill(1);
      console.log(kind, memory.has("physical"), memory.noPhysical);
      memory.free();
    } catch (error) {
      console.log(kind, error.name, error.message);
    }
  }`;

Deno.test({
  name: "DmaMemory has ordinary pages where a control group allows no hugepages",
  ignore: !LIMITED,
  fn: async (t) => {
    using group = HugepagesGroup.make(0)!;
    using _pages = new Hugepages(8);
    const { code, stdout, stderr } = await run(
      group.command(Deno.execPath(), "eval", "--no-check", SCRIPT),
    );
    assertEquals([code, stderr], [0, ""]);
    const [auto, pages, hugepages] = stdout.trim().split("\n");
    const sentence =
      /2 hugepages of 2 MiB are refused \(.*\), although \d+ are free: raise hugetlb.2MB.max/;
    await t.step("with auto", () => {
      assertMatch(auto, /^auto false /);
      assertMatch(auto, sentence);
    });
    await t.step(
      "with pages",
      () => assertMatch(pages, /^pages false this memory is in ordinary /),
    );
    await t.step("not with hugepages", () => {
      assertMatch(hugepages, /^hugepages UsageError /);
      assertMatch(hugepages, sentence);
    });
  },
});

Deno.test("DmaMemory says which file reserves hugepages of 2 MiB", () => {
  const { message } = assertThrows(() => DmaMemory.allocate(1e12, "hugepages"), UsageError);
  assertMatch(
    message,
    /`echo 476838 > \/sys\/kernel\/mm\/hugepages\/hugepages-2048kB\/nr_hugepages`/,
  );
});

Deno.test({
  name: "DmaMemory has pages of 1 GiB if they are free and at most half of one stays unused",
  ignore: !isRoot,
  fn: () => {
    const half = PageSize.GIB_1 / 2, kiB = PageSize.GIB_1 / 1024;
    using _pages = reserveGibibytes(1);
    if (Hugepages.freeOf(kiB) !== 1) return void console.log("  skipped: no hugepage of 1 GiB");
    using _small = new Hugepages(half / HUGEPAGE);
    const small = DmaMemory.allocate(half - 1, "hugepages");
    assertEquals([small.bytes, status(small.fd).hugepage], [half, PageSize.MIB_2]);
    small.free();
    const large = DmaMemory.allocate(half, "auto");
    assertEquals([large.bytes, status(large.fd).hugepage], [PageSize.GIB_1, PageSize.GIB_1]);
    const address = large.busAddress(0, "physical");
    assertEquals(address % PageSize.GIB_1, 0);
    assertEquals(large.busAddress(large.bytes - 1, "physical"), address + large.bytes - 1);
    const second = DmaMemory.allocate(half, "hugepages"); // none is free any more
    assertEquals([second.bytes, status(second.fd).hugepage], [half, PageSize.MIB_2]);
    for (const memory of [large, second]) memory.free();
    assertEquals(Hugepages.freeOf(kiB), 1);
  },
});

/** Gives a page of two back to the kernel as a peer can, takes it elsewhere, and reads both. */
const PUNCH = `
  const { DmaMemory, HUGEPAGE } = await import("${PROJECT}src/dma.ts");
  const memory = DmaMemory.allocate(2 * HUGEPAGE, "hugepages");
  const bytes = new Uint8Array(memory.buffer).fill(7);
  const args = ["-p", "-o", "0", "-l", HUGEPAGE, "/proc/" + Deno.pid + "/fd/" + memory.fd];
  new Deno.Command("fallocate", { args: args.map(String) }).outputSync();
  const other = DmaMemory.allocate(1, "hugepages");
  console.log(bytes[HUGEPAGE], memory.lost, bytes[0], memory.lost, other.lost);`;

Deno.test({
  name: "DmaMemory.lost: a peer punches holes, and no hugepage is left for the next access",
  ignore: !LIMITED,
  fn: async () => {
    using group = HugepagesGroup.make(2)!;
    using _pages = new Hugepages(8);
    const { code, stdout, stderr } = await run(
      group.command(Deno.execPath(), "eval", "--no-check", PUNCH),
    );
    assertEquals([code, stdout, stderr], [0, "7 false 0 true false\n", ""]);
  },
});

/** Reserves hugepages of 1 GiB, as many as the machine can have. */
function reserveGibibytes(pages: number): Disposable | undefined {
  try {
    return new Hugepages(pages, PageSize.GIB_1 / 1024);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined; // the processor has none
    throw error;
  }
}
