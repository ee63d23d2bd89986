/** The bench as a process: short runs, what it writes and plots, and what it refuses. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { XMLValidator } from "fast-xml-parser";
import { BENCH } from "../../bench/options.ts";
import { planOf } from "../../bench/suites.ts";
import { parse } from "../../programs/command_line.ts";
import { UsageError } from "../../src/errors.ts";
import { Hugepages } from "../support/hugepages.ts";
import { assertRefused, isRoot, PROJECT, run, TemporaryDirectory } from "../support/processes.ts";

const COMMAND = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}bench/main.ts`];
const MILLISECONDS = 120000;
/** Hugepages that the bench asks for. */
const PAGES = 256;

function bench(...args: string[]) {
  return run([...COMMAND, ...args], { milliseconds: MILLISECONDS });
}

/** A results file, as far as it matters here. */
interface File {
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly suites: readonly {
    readonly name: string;
    readonly series: readonly {
      readonly name: string;
      readonly failure?: string;
      readonly points: readonly {
        readonly x: number;
        readonly windows: readonly { readonly mpps: number; readonly distance: number[] }[];
        readonly balance: Readonly<Record<string, number>>;
        readonly starts: readonly { readonly firstMs: number; readonly rates?: number[] }[];
        readonly columns: Readonly<Record<string, { latency?: Readonly<Record<string, number>> }>>;
      }[];
    }[];
  }[];
}

/** Returns the points of a suite, as `name x`. */
function points({ suites }: File, suite: string): string[] {
  const { series } = suites.find(({ name }) => name === suite)!;
  return series.flatMap(({ name, points }) => points.map(({ x }) => `${name} ${x}`));
}

/** Defines a test on the instrument: as root, with hugepages. */
function instrumentTest(name: string, test: () => Promise<void>): void {
  Deno.test({
    name,
    ignore: !isRoot,
    async fn() {
      using _pages = new Hugepages(PAGES);
      await test();
    },
  });
}

instrumentTest("bench --quick finds no packet lost, reordered or corrupt", async () => {
  const { code, stdout, stderr } = await bench("--quick");
  assertEquals(code, 0, stdout + stderr);
  const lines = stdout.trim().split("\n");
  const points = ["throughput 1", "throughput 32", "queues 1", "queues 4"];
  const runs = points.flatMap((point) =>
    ["ixy.ts", "lean", "limit"].map((n) => `${point}: ${n}: `)
  );
  assertEquals(lines.map((line) => line.replace(/\d+ packets came back.*/, "")), runs);
  for (const line of lines) assertMatch(line, / [1-9]\d+ packets came back, \d+ dropped$/);
});

instrumentTest(
  "The bench writes and extends results, and keeps those beside a command that fails",
  async () => {
    await using directory = await TemporaryDirectory.make();
    const json = directory.file("results.json"), plots = directory.file("plots");
    const options = [
      "--batches=32",
      "--loads=100000",
      "--starts=1",
      "--rounds=1",
      `--json=${json}`,
    ];
    const first = await bench("latency", ...options, "--against=gone=/gone {a} {b}");
    assertEquals(first.code, 1, first.stderr);
    assertMatch(first.stderr, /^latency: gone: ended before it forwarded .*\/gone: not found$/m);
    const file: File = JSON.parse(await Deno.readTextFile(json));
    assertMatch(file.suites[0].series[1].failure!, /^gone: .*not found$/);
    assertEquals(
      points(file, "latency"),
      ["ixy.ts", "gone", "lean", "limit"].map((name) => `${name} 100000`),
    );
    for (const { series } of file.suites) {
      for (const { windows, balance, starts, columns } of measured(series)) {
        assert(windows.some(({ mpps }) => mpps > 0));
        assert(windows.every(({ distance }) => distance.length === 2));
        assert(balance.received > 0);
        assertEquals([balance.lost, balance.reordered, balance.corrupt], [0, 0, 0]);
        assert(starts.length === 1 && starts[0].firstMs > 0);
        for (const { latency } of Object.values(columns)) {
          if (latency) assert(latency["50"] > 0);
        }
      }
    }

    const second = await bench("spread", ...options, "--continue");
    assertEquals(second.code, 0, second.stderr);
    const more: File = JSON.parse(await Deno.readTextFile(json));
    assertEquals(more.suites.map(({ name }) => name), ["latency", "spread"]);
    const [own] = more.suites[1].series[0].points;
    assertEquals([own.x, own.starts[0].rates!.length], [1, 40]);

    const shown = await bench(`--from=${json}`, `--plots=${plots}`);
    assertEquals([shown.code, shown.stderr.includes("/gone: not found")], [0, true]);
    assertMatch(shown.stdout, /^latency: .* ns apart/m);
    const svg = await Deno.readTextFile(`${plots}/latency.svg`);
    assertEquals(XMLValidator.validate(svg), true);
    assertMatch(svg, /^<svg /);
  },
);

