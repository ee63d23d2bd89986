/**
 * The rules about which file of the project may import which. Not a test itself.
 *
 * @module
 */

import { PROJECT } from "./processes.ts";
import { type Import, importsOf, isSource, NOT_LITERAL, projectFiles } from "./source.ts";

/** Returns all imports of the project. */
export async function projectImports(): Promise<Import[]> {
  const imports: Import[] = [];
  for (const file of await projectFiles()) {
    if (!isSource(file)) continue;
    imports.push(...importsOf(file, await Deno.readTextFile(PROJECT + file)));
  }
  return imports;
}

/** The room of the programs at the top of the project. */
const TOP = "top-level programs";

/**
 * What each place may import besides itself and packages: folders, which end with a slash, and
 * files.
 */
type Floors = Readonly<Record<string, readonly string[]>>;

/** The floors of the rooms. No room imports a top-level program. */
const FLOORS: Floors = {
  "native/": [],
  "src/": ["native/"],
  "ixgbe/": ["src/", "native/"],
  "virtio/": ["src/", "native/"],
  "xdp/": ["src/", "native/"],
  "mod.ts": ["ixgbe/", "virtio/", "xdp/", "src/", "native/"],
  "packets/": ["src/", "native/"],
  "wrappers/": ["packets/", "src/", "native/"],
  "programs/": [
    "ixgbe/adopt.ts",
    "xdp/adopt.ts",
    "mod.ts",
    "wrappers/",
    "packets/",
    "src/",
    "native/",
  ],
  "nic/": [
    ...["programs/", "packets/", "mod.ts", "ixgbe/", "virtio/", "xdp/", "src/", "native/"],
  ],
  [TOP]: [
    ...[
      "nic/",
      "programs/",
      "wrappers/",
      "packets/",
      "mod.ts",
      "ixgbe/mod.ts",
      "xdp/mod.ts",
      "src/",
      "native/",
    ],
    "sim/v8_flags.ts", // flags with which the demo starts the software NIC
  ],
  "sim/": [
    ...["ixgbe/registers.ts", "packets/", "src/", "native/"],
    // For its command line and its output.
    ...["programs/command_line.ts", "programs/options.ts", "programs/output.ts", "programs/run.ts"],
  ],
  "vm/": ["programs/", "src/", "native/"],
  "explorer/": [
    ...["sim/", "programs/", "packets/", "mod.ts", "ixgbe/", "virtio/", "src/", "native/"],
  ],
  "bench/": ["sim/", "programs/", "packets/", "mod.ts", "ixgbe/", "virtio/", "src/", "native/"],
  "tests/": [
    ...[
      "bench/",
      "vm/",
      "explorer/",
      "sim/",
      "nic/",
      "programs/",
      "wrappers/",
      "packets/",
      "mod.ts",
    ],
    ...["ixgbe/", "virtio/", "xdp/", "src/", "native/"],
  ],
};

/**
 * The floors inside sim/, bottom up: what each folder, and each file at its top, may import of sim/.
 * sim/README.md lists the folders from the top down.
 */
export const SIM_FLOORS: Floors = {
  "sim/frames/": [],
  "sim/registers/": [],
  "sim/rings/": ["sim/registers/"],
  "sim/wires/": ["sim/frames/"],
  "sim/flow/": ["sim/rings/", "sim/registers/"],
  "sim/tx/": ["sim/rings/", "sim/registers/", "sim/frames/"],
  "sim/rx/": ["sim/flow/", "sim/rings/", "sim/registers/", "sim/frames/"],
  "sim/nic/": [
    ...["sim/rx/", "sim/tx/", "sim/rings/", "sim/registers/", "sim/frames/"],
    "sim/wires/wire.ts", // the interface, and no wire
  ],
  "sim/pci/": ["sim/nic/", "sim/rings/", "sim/registers/"],
  "sim/plain/": ["sim/pci/", "sim/nic/", "sim/rings/", "sim/registers/"],
  "sim/v8_flags.ts": [],
  "sim/virtual_time.ts": [],
  "sim/minimal_driver.ts": ["sim/nic/"],
  // The names of delays, faults and modules, and the speeds.
  "sim/options.ts": [
    ...["sim/wires/", "sim/nic/faults.ts", "sim/nic/phy.ts", "sim/nic/sfp_module.ts"],
    "sim/nic/timing.ts",
  ],
  "sim/port.ts": ["sim/options.ts", "sim/plain/", "sim/pci/", "sim/nic/", "sim/wires/"],
  "sim/loop.ts": ["sim/port.ts"],
  "sim/rehearsal.ts": ["sim/loop.ts", "sim/minimal_driver.ts", "sim/pci/", "sim/wires/"],
  "sim/report.ts": ["sim/port.ts", "sim/wires/"],
  "sim/control.ts": ["sim/report.ts", "sim/port.ts"],
  "sim/main.ts": [
    ...["sim/control.ts", "sim/report.ts", "sim/rehearsal.ts", "sim/loop.ts", "sim/port.ts"],
    "sim/options.ts",
    "sim/wires/",
  ],
};

