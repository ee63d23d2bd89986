/**
 * Runs the tests: `deno task test`, or a suite by its name. As root, it first installs the Debian
 * packages that the suite needs; otherwise, it says which tests need root.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { interruptible, type Interruption } from "../programs/interruption.ts";
import { Progress } from "../programs/progress.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { BROWSER_PACKAGES } from "./explorer/browser/packages.ts";
import { installPackages } from "./support/packages.ts";
import { OPEN_VSWITCH_PACKAGES } from "./support/open_vswitch.ts";
import { TESTPMD_PACKAGES } from "./support/testpmd.ts";
import { VAGRANT_PACKAGES } from "./vagrant/packages.ts";

/** Tests that run together. */
interface Suite {
  /** Their folder. */
  readonly folder: string;
  /** Folders below it that belong to other suites. */
  readonly without?: readonly string[];
  /** Debian packages that they use; a name ends with `*` where a version follows. */
  readonly packages: readonly string[];
  /** Those that only root can run. */
  readonly root?: string;
  /** A program that runs them, with its arguments; default: `deno test`, with those of the command line. */
  readonly program?: readonly string[];
  /** Test files that run at the same time, each in a process of its own (default: all, in one process). */
  readonly together?: number;
}

const NETWORK = ["ethtool", "iproute2", "iputils-ping", "mount", "tcpdump", "tshark", "util-linux"];

const PROJECT = new URL("..", import.meta.url).pathname;

const SUITES: Readonly<Record<string, Suite>> = {
  native: {
    folder: "tests",
    without: ["tests/explorer/browser", "tests/vm", "tests/vagrant"],
    packages: ["gcc", "pkg-config", ...NETWORK, ...OPEN_VSWITCH_PACKAGES, ...TESTPMD_PACKAGES],
    root: "tests with TAP devices, network namespaces, PCI devices, DPDK and Open vSwitch",
  },
  fuzz: {
    folder: "tests/fuzz",
    packages: [],
    program: ["tests/fuzz/main.ts", "--seconds=60", "--jobs=2"],
  },
  browser: {
    folder: "tests/explorer/browser",
    packages: BROWSER_PACKAGES,
  },
  vm: {
    folder: "tests/vm",
    together: 2, // each machine keeps one core busy
    packages: ["xz-utils", "zstd", ...NETWORK],
    root: "tests with TAP devices and network namespaces",
  },
  vagrant: {
    folder: "tests/vagrant",
    packages: VAGRANT_PACKAGES,
    root: "all tests, since libvirt and the box belong to root",
  },
};

/** Numbers of tests by result. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Returns the test files in a folder, without those in some folders below it, in order. */
function testFiles(folder: string, without: readonly string[]): string[] {
  const entries = [...Deno.readDirSync(PROJECT + folder)].toSorted((a, b) =>
    a.name < b.name ? -1 : 1
  );
  return entries.flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return without.includes(path) ? [] : testFiles(path, without);
    return name.endsWith("_test.ts") ? [path] : [];
  });
}

/** Prints the output of `deno test` and returns it; on a terminal, shows progress below. */
async function passOn(
  child: Deno.ChildProcess,
  progress: Progress,
  files: number,
): Promise<string> {
  let text = "", running = "", file = "", begun = 0;
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (!progress.onTerminal) {
      write(piece);
      continue;
    }
    // The last, incomplete line names the running test.
    const lines = (running + piece).split("\n");
    running = lines.pop()!;
    for (const line of lines) {
      const name = /^running \d+ tests? from \.\/(.+)$/.exec(line)?.[1];
      if (name !== undefined) [file, begun] = [name, begun + 1];
    }
    if (lines.length > 0) progress.print(() => write(lines.join("\n") + "\n"));
    if (begun === 0) continue;
    const amount = { done: begun - 1, total: files, unit: "files", steady: false };
    progress.show(running || file, files > 0 ? amount : undefined);
  }
  return text;
}

/** Writes all of a text to the standard output. */
function write(text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
}

/** Returns the arguments with which Deno runs a suite. */
function command({ folder, without = [], program }: Suite, args: readonly string[]): string[] {
  if (program) return ["run", "--allow-all", "--quiet", ...program];
  const ignored = without.length > 0 ? [`--ignore=${without.join()}`] : [];
  return ["test", "--allow-all", "--quiet", ...ignored, ...args, folder];
}

/**
 * Returns the counts in the last line of tests' output. A process that ended before it printed them, as V8
 * does without memory, counts as one failed test, and a sentence says so.
 *
 * @param tests What ran, for the sentence.
 */
