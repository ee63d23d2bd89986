/** The forwarder on DPDK that the bench compares with. */

import { assertEquals, assertMatch } from "@std/assert";
import { Hugepages } from "../support/hugepages.ts";
import { isRoot, PROJECT, run, TemporaryDirectory } from "../support/processes.ts";

const MILLISECONDS = 120000;
/** Hugepages that the bench asks for. */
const PAGES = 256;

Deno.test({
  name: "dpdk_forwarder.c forwards on the instrument, on DPDK's scalar path in batches of 1 and 32",
  ignore: !isRoot,
  async fn() {
    using _pages = new Hugepages(PAGES);
    await using directory = await TemporaryDirectory.make();
    const program = directory.file("dpdk_forwarder"), source = `${PROJECT}bench/dpdk_forwarder.c`;
    const libraries = await run(["pkg-config", "--cflags", "--libs", "libdpdk"]);
    assertEquals(libraries.code, 0, libraries.stderr);
    const built = await run([
      ...["gcc", "-O3", "-march=native", "-Wall", "-Werror", source, "-o", program],
      ...libraries.stdout.trim().split(/\s+/),
    ]);
    assertEquals(built.code, 0, built.stderr);

    const eal = "-l 0 --iova-mode=pa --in-memory --huge-dir /mnt/huge -m 64 --no-telemetry";
    const command = `${program} ${eal} -a {a} -a {b} --force-max-simd-bitwidth=64 -- {batch}`;
    const bench = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}bench/main.ts`];
    const args = ["throughput", "--quick", `--against-dpdk=DPDK=${command}`];
    const { stdout } = await run([...bench, ...args], { milliseconds: MILLISECONDS });
    // A full transmit ring drops packets while the kernel runs other programs: their number is not DPDK's fault.
    const forwarded =
      / packets (came back|that came back, \d+ were lost, 0 reordered and 0 corrupt)/;
    for (const batch of [1, 32]) {
      const line = stdout.split("\n").find((text) =>
        text.startsWith(`throughput ${batch}: DPDK: `)
      );
      assertMatch(line ?? stdout, forwarded);
    }
  },
});
