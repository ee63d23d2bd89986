/**
 * Run in a guest: takes all free hugepages, fills each with its physical address, prints {"ready":true},
 * and after a number of seconds prints as JSON how many pages have changed. A card that still uses
 * their old content as descriptor rings finds addresses of these pages there, and writes to them.
 *
 *     deno run --allow-ffi tests/vm/memory_program.ts SECONDS
 *
 * @module
 */

import { delay } from "../../native/clock.ts";
import { readText } from "../../native/files.ts";
import { endWith } from "../../programs/run.ts";
import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";

const FREE = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

/** The program's output. */
export interface MemoryReport {
  /** Hugepages that were free. */
  readonly pages: number;
  /** Those of them that have changed. */
  readonly damaged: number;
}

if (import.meta.main) {
  await endWith(async () => {
    const pages = Number(readText(FREE));
    const memory = DmaMemory.allocate(pages * HUGEPAGE, "hugepages");
    const contents = Array.from({ length: pages }, (_, page) => {
      const address = BigInt(memory.busAddress(page * HUGEPAGE, "physical"));
      const words = new BigUint64Array(memory.buffer, page * HUGEPAGE, HUGEPAGE / 8);
      return { words: words.fill(address), address };
    });
    console.log('{"ready":true}');
    await delay(Number(Deno.args[0]) * 1000);
    const damaged = contents.filter(({ words, address }) => {
      return words.some((word) => word !== address);
    }).length;
    console.log(JSON.stringify({ pages, damaged } satisfies MemoryReport));
    memory.free();
    return 0;
  });
}
