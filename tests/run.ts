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
  /** Whether they run beside later suites, at the lowest priority. */
  readonly beside?: boolean;
}

const NETWORK = ["ethtool", "iproute2", "iputils-ping", "mount", "tcpdump", "tshark", "util-linux"];

const PROJECT = new URL("..", import.meta.url).pathname;

const SUITES: Readonly<Record<string, Suite>> = {
  native: {
    folder: "tests",
    without: ["tests/explorer/browser", "tests/vm", "tests/vagrant"],
    packages: ["gcc", ...NETWORK, ...OPEN_VSWITCH_PACKAGES, ...TESTPMD_PACKAGES],
    root: "tests with TAP devices, network namespaces, PCI devices, DPDK and Open vSwitch",
  },
  fuzz: {
    folder: "tests/fuzz",
    packages: [],
    program: ["tests/fuzz/main.ts", "--seconds=60", "--jobs=1"],
    beside: true,
  },
  browser: {
    folder: "tests/explorer/browser",
    packages: BROWSER_PACKAGES,
    beside: true,
  },
  vm: {
    folder: "tests/vm",
    packages: ["xz-utils", ...NETWORK],
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

/** Returns the number of test files in a folder, without those in some folders below it. */
async function testFiles(folder: string, without: readonly string[]): Promise<number> {
  let files = 0;
  for await (const { name, isDirectory } of Deno.readDir(PROJECT + folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) files += without.includes(path) ? 0 : await testFiles(path, without);
    else if (name.endsWith("_test.ts")) files++;
  }
  return files;
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

/** Returns the counts in the last line of a suite's output. */
function counts(text: string, success: boolean): Counts {
  const count = (what: string) =>
    Number(text.match(new RegExp(`(\\d+) ${what}`, "g"))?.at(-1)?.split(" ")[0] ?? 0);
  const failed = count("failed");
  // Tests that fail to load are not in the counts.
  return {
    passed: count("passed"),
    failed: success ? failed : Math.max(failed, 1),
    skipped: count("ignored"),
  };
}

/** Runs a suite at the lowest priority, and prints its output at the end. */
async function runBeside(suite: Suite, { signal }: Interruption): Promise<Counts> {
  const { stdout, stderr, success } = await new Deno.Command("nice", {
    args: ["-n", "19", Deno.execPath(), ...command(suite, [])],
    ...{ cwd: PROJECT, env: { NO_COLOR: "1" }, signal },
  }).output();
  const text = new TextDecoder().decode(stdout);
  write(text + new TextDecoder().decode(stderr));
  return counts(text, success);
}

/** Runs the tests of a suite, and prints their output as it arrives. */
async function runSuite(
  suite: Suite,
  args: readonly string[],
  { signal }: Interruption,
): Promise<Counts> {
  const { folder, without = [] } = suite;
  using progress = new Progress(folder);
  // Contains all that tests leave behind when they are killed.
  await using temporary = await TemporaryDirectory.make();
  await Deno.chmod(temporary.path, 0o755); // for programs of other users
  const child = new Deno.Command(Deno.execPath(), {
    args: command(suite, args),
    cwd: PROJECT,
    env: { NO_COLOR: "1", TMPDIR: temporary.path }, // the counts come from its output
    signal,
    stdout: "piped",
    stderr: progress.onTerminal ? "piped" : "inherit",
  }).spawn();
  const complaints = progress.onTerminal ? printAbove(child.stderr, progress) : undefined;
  // Arguments may filter files, so the number is not known.
  const files = args.length > 0 ? 0 : await testFiles(folder, without);
  const text = await passOn(child, progress, files);
  await complaints;
  const { success } = await child.status;
  return counts(text, success);
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
  const add = (counts: Counts) => {
    for (const key of ["passed", "failed", "skipped"] as const) total[key] += counts[key];
  };
  const beside: Promise<Counts>[] = [];
  for (const [i, suite] of suites.entries()) {
    if (Deno.uid() !== 0 && suite.root) {
      console.log(`not run: ${suite.root}: run this as root to include them`);
    }
    const ready = Deno.uid() === 0 ? installPackages(suite.packages) : Promise.resolve();
    if (suite.beside && i < suites.length - 1) {
      const counts = ready.then(() => runBeside(suite, interruption));
      counts.catch(() => {}); // it is thrown below, after the other suites
      beside.push(counts);
    } else {
      await ready;
      add(await runSuite(suite, args, interruption));
    }
    if (interruption.number !== 0) break;
  }
  for (const counts of await Promise.all(beside)) add(counts);
  if (interruption.number !== 0) return 128 + interruption.number;
  const { passed, failed, skipped } = total;
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failed === 0 ? 0 : 1;
}

Deno.exit(await interruptible(main)(Deno.args));
