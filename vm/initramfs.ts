/**
 * The guest's file system, which is in its memory: a cached archive with Deno, a shell and kernel
 * modules, and a small archive with the current files of this project, which is built for each
 * boot.
 *
 * @module
 */

import { Progress } from "../programs/progress.ts";
import { cached, defaultCache } from "./cache.ts";
import { runOnHost } from "./command.ts";
import { Archive } from "./cpio.ts";
import type { Unpacked } from "./debian.ts";
import type { Kernel, Module } from "./kernel.ts";
import { offline } from "./offline.ts";
import { UsageError } from "../src/errors.ts";

const PROJECT = new URL("../", import.meta.url).pathname;
/** Files of the project to copy to the guest. */
const SOURCES = /\.(ts|json|lock|md|c|h|sh)$/;
/** Scripts that run in the guest. */
const SCRIPTS = ["init", "agent", "job"];
/** Libraries of every guest: those that Deno is linked with. */
export const LIBRARIES: readonly string[] = [
  "libc.so.6",
  "libdl.so.2",
  "libgcc_s.so.1",
  "libm.so.6",
  "libpthread.so.0",
  "librt.so.1",
];
/** Directory of libraries in the guest. */
export const LIBRARY_DIRECTORY = "lib/x86_64-linux-gnu";
const LOADER = "ld-linux-x86-64.so.2";
/** Longest that the shell may take to list its commands, in milliseconds. */
const LIST_MS = 10000;

/**
 * Returns the cached archive, and builds it if it is absent.
 *
 * @param kernel The guest's kernel.
 * @param modules Modules that the guest can load.
 * @returns Its path.
 * @throws {UsageError} if Debian's packages lack something.
 */
export async function baseArchive(kernel: Kernel, modules: readonly Module[]): Promise<string> {
  const list = new TextEncoder().encode(modulesDep(modules) + LIBRARIES);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", list)).toHex().slice(0, 12);
  const name = `initramfs/deno-${Deno.version.deno}-linux-${kernel.release}-${hash}.cpio`;
  return await cached(defaultCache(), name, async (path) => {
    using progress = new Progress("vm");
    progress.show(`building the guest's file system, with Deno ${Deno.version.deno}`);
    const archive = new Archive();
    for (const directory of ["dev", "proc", "sys", "tmp", "run", "etc"]) {
      archive.directory(directory);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    await addPrograms(archive, kernel.unpacked);
    await addModules(archive, kernel, modules);
    await Deno.writeFile(path, ReadableStream.from(archive.end()));
  });
}

/** Returns an archive of the project's current files, and of the scripts that run in the guest. */
export async function projectArchive(): Promise<Uint8Array[]> {
  const archive = new Archive();
  const { configuration, files } = await offline("/std");
  for (const script of SCRIPTS) {
    const content = await Deno.readFile(`${PROJECT}vm/guest/${script}`);
    archive.file(script === "init" ? "init" : `guest/${script}`, content, true);
  }
  const visit = async (directory: string) => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(PROJECT + directory)) {
      if (name.startsWith(".") || name === "node_modules") continue;
      if (isDirectory) await visit(`${directory}${name}/`);
      if (!isFile || !SOURCES.test(name)) continue;
      const path = directory + name;
      const content = path === "deno.json" ? configuration : await Deno.readFile(PROJECT + path);
      archive.file(`project/${path}`, content);
    }
  };
  await visit("");
  for (const [path, content] of files) archive.file(`std/${path}`, content);
  return archive.end();
}

async function addPrograms(archive: Archive, unpacked: Unpacked): Promise<void> {
  const busybox = unpacked.program("busybox");
  archive.file("bin/busybox", await Deno.readFile(busybox), true);
  const applets = await runOnHost([busybox, "--list"], LIST_MS);
  if (!applets?.success) throw new UsageError(`${busybox} does not run; remove ${unpacked.root}`);
  for (const applet of applets.stdout.trim().split("\n")) {
    if (applet !== "busybox") archive.link(`bin/${applet}`, "busybox");
  }
  archive.file("bin/deno", await Deno.readFile(Deno.execPath()), true);
  archive.file(`lib64/${LOADER}`, await Deno.readFile(unpacked.library(LOADER)), true);
  for (const library of LIBRARIES) {
    archive.file(
      `${LIBRARY_DIRECTORY}/${library}`,
      await Deno.readFile(unpacked.library(library)),
    );
  }
}

async function addModules(archive: Archive, kernel: Kernel, modules: readonly Module[]) {
  const directory = `lib/modules/${kernel.release}`;
  for (const { path } of modules) {
    archive.file(`${directory}/${path}`, await kernel.content(path));
  }
  archive.file(`${directory}/modules.dep`, modulesDep(modules));
}

/**
 * Returns modprobe's modules.dep: each module's path and its dependencies, the first to load last.
 */
function modulesDep(modules: readonly Module[]): string {
  return modules.map(({ path, needs }) => `${path}: ${needs.toReversed().join(" ")}\n`).join("");
}