/** A command that prints what DPDK looks for. */
const LOOK =
  "readlink /sys/bus/pci/devices/{a}/driver; ls /dev /sys/class; cat /dev/null; ls -d {b}";

/** Commands that do not forward properly, each with what the bench says. */
const BAD: Readonly<Record<string, [command: string, sentence: RegExp]>> = {
  gone: ["/gone {a} {b}", /ended before it forwarded both ways; .*\/gone: not found/],
  ends: ["sh -c 'echo no such card >&2; exit 3' {a} {b}", /ended before .*; .*no such card/],
  idle: ["sleep 60 # {a} {b}", /took no packet within 15 s: it did not bring up the devices/],
  ...Object.fromEntries(
    ["loses", "reorders", "corrupts"].map((fault) => {
      const words = fault === "loses" ? "lost" : fault === "reorders" ? "reordered" : "corrupt";
      const command =
        `${Deno.execPath()} run -q --allow-ffi tests/support/bad_forwarder.ts ${fault}`;
      return [fault, [`${command} {a} {b}`, new RegExp(`[^ ]* (were )?${words}`)]];
    }),
  ),
};

instrumentTest(
  "bench --against says in a sentence what a command does wrong, and goes on",
  async () => {
    const against = Object.entries(BAD).map(([name, [command]]) => `--against=${name}=${command}`);
    against.push(`--against-dpdk=look=sh -c '${LOOK}'`);
    const { code, stdout, stderr } = await bench("throughput", "--quick", ...against);
    assertEquals([code, stderr], [1, ""]);
    const lines = stdout.trim().split("\n");
    for (const [name, [, sentence]] of Object.entries(BAD)) {
      const line = lines.find((text) => text.startsWith(`throughput 32: ${name}: `))!;
      assertMatch(line, sentence);
      if (["gone", "ends", "idle"].includes(name)) continue;
      // It also drops packets while the instrument does not run.
      const found = defects(line).filter((defect) => defect === name || defect !== "loses");
      assertEquals(found, [name], line);
    }
    assertMatch(stdout, /look: ended .*uio_pci_generic \| .*\| uio0 \| uio1 /);
    for (const name of ["ixy.ts", "lean", "limit"]) {
      const good = lines.filter((line) => line.includes(`: ${name}: `));
      assertEquals(good.map((line) => /came back, \d+ dropped$/.test(line)), [true, true], name);
    }
  },
);

/** Returns the faults whose packets a line counts. */
function defects(line: string): string[] {
  const [, lost, reordered, corrupt] = /, (\d+) were lost, (\d+) reordered and (\d+) corrupt/.exec(
    line,
  )!.map(Number);
  return [
    ...(lost > 0 ? ["loses"] : []),
    ...(reordered > 0 ? ["reorders"] : []),
    ...(corrupt > 0 ? ["corrupts"] : []),
  ];
}

