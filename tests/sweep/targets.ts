/**
 * The programs of the sweep: how each is started, and what it must have printed when it ends in order.
 *
 * @module
 */

import { INLINE_MORE } from "../../sim/v8_flags.ts";
import { ADDRESSES } from "../support/plain_ports.ts";
import { ffiOnly, PROJECT } from "../support/processes.ts";

/** A program. */
export interface Target {
  readonly name: string;
  /**
   * Returns its command line.
   *
   * @param directory A directory that is removed after the run.
   * @param seconds How long it runs by itself.
   */
  command(directory: string, seconds: number): string[];
  /** Whether its output says that its devices are open. */
  isReady(stdout: string): boolean;
  /** Whether its output has totals. */
  hasTotals(stdout: string): boolean;
  /** Exit codes, other than 0, with which it ends in order after a signal. */
  readonly codes: readonly number[];
  /** Whether it ends by itself after these seconds; else only a signal ends it. */
  readonly ends: boolean;
}

const isReady = (stdout: string) => stdout.includes('"ready":true');
const hasTotals = (stdout: string) => stdout.includes('"total":true');

function program(
  name: string,
  file: string,
  args: (directory: string) => readonly string[],
  flags: readonly string[] = [],
): Target {
  const command = (directory: string, seconds: number) =>
    ffiOnly(file, ["--json", "--quiet", `--seconds=${seconds}`, ...args(directory)], flags);
  return { name, command, isReady, hasTotals, codes: [], ends: true };
}

const [A, B] = ADDRESSES;
const READ = `--allow-read=${PROJECT}`;

/** All programs. */
export const TARGETS: readonly Target[] = [
  program("fwd", "fwd.ts", () => [A, B]),
  program("workers", "fwd.ts", () => ["--queues=2", "--workers=2", A, B], [READ]),
  program("pktgen", "pktgen.ts", () => ["--rate=10000", A]),
  program("pcap", "pcap.ts", (directory) => [A, `${directory}/out.pcap`], ["--allow-write"]),
  program("echo", "echo.ts", () => [A, "192.0.2.1"]),
  {
    name: "example",
    command: () => ffiOnly("example.ts", [A, B]),
    isReady: (stdout) => stdout.includes("forwarding between"),
    hasTotals: (stdout) => stdout.includes(`${B}: received`),
    codes: [1], // a StopError that nothing catches
    ends: false,
  },
  {
    name: "selftest",
    command: () => ffiOnly("nic.ts", ["selftest", A]),
    isReady: (stdout) => stdout.includes("link"),
    hasTotals: (stdout) => / FAILED, \d+ skipped\n/.test(stdout),
    codes: [1],
    ends: true,
  },
  {
    name: "demo",
    command: (_directory, seconds) => {
      const flags = ["--allow-run", "--allow-read", "--allow-write"];
      return ffiOnly(
        "demo.ts",
        ["--json", `--seconds=${Math.max(1, seconds)}`, "--rate=10000"],
        flags,
      );
    },
    isReady: () => false,
    hasTotals: () => true,
    codes: [1],
    ends: true,
  },
  {
    name: "sim",
    command: (directory, seconds) => {
      const ports = ["a", "b"].flatMap((name) => [
        ...["--socket", `${directory}/${name}.sock`, "--wire", "generator:rate=1000"],
      ]);
      return ffiOnly("sim/main.ts", ["--json", `--seconds=${seconds}`, ...ports], [INLINE_MORE]);
    },
    isReady,
    hasTotals,
    codes: [],
    ends: true,
  },
];
