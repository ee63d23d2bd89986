/**
 * The rules about which file of the project imports which. Not a test itself.
 *
 * @module
 */

import { PROJECT } from "./processes.ts";
import { type Import, importsOf, NOT_LITERAL, projectFiles } from "./source.ts";

/** All imports of the project. */
export async function projectImports(): Promise<Import[]> {
  const imports: Import[] = [];
  for (const file of await projectFiles()) {
    if (!file.endsWith(".ts")) continue;
    imports.push(...importsOf(file, await Deno.readTextFile(PROJECT + file)));
  }
  return imports;
}

/** The room of the programs that are in no folder. */
const TOP = "top-level programs";

/**
 * What each room may import beside itself and packages: rooms, which end with a slash, and single files.
 * Nobody imports a top-level program.
 */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  "native/": [],
  "src/": ["native/"],
  "ixgbe/": ["src/", "native/"],
  "virtio/": ["src/", "native/"],
  "mod.ts": ["ixgbe/", "virtio/", "src/", "native/"],
  "packets/": ["src/", "native/"],
  "wrappers/": ["packets/", "src/", "native/"],
  "programs/": ["ixgbe/adopt.ts", "mod.ts", "wrappers/", "packets/", "src/", "native/"],
  "nic/": ["programs/", "mod.ts", "ixgbe/", "virtio/", "src/", "native/"],
  [TOP]: [
    ...["nic/", "programs/", "wrappers/", "packets/", "mod.ts", "ixgbe/mod.ts", "src/", "native/"],
    "sim/v8_flags.ts", // what the demo starts the software NIC with
  ],
  "sim/": [
    ...["ixgbe/registers.ts", "packets/", "src/", "native/"],
    // Its command line.
    ...["programs/command_line.ts", "programs/options.ts", "programs/run.ts"],
  ],
  "vm/": ["programs/", "src/", "native/"],
  "bench/": ["sim/", "programs/", "packets/", "mod.ts", "ixgbe/", "virtio/", "src/", "native/"],
  "tests/": [
    ...["bench/", "vm/", "sim/", "nic/", "programs/", "wrappers/", "packets/", "mod.ts"],
    ...["ixgbe/", "virtio/", "src/", "native/"],
  ],
};

/** Rooms whose files start top-level programs as processes, by URL. */
const STARTS_PROGRAMS = [TOP, "bench/", "tests/"];

function roomOf(file: string): string {
  const slash = file.indexOf("/");
  if (slash >= 0) return file.slice(0, slash + 1);
  return file === "mod.ts" ? file : TOP;
}

/** Whether an import leads to a file of the project, and not to a package or a URL. */
function isFile(to: string): boolean {
  return to.endsWith(".ts") && !/^[a-z]+:/.test(to);
}

/** Imports that lead up, or to where a room has no business: a sentence each. */
export function upwardImports(imports: readonly Import[]): string[] {
  const broken = new Set<string>();
  for (const { from, to, url } of imports) {
    if (to === NOT_LITERAL) broken.add(`${from} imports what its text does not name: name a file`);
    if (!isFile(to)) continue;
    const room = roomOf(from), target = roomOf(to), floor = FLOORS[room];
    if (floor === undefined) {
      broken.add(`${from}: ${room} has no floor yet: say in FLOORS what it may import`);
    } else if (target === TOP) {
      if (url && STARTS_PROGRAMS.includes(room)) continue;
      if (from.startsWith("tests/programs/")) continue; // what it tests is in them
      broken.add(`${from} imports ${to}: only tests/programs/ imports a top-level program`);
    } else if (target !== room && !floor.includes(target) && !floor.includes(to)) {
      const allowed = floor.length > 0 ? `only ${floor.join(", ")}` : "no other room";
      broken.add(`${from} imports ${to}: ${room} may import ${allowed}`);
    }
  }
  return [...broken];
}

/** The files that each file needs. */
function graphOf(imports: readonly Import[]): Map<string, string[]> {
  const graph = new Map<string, string[]>();
  for (const { from, to } of imports) graph.set(from, [...graph.get(from) ?? [], to]);
  return graph;
}

/** What a file needs, directly or not, and which file each was found in first: the shortest way. */
function reach(graph: ReadonlyMap<string, readonly string[]>, start: string): Map<string, string> {
  const by = new Map<string, string>(), queue = [start];
  for (let file; (file = queue.shift()) !== undefined;) {
    for (const to of graph.get(file) ?? []) {
      if (by.has(to)) continue;
      by.set(to, file);
      queue.push(to);
    }
  }
  return by;
}

/** Circles of imports, each as the files that it goes through: the shortest one of every file. */
export function circles(imports: readonly Import[]): string[] {
  const graph = graphOf(imports), found = new Map<string, string>();
  for (const file of graph.keys()) {
    const by = reach(graph, file);
    if (!by.has(file)) continue;
    const circle = [file];
    for (let at = by.get(file)!; at !== file; at = by.get(at)!) circle.unshift(at);
    const members = circle.toSorted().join(" ");
    if (!found.has(members)) found.set(members, [file, ...circle].join(" -> "));
  }
  return [...found.values()];
}

/**
 * Imports that are not relative, of what some files need, directly or not: a sentence each.
 *
 * @param allowed What is allowed all the same.
 */
export function packagesOf(
  imports: readonly Import[],
  files: readonly string[],
  allowed?: RegExp,
): string[] {
  const graph = graphOf(imports), broken: string[] = [];
  const rule = allowed
    ? `relative imports, and those that match ${allowed}`
    : "relative imports only";
  for (const file of files) {
    for (const [to, from] of reach(graph, file)) {
      if (isFile(to) || allowed?.test(to)) continue;
      broken.push(`${from} imports ${to}: what ${file} needs has ${rule}`);
    }
  }
  return broken;
}
