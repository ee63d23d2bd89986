/**
 * Modules for workers. Deno lets the main thread load its modules by itself, but a worker those of the
 * same checkout only with `--allow-read`. With `--allow-ffi` alone the files are read through the stubs
 * and given to the worker as `blob:` URLs, imports included. Nothing is compiled or bundled here.
 *
 * @module
 */

import { checkErrno, path, stubs } from "../native/stubs.ts";

/** Statements by which a module imports another of this project, in the form that `deno fmt` gives. */
const IMPORT = /^((?:import|export)\b[^;"]*?)"(\.{1,2}\/[^"]+)";$/gm;
const TYPES_ONLY = /^(?:import|export) type\b/;

/** The URL to make a worker from, for each module that was asked for or is imported by one. */
const urls = new Map<string, string>();

/**
 * What to make a worker from.
 *
 * @param module The URL of the worker's module. It and what it imports have no circular imports, but of
 * types.
 * @throws {SystemError} if a file cannot be read.
 */
export function workerModule(module: URL): string {
  if (module.protocol !== "file:") return module.href; // what may be fetched may be fetched by workers
  const known = urls.get(module.href);
  if (known === "") throw new Error(`${module.href} imports itself`);
  if (known !== undefined) return known;
  urls.set(module.href, "");
  const source = readFile(decodeURIComponent(module.pathname));
  const text = source.replace(IMPORT, (statement, before: string, specifier: string) => {
    if (TYPES_ONLY.test(statement)) return "";
    return `${before}"${workerModule(new URL(specifier, module))}";`;
  });
  // Types that are imported were checked where the modules are files, and are missing here.
  const blob = new Blob(["// @ts-nocheck\n", text], { type: "application/typescript" });
  const url = URL.createObjectURL(blob);
  urls.set(module.href, url);
  return url;
}

function readFile(file: string): string {
  const fd = checkErrno(`open ${file}`, stubs.ixy_open(path(file), 0, 0));
  try {
    const size = new Float64Array(1);
    checkErrno(`stat ${file}`, stubs.ixy_size(fd, size));
    const bytes = new Uint8Array(size[0]);
    const n = checkErrno(`read ${file}`, stubs.ixy_pread(fd, bytes, bytes.length, 0));
    return new TextDecoder().decode(bytes.subarray(0, n));
  } finally {
    stubs.ixy_close(fd);
  }
}
