/**
 * A faulty driver, over vfio-user: a descriptor points to memory that is not mapped for the device. The
 * device does not reach it, and the driver can still be closed. `tests/vm/dma_test.ts` does the same in
 * virtual machines with and without an IOMMU.
 */

import { assertEquals } from "@std/assert";
import { ffiOnly, run, Sim, TemporaryDirectory } from "../support/processes.ts";
import { quitBroken } from "../support/violations.ts";
import { NOT_READABLE, NOT_WRITABLE } from "../vm/dma_program.ts";

for (const [mode, rule] of [["transmit", NOT_READABLE], ["receive", NOT_WRITABLE]] as const) {
  Deno.test(`a descriptor of ${mode} outside the mapped memory hits nothing`, async () => {
    await using directory = await TemporaryDirectory.make();
    await using sim = await Sim.start(directory, ["generator:rate=10000,size=300"]);
    await sim.command("start");
    const args = [sim.addresses[0], mode, "iova"];
    const { code, stdout, stderr } = await run(ffiOnly("tests/vm/dma_program.ts", args));
    assertEquals([code, stderr], [0, ""]);
    const { untouched, packets, pending } = JSON.parse(stdout);
    // Packets for the ring's first buffers are received; of the packets sent, only the first arrives.
    const expected = mode === "transmit" ? [0, 1] : [64, 0];
    assertEquals([untouched, packets, pending], [true, ...expected]);
    const { rules, ports } = await quitBroken(sim);
    assertEquals(rules, [rule]);
    assertEquals(ports[0].counters.transmitted, mode === "transmit" ? 1 : 0);
  });
}
