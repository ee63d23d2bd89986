/**
 * Deno's standard library for a machine without a network: its files, and a configuration of this
 * project that names them in the place of packages.
 *
 * @module
 */

const CONFIGURATION = new URL("../deno.json", import.meta.url);

/** What programs of this project need where no package can be fetched. */
export interface Offline {
  /** What is in `deno.json`. */
  readonly configuration: string;
  /** The import map that is part of it. */
  readonly imports: Readonly<Record<string, string>>;
  /** Files by their paths in the directory of the standard library. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Collects what is needed.
 *
 * @param directory Where the files are to be: an absolute path or URL, without a slash at its end.
 */
export async function offline(directory: string): Promise<Offline> {
  const configuration = JSON.parse(await Deno.readTextFile(CONFIGURATION));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const imports: Record<string, string> = {};
  // What programs import; the rest is for tests and benches. None of these modules imports another.
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
