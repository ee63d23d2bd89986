/**
 * Deno's standard library for a machine without a network: its files, and a configuration of this
 * project that refers to them instead of packages.
 *
 * @module
 */

const CONFIGURATION = new URL("../deno.json", import.meta.url);

/** What the project's programs need on a machine that cannot fetch packages. */
export interface Offline {
  /** Content of `deno.json`. */
  readonly configuration: string;
  /** The import map in `deno.json`. */
  readonly imports: Readonly<Record<string, string>>;
  /** Files of the standard library, by their paths in its directory. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Collects the files and the configuration.
 *
 * @param directory Directory for the files: an absolute path or URL, without a trailing slash.
 */
export async function offline(directory: string): Promise<Offline> {
  const configuration = JSON.parse(await Deno.readTextFile(CONFIGURATION));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const imports: Record<string, string> = {};
  // Only what programs import, without tests and benchmarks. None of these modules imports another.
  for (const name of Object.keys(configuration.imports)) {
    if (!name.startsWith("jsr:")) continue;
    const url = new URL(import.meta.resolve(name)),
      path = url.pathname.split("/").slice(-2).join("/");
    files.set(path, await Deno.readFile(url));
    imports[name] = `${directory}/${path}`;
  }
  return {
    configuration: JSON.stringify({ ...configuration, imports, lock: false }),
    imports,
    files,
  };
}
