/** The bench as a process: short runs, what it writes and plots, and what it refuses. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { XMLValidator } from "fast-xml-parser";
import { Hugepages } from "../support/hugepages.ts";
import {
  assertFailed,
  assertRefused,
  isRoot,
  PROJECT,
  run,
  TemporaryDirectory,
} from "../support/processes.ts";

const BENCH = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}bench/main.ts`];
/** This project's forwarder as a command for --against. */
const FORWARDER = `${Deno.execPath()} run --quiet --allow-ffi ${PROJECT}fwd.ts --quiet {a} {b}`;
const MILLISECONDS = 120000;

function bench(...args: string[]) {
  return run([...BENCH, ...args], { milliseconds: MILLISECONDS });
}

/** A results file, as far as it matters here. */
interface File {
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly suites: readonly {
    readonly name: string;
    readonly series: readonly {
      readonly name: string;
      readonly points: readonly {
        readonly x: number;
        readonly windows: readonly { readonly mpps: number; readonly distance: number[] }[];
        readonly balance: Readonly<Record<string, number>>;
        readonly verdict: { readonly latency?: Readonly<Record<string, number>> };
      }[];
    }[];
  }[];
}

/** Returns the points of a suite, as `name x`. */
function points({ suites }: File, suite: string): string[] {
  const { series } = suites.find(({ name }) => name === suite)!;
  return series.flatMap(({ name, points }) => points.map(({ x }) => `${name} ${x}`));
}

Deno.test("The bench measures every suite, and writes, extends and plots results", async () => {
  await using directory = await TemporaryDirectory.make();
  const json = directory.file("results.json"), plots = directory.file("plots");
  const options = [
    ...["--batches=1,32", "--sizes=60", "--queues=1", "--loads=100000"],
    ...["--rounds=1", "--seconds=1", `--json=${json}`],
  ];
  const first = await bench(...options);
  assertEquals(first.code, 0, first.stderr);
  const file: File = JSON.parse(await Deno.readTextFile(json));
  assertEquals(points(file, "throughput"), ["ixy.ts 1", "ixy.ts 32", "limit 0"]);
  assertEquals(points(file, "sizes"), ["ixy.ts 60", "limit 60"]);
  assertEquals(points(file, "queues"), ["ixy.ts 1", "limit 1"]);
  assertEquals(points(file, "latency"), ["ixy.ts 100000", "limit 100000"]);
  for (const { name, series } of file.suites) {
    for (const { windows, balance, verdict } of series.flatMap(({ points }) => points)) {
      assert(windows.every(({ mpps, distance }) => mpps > 0 && distance.length === 2));
      assert(balance.received > 0);
      assertEquals([balance.lost, balance.reordered, balance.corrupt], [0, 0, 0]);
      if (name === "latency" && verdict.latency) assert(verdict.latency["50"] > 0);
    }
  }

  const second = await bench("throughput", ...options, "--continue", `--plots=${plots}`);
  assertEquals(second.code, 0, second.stderr);
  const more: File = JSON.parse(await Deno.readTextFile(json));
  const windows = ({ suites }: File) => suites[0].series[0].points[0].windows.length;
  assertEquals(windows(more), 2 * windows(file));

  const shown = await bench(`--from=${json}`, `--plots=${plots}`);
  assertEquals([shown.code, shown.stderr], [0, ""]);
  for (const suite of ["throughput", "sizes", "queues", "latency"]) {
    assertMatch(shown.stdout, new RegExp(`^${suite}: .* ns apart`, "m"));
    const svg = await Deno.readTextFile(`${plots}/${suite}.svg`);
    assertEquals(XMLValidator.validate(svg), true, suite);
    assertMatch(svg, /^<svg /);
  }
});

Deno.test("bench --against measures a command in turns with this forwarder", async () => {
  await using directory = await TemporaryDirectory.make();
  const json = directory.file("results.json");
  const { code, stderr } = await bench(
    ...["throughput", "--batches=8,32", "--rounds=1", "--seconds=1", "--device=vfio-user"],
    ...[`--against=${FORWARDER}`, "--name=other", `--json=${json}`],
  );
  assertEquals(code, 0, stderr);
  const file: File = JSON.parse(await Deno.readTextFile(json));
  // The command has no {batch}, so it is measured once.
  assertEquals(points(file, "throughput"), ["ixy.ts 8", "ixy.ts 32", "other 32", "limit 0"]);
});

Deno.test({
  name: "bench --against gives a command two devices like those of sysfs",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    using _pages = new Hugepages(64);
    const json = directory.file("results.json");
    const { code, stderr } = await bench(
      ...["throughput", "--batches=8,32", "--rounds=1", "--seconds=1", `--json=${json}`],
      ...[`--against=${FORWARDER.replace("--quiet {a}", "--batch={batch} {a}")}`, "--name=other"],
    );
    assertEquals(code, 0, stderr);
    const file: File = JSON.parse(await Deno.readTextFile(json));
    const all = ["ixy.ts 8", "ixy.ts 32", "other 8", "other 32", "limit 0"];
    assertEquals(points(file, "throughput"), all);
    const { balance } = file.suites[0].series[1].points[0];
    assert(balance.received > 0);
    assertEquals([balance.reordered, balance.corrupt], [0, 0]);
  },
});

Deno.test("bench --against shows the output of a command that does not forward", async () => {
  const options = ["throughput", "--batches=1", "--rounds=1", "--device=vfio-user", "--name=odd"];
  const result = await bench(...options, "--against=sh -c 'echo no such card >&2; exit 3' {a} {b}");
  assertFailed({ ...result, stderr: lastLine(result.stderr) }, 1, /^error: odd: .*no such card/);
});

/** Returns the last line, without those about progress. */
function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)! + "\n";
}

Deno.test("The bench refuses invalid command lines with one sentence", async () => {
  assertRefused(await bench("--batches=0"), /--batches takes numbers from 1 to 256/);
  assertRefused(await bench("--batches=1,257"), /--batches takes numbers from 1 to 256/);
  assertRefused(await bench("--sizes=59"), /--sizes takes numbers from 60 to 1514/);
  assertRefused(await bench("--queues=17"), /--queues takes numbers from 1 to 16/);
  assertRefused(await bench("--loads=0"), /--loads takes numbers from 1000 to 20000000/);
  assertRefused(await bench("--rounds=0"), /--rounds takes a whole number from 1 to 1000/);
  assertRefused(await bench("--bytes=60"), /unknown option --bytes/);
  assertRefused(
    await bench("0000:03:00.0"),
    /unknown suite "0000:03:00.0": name some of throughput, sizes/,
  );
  assertRefused(await bench("--against=other-forwarder {a}"), /\{a\} and \{b\}/);
  assertRefused(await bench("--device=usb"), /--device takes plain or vfio-user/);
  assertRefused(await bench("--continue"), /--json/);
  assertRefused(
    await bench("--from=/nowhere/results.json"),
    /\/nowhere\/results.json: no such file/,
  );
});

Deno.test("The bench refuses a machine with one core with one sentence", async () => {
  const result = await run(["taskset", "-c", "0", ...BENCH], { milliseconds: MILLISECONDS });
  assertRefused(result, /needs two cores/);
});
