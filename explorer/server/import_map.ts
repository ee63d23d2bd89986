/**
 * The import map of the bundles: the packages of the project and of the explorer, and the stand-ins
 * for native code. No module of driver or model knows that it is bundled.
 *
 * @module
 */

/** The project's root, as a URL. */
export const PROJECT = new URL("../../", import.meta.url);

/** What a browser does not have, and what stands in for it. */
const STAND_INS: Readonly<Record<string, string>> = {
  "native/stubs.ts": "explorer/platform/stubs.ts",
  "native/mapping.ts": "explorer/platform/mapping.ts",
};

/** Files of the project that list packages. */
const LISTS = ["deno.json", "explorer/deno.json"];

/** An import map, as `deno bundle --import-map` takes it. */
interface ImportMap {
  readonly imports: Readonly<Record<string, string>>;
}

/** Returns the import map. Its keys and values are packages, and absolute URLs of files. */
export async function importMap(): Promise<ImportMap> {
  const imports: Record<string, string> = {};
  for (const list of LISTS) {
    const { imports: listed } = JSON.parse(await Deno.readTextFile(new URL(list, PROJECT)));
    Object.assign(imports, listed);
  }
  for (const [file, standIn] of Object.entries(STAND_INS)) {
    imports[new URL(file, PROJECT).href] = new URL(standIn, PROJECT).href;
  }
  return { imports };
}