/** The floors inside explorer/, bottom up. explorer/README.md lists the folders. */
export const EXPLORER_FLOORS: Floors = {
  "explorer/recording/": [],
  "explorer/platform/": [],
  "explorer/lessons/": ["explorer/recording/"],
  "explorer/recorder/": ["explorer/recording/"],
  "explorer/page/": ["explorer/lessons/", "explorer/recording/"],
  "explorer/server/": ["explorer/recording/"],
  "explorer/attach_options.ts": [],
  "explorer/main.ts": ["explorer/attach_options.ts", "explorer/server/"],
};

/** Rooms with floors inside, by their name in messages. */
const INSIDE: Readonly<Record<string, readonly [name: string, floors: Floors]>> = {
  "sim/": ["SIM_FLOORS", SIM_FLOORS],
  "explorer/": ["EXPLORER_FLOORS", EXPLORER_FLOORS],
};

/** Rooms whose files start top-level programs as processes, by URL. */
const STARTS_PROGRAMS = [TOP, "bench/", "tests/"];

function roomOf(file: string): string {
  const slash = file.indexOf("/");
  if (slash >= 0) return file.slice(0, slash + 1);
  return file === "mod.ts" ? file : TOP;
}

/** Returns the folder of a room that a file is in; for a file at the top of the room, the file. */
function partOf(file: string, room: string): string {
  const slash = file.indexOf("/", room.length);
  return slash < 0 ? file : file.slice(0, slash + 1);
}

/** Returns whether an import leads to a file of the project, not to a package or a URL. */
function isFile(to: string): boolean {
  return isSource(to) && !/^[a-z]+:/.test(to);
}

/** Returns a sentence for each import that the floors do not allow. */
export function upwardImports(imports: readonly Import[]): string[] {
  const broken = new Set<string>();
  for (const { from, to, url } of imports) {
    if (to === NOT_LITERAL) {
      broken.add(`${from} imports a file that its text does not name: use a string literal`);
    }
    if (!isFile(to)) continue;
    const room = roomOf(from), target = roomOf(to), floor = FLOORS[room];
    if (floor === undefined) {
      broken.add(`${from}: ${room} is not in FLOORS: add what it may import`);
    } else if (target === TOP) {
      if (url && STARTS_PROGRAMS.includes(room)) continue;
      if (from.startsWith("tests/programs/")) continue; // it tests functions of the programs
      broken.add(`${from} imports ${to}: only tests/programs/ imports a top-level program`);
    } else if (target !== room && !floor.includes(target) && !floor.includes(to)) {
      const allowed = floor.length > 0 ? `only ${floor.join(", ")}` : "no other room";
      broken.add(`${from} imports ${to}: ${room} may import ${allowed}`);
    } else if (target === room && room in INSIDE) {
      const sentence = upwardInside(room, from, to);
      if (sentence !== undefined) broken.add(sentence);
    }
  }
  return [...broken];
}

/**
 * Returns the sentence for an import inside a room that its floors do not allow; undefined if they do.
 */
function upwardInside(room: string, from: string, to: string): string | undefined {
  const [name, floors] = INSIDE[room];
  const part = partOf(from, room), target = partOf(to, room), floor = floors[part];
  if (floor === undefined) {
    return `${from}: ${part} is not in ${name}: add what it may import`;
  }
  if (target === part || floor.includes(target) || floor.includes(to)) return undefined;
  const allowed = floor.length > 0 ? `only ${floor.join(", ")}` : "nothing else";
  return `${from} imports ${to}: inside ${room}, ${part} may import ${allowed}`;
}

/** What each file imports. */
function graphOf(imports: readonly Import[]): Map<string, string[]> {
  const graph = new Map<string, string[]>();
  for (const { from, to } of imports) graph.set(from, [...graph.get(from) ?? [], to]);
  return graph;
}

/** What a file needs, directly or not, each with the file that imports it on the shortest path. */
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

/** The shortest circle of imports through each file, as the files on it; each circle once. */
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
 * Imports of packages and URLs by some files and by what these need: a sentence each.
 *
 * @param allowed Specifiers that are allowed; default none.
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
      broken.push(`${from} imports ${to}: ${file} may need ${rule}`);
    }
  }
  return broken;
}