function counts(tests: string, text: string, { success, code }: Deno.CommandStatus): Counts {
  const last = text.match(/\d+ passed.*\d+ failed.*/g)?.at(-1);
  if (last === undefined) {
    console.error(`${tests}: the tests ended with exit code ${code}, and without results`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const count = (what: string) => Number(RegExp(`(\\d+) ${what}`).exec(last)?.[1] ?? 0);
  const failed = count("failed");
  // Tests that fail to load are not in the counts.
  return {
    passed: count("passed"),
    failed: success ? failed : Math.max(failed, 1),
    skipped: count("ignored"),
  };
}

/** Runs the files of a suite, some of them at the same time, and prints the output of each at its end. */
async function runTogether(
  { folder, without = [] }: Suite,
  together: number,
  interruption: Interruption,
): Promise<Counts> {
  const files = testFiles(folder, without), total = files.length;
  await using temporary = await makeTemporary();
  using progress = new Progress(folder);
  const all: Counts = { passed: 0, failed: 0, skipped: 0 };
  let done = 0;
  const lane = async () => {
    for (let file; interruption.number === 0 && (file = files.shift()) !== undefined;) {
      const { stdout, stderr, ...status } = await new Deno.Command(Deno.execPath(), {
        args: ["test", "--allow-all", "--quiet", file],
        cwd: PROJECT,
        env: { NO_COLOR: "1", TMPDIR: temporary.path }, // the counts come from its output
        signal: interruption.signal,
      }).output();
      const text = new TextDecoder().decode(stdout);
      progress.print(() => write(text + new TextDecoder().decode(stderr)));
      plus(all, counts(file, text, status));
      progress.show(file, { done: ++done, total, unit: "files", steady: false });
    }
  };
  await Promise.all(Array.from({ length: together }, lane));
  return all;
}

/** Adds counts to others. */
function plus(total: Counts, counts: Counts): void {
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += counts[key];
}

/** Creates a directory for all that tests leave behind when they are killed. */
async function makeTemporary(): Promise<TemporaryDirectory> {
  const temporary = await TemporaryDirectory.make();
  await Deno.chmod(temporary.path, 0o755); // for programs of other users
  return temporary;
}

/** Runs the tests of a suite, and prints their output as it arrives. */
async function runSuite(
  suite: Suite,
  args: readonly string[],
  interruption: Interruption,
): Promise<Counts> {
  const { folder, without = [], together } = suite;
  if (together !== undefined && args.length === 0) {
    return await runTogether(suite, together, interruption);
  }
  using progress = new Progress(folder);
  await using temporary = await makeTemporary();
  const child = new Deno.Command(Deno.execPath(), {
    args: command(suite, args),
    cwd: PROJECT,
    env: { NO_COLOR: "1", TMPDIR: temporary.path }, // the counts come from its output
    signal: interruption.signal,
    stdout: "piped",
    stderr: progress.onTerminal ? "piped" : "inherit",
  }).spawn();
  const complaints = progress.onTerminal ? printAbove(child.stderr, progress) : undefined;
  // Arguments may filter files, so the number is not known.
  const files = args.length > 0 ? 0 : testFiles(folder, without).length;
  const text = await passOn(child, progress, files);
  await complaints;
  return counts(folder, text, await child.status);
}

/** Prints the standard error above the bar. */
async function printAbove(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  progress: Progress,
): Promise<void> {
  const lines = stream.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream() as TransformStream<string, string>);
  for await (const line of lines) progress.print(() => console.error(line));
}

/** Returns the suites that the first argument names, and the arguments for `deno test`. */
function chosen(args: string[]): [Suite[], string[]] {
  const [name, ...rest] = args;
  if (name === "all") return [Object.values(SUITES), rest];
  if (name in SUITES) return [[SUITES[name]], rest];
  return [[SUITES.native], args];
}

async function main(words: string[], interruption: Interruption): Promise<number> {
  const [suites, args] = chosen(words);
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const suite of suites) {
    if (Deno.uid() !== 0 && suite.root) {
      console.log(`not run: ${suite.root}: run this as root to include them`);
    }
    if (Deno.uid() === 0) await installPackages(suite.packages);
    plus(total, await runSuite(suite, args, interruption));
    if (interruption.number !== 0) break;
  }
  if (interruption.number !== 0) return 128 + interruption.number;
  const { passed, failed, skipped } = total;
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failed === 0 ? 0 : 1;
}

Deno.exit(await interruptible(main)(Deno.args));
