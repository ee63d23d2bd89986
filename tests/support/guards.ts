/**
 * Finds guard processes. Not a test itself.
 *
 * @module
 */

import { linkName } from "../../native/files.ts";

/** State, parent and session in `/proc/PID/stat`. */
const STAT = /\) (\w) (\d+) \d+ (\d+) /;

/** A guard process. */
export interface GuardProcess {
  readonly pid: number;
  /** Its arguments: the address of its function. */
  readonly arguments: readonly string[];
  /** Its session. */
  readonly session: number;
}

/** Returns the guards that are child processes of a program. */
export function guardsOf(program: number): GuardProcess[] {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter(
    Number.isInteger,
  );
  return pids.flatMap((pid) => {
    const [, , parent, session] = read(pid, "stat").match(STAT) ?? [];
    if (Number(parent) !== program) return [];
    const [name, ...rest] = commandLine(pid);
    if (name !== "ixy-guard") return [];
    return { pid, arguments: rest, session: Number(session) };
  });
}

/** Returns a process's command line, which exec(2) sets a moment after it has released the parent. */
function commandLine(pid: number): string[] {
  let line = "";
  while (line === "" && !/^(Z|$)/.test(read(pid, "stat").match(STAT)?.[1] ?? "")) {
    line = read(pid, "cmdline");
  }
  return line.split("\0").slice(0, -1);
}

/** Returns the files through which a process holds DMA memory. */
export function memoryOf(pid: number): string[] {
  const files = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) =>
    `/proc/${pid}/fd/${name}`
  );
  return files.filter((file) => linkName(file)?.startsWith("memfd:ixy ")); // some may be closed meanwhile
}

/** Returns whether a process exists. */
export function exists(pid: number): boolean {
  return read(pid, "stat") !== "";
}

/** Reads a file of a process; returns nothing if the process has ended. */
function read(pid: number, file: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${file}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || /os error 3/.test(String(error))) return "";
    throw error;
  }
}
