/**
 * `deno task demo` as a process.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  Program,
  PROJECT,
  type Result,
  run,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";

function demo(...options: string[]): Promise<Result> {
  return run([Deno.execPath(), "task", "--quiet", "demo", ...options], { cwd: PROJECT });
}

for (const threads of [[], ["--queues=2"], ["--queues=2", "--workers=2"]]) {
  const name = ["demo.ts", ...threads, "forwards and finds nothing lost, reordered or corrupt"];
  Deno.test(name.join(" "), () => forwards(threads));
}

async function forwards(threads: readonly string[]): Promise<void> {
  const options = ["--seconds", "2", "--rate", "100000", "--json", ...threads];
  const { code, stdout, stderr } = await demo(...options);
  assertEquals(stderr, "");
  const summary = JSON.parse(stdout.trim().split("\n").at(-1)!);
  for (const key of ["mpps", "missed", "dropped", "seconds"]) {
    assertEquals(typeof summary[key], "number", key);
  }
  const { lost, reordered, corrupt, violations } = summary;
  assertEquals(
    { lost, reordered, corrupt, violations },
    { lost: 0, reordered: 0, corrupt: 0, violations: 0 },
  );
  assert(summary.mpps > 0, "frames are forwarded");
  assert(summary.seconds >= 2);
  assertEquals(code, 0);
}

Deno.test("demo.ts prints a table with a line for each second and direction", async () => {
  const { code, stdout, stderr } = await demo("--seconds=3", "--rate=50000", "--size=1514");
  assertEquals(stderr, "");
  const [header, ...rows] = stdout.split("\n\n")[0].split("\n");
  assertMatch(header, /^ +time +ports +rate +bit rate +missed +dropped +lost +reordered +corrupt$/);
  assert(rows.length >= 2, stdout);
  rows.forEach((row, i) => {
    assert(row.startsWith(i % 2 === 0 ? "A -> B" : "B -> A", "  time  ".length), row);
    assertMatch(row, /^ +[0-9.]+ +. -> . +[0-9.]+ k?pps +[0-9.]+ [kM]?bit\/s( +\d+){5}$/);
    assertEquals(row.length, header.length);
  });
  assertMatch(
    stdout,
    /^forwarded [1-9]\d* packets in [0-9.]+ s: [0-9.]+ k?pps, best second [0-9.]+ k?pps$/m,
  );
  assertMatch(stdout, /^missed \d+, dropped \d+, lost 0, .* datasheet's rules 0$/m);
  assertEquals(code, 0);
});

/** Signals, when they come, and whether the demo has printed its totals then. */
const ENDS: readonly [signal: Deno.Signal, when: string, totals: boolean][] = [
  ["SIGTERM", "while its programs start", false],
  ["SIGINT", "while it forwards", true],
  ["SIGHUP", "while it forwards", true],
];

Deno.test("demo.ts ends in order, and leaves nothing behind, at a signal to its process group", async (t) => {
  for (const [signal, when, totals] of ENDS) {
    await t.step(`${signal} ${when}`, async () => {
      await using directory = await TemporaryDirectory.make();
      const flags = ["--allow-ffi", "--allow-run", "--allow-read", "--allow-write"];
      const command = [Deno.execPath(), "run", "--quiet", ...flags, `${PROJECT}demo.ts`];
      await using program = Program.start([...command, "--rate=50000"], {
        ...{ env: { TMPDIR: directory.path }, detached: true },
      });
      const entries = () => [...Deno.readDirSync(directory.path)].length;
      if (totals) await program.line((line) => line.startsWith("  "));
      else await until("its directory", () => entries() > 0);
      Deno.kill(-program.pid, signal);
      const { code, stdout, stderr } = await program.finish();
      assertEquals([stderr, entries()], ["", 0]);
      assertEquals(/^missed 0, dropped 0, lost 0, .* rules 0$/m.test(stdout), totals, stdout);
      assertEquals(code, totals ? 0 : 128 + 15);
      // A child process would hold its standard error, which it shares.
      assertEquals(await run(["pgrep", "-f", directory.path]).then(({ stdout }) => stdout), "");
    });
  }
});

Deno.test("demo.ts ends early with 141 once its reader is gone", async () => {
  const script = '"$@" | head -1; echo "${PIPESTATUS[0]}"';
  const task = [Deno.execPath(), "task", "--quiet", "demo", "--rate=1000", "--seconds=1000"];
  const { stdout, stderr } = await run(["bash", "-c", script, "bash", ...task], { cwd: PROJECT });
  assertEquals(stderr, "");
  assertMatch(stdout, /^ +time .*\n141\n$/);
});

Deno.test("demo.ts refuses invalid command lines with one sentence", async (t) => {
  const cases: [options: string[], sentence: RegExp][] = [
    [["--frobnicate"], /--frobnicate/],
    [["--batch=0"], /--batch .* from 1 to 256/],
    [["--batch=257"], /--batch .* from 1 to 256/],
    [["--size=59"], /--size .* from 60 to 1514/],
    [["--seconds=0"], /--seconds/],
    [["--rate=many"], /--rate .*"many"/],
    [["--queues=17"], /--queues .* from 1 to 16/],
    [["--queues=2", "--workers=3"], /--workers 3 needs .*: use --queues 3/],
    [["0000:03:00.0"], /takes no operands/],
  ];
  for (const [options, sentence] of cases) {
    await t.step(`demo.ts refuses ${options.join(" ")}`, async () => {
      const { code, stdout, stderr } = await demo(...options);
      assertMatch(stderr, /^error: [^\n]+\n$/);
      assertMatch(stderr, sentence);
      assertEquals(stdout, "");
      assertEquals(code, 2);
    });
  }
});