Deno.test("bench --device vfio-user measures on the software NIC, also a command", async () => {
  await using directory = await TemporaryDirectory.make();
  const json = directory.file("results.json");
  const forwarder = `${Deno.execPath()} run --quiet --allow-ffi ${PROJECT}fwd.ts --quiet {a} {b}`;
  const { code, stderr } = await bench(
    ...["throughput", "--batches=32", "--rounds=1", "--device=vfio-user", `--json=${json}`],
    `--against=other=${forwarder}`,
  );
  assertEquals(code, 0, stderr);
  const file: File = JSON.parse(await Deno.readTextFile(json));
  assertEquals(points(file, "throughput"), ["ixy.ts 32", "other 32", "limit 32"]);
  for (const { balance, windows } of measured(file.suites[0].series)) {
    assert(windows.some(({ mpps }) => mpps > 0));
    assertEquals([balance.reordered, balance.corrupt], [0, 0]);
  }
});

/** Returns the points with windows. */
function measured(series: File["suites"][number]["series"]) {
  return series.filter(({ failure }) => failure === undefined).flatMap(({ points }) => points);
}

Deno.test("The bench refuses invalid command lines with one sentence", async () => {
  const cases: [args: string[], sentence: RegExp][] = [
    [["--batches=0"], /--batches takes numbers from 1 to 256/],
    [["--batches=1,257"], /--batches takes numbers from 1 to 256/],
    [["--sizes=59"], /--sizes takes numbers from 60 to 1514/],
    [["--queues=17"], /--queues takes numbers from 1 to 16/],
    [["--loads=0"], /--loads takes numbers from 1000 to 20000000/],
    [["--rounds=0"], /--rounds takes a whole number from 1 to 1000/],
    [["--bytes=60"], /unknown option --bytes/],
    [["0000:03:00.0"], /unknown suite "0000:03:00.0": name some of throughput, sizes/],
    [["--against=other=forwarder {a}"], /\{a\} and \{b\}/],
    [["--against=forwarder {a} {b}"], /takes NAME=COMMAND/],
    [["--against=lean=forwarder {a} {b}"], /a name other than ixy.ts/],
    [["--against=x=f {a} {b}", "--against=x=g {a} {b}"], /two .* name x/],
    [["--against-dpdk=x=f {a} {b}", "--device=vfio-user"], /PCI devices/],
    [["--device=usb"], /--device takes instrument or vfio-user/],
    [["--continue"], /--json/],
  ];
  for (const [args, sentence] of cases) {
    const { message } = assertThrows(() => parse(BENCH, args), UsageError);
    assertMatch(message, sentence);
  }
  assertRefused(await bench("--batches=0"), cases[0][1]);
  assertRefused(
    await bench("--from=/nowhere/results.json"),
    /\/nowhere\/results.json: no such file/,
  );
});

Deno.test("planOf() measures a command without {batch} or {queues} once, and the software NIC's limit too", () => {
  const args = ["--batches=8,32", "--queues=1,4", "--against=x=f {a} {b}", "--device=vfio-user"];
  const options = parse(BENCH, args)!;
  const names = (suite: "throughput" | "queues") =>
    planOf(suite, { options, programs: undefined }).map(({ forwarder, x }) =>
      `${forwarder.name} ${x}`
    );
  assertEquals(names("throughput"), ["ixy.ts 8", "ixy.ts 32", "x 32", "limit 32"]);
  assertEquals(names("queues"), ["ixy.ts 1", "x 1", "limit 1", "ixy.ts 4", "limit 4"]);
});

Deno.test("The bench refuses a machine with one core with one sentence", async () => {
  const result = await run(["taskset", "-c", "0", ...COMMAND], { milliseconds: MILLISECONDS });
  assertRefused(result, /needs two cores/);
});

Deno.test({
  name: "The bench names the software NIC to users who cannot use the instrument",
  ignore: !isRoot,
  async fn() {
    const result = await run(["unshare", "--user", ...COMMAND], { milliseconds: MILLISECONDS });
    assertRefused(result, /run this as root, or .*--device vfio-user/);
  },
});
