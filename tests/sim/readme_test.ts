/** Compares the NIC model's README with its code: files, folders and registers. */

import { assert, assertEquals } from "@std/assert";
import { REGISTERS } from "../../ixgbe/registers.ts";
import { SIM_FLOORS } from "../support/imports.ts";
import { PROJECT } from "../support/processes.ts";

const SECTION = /### Registers that only hold what is written\n([^]*?)(?=\n##|$)/;
/** Names in the list that explain others. */
const EXPLAINED = ["TXPBTHRESH", "TXPBSIZE"];
/** Registers that the code names only as halves of counters, and that never count. */
const PAIRS = ["RXDDGBCL", "RXDDGBCH", "RXLPBKGBCL", "RXLPBKGBCH"];

/** Returns the names in the model's code, without comments. */
async function namesInCode(): Promise<Set<string>> {
  const names = new Set<string>();
  const visit = async (directory: string) => {
    for await (const { name, isDirectory } of Deno.readDir(directory)) {
      if (isDirectory) await visit(`${directory}/${name}`);
      if (!name.endsWith(".ts")) continue;
      const code = (await Deno.readTextFile(`${directory}/${name}`))
        .replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
      for (const [word] of code.matchAll(/\b[A-Z][A-Z0-9_]+\b/g)) names.add(word);
    }
  };
  await visit(`${PROJECT}sim`);
  return names;
}

function exists(name: string): boolean {
  try {
    Deno.statSync(`${PROJECT}${name}`);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function pattern(word: string): RegExp {
  return new RegExp(`^${word.replaceAll("*", "[A-Z0-9_]*")}$`);
}

Deno.test("sim/README.md lists exactly the registers without effect in the model", async () => {
  const readme = await Deno.readTextFile(`${PROJECT}sim/README.md`);
  const [, section] = SECTION.exec(readme)!;
  const words = [...section.matchAll(/\b[A-Z][A-Z0-9_*]+/g)].map(([word]) => word);
  const known = await namesInCode();
  const all = Object.keys(REGISTERS);
  const idle = all.filter((name) => !known.has(name) || PAIRS.includes(name));
  const listed = words.filter((word) => all.some((name) => pattern(word).test(name)));
  assertEquals(idle.filter((name) => !listed.some((word) => pattern(word).test(name))), []);
  const named = listed.filter((word) => !EXPLAINED.includes(word));
  assertEquals(named.filter((word) => !idle.some((name) => pattern(word).test(name))), []);
});

Deno.test("sim/README.md names only files and folders that exist", async () => {
  const readme = await Deno.readTextFile(`${PROJECT}sim/README.md`);
  const named = Array.from(
    readme.matchAll(/`((?:[a-z_]+\/)+(?:[a-z_]+\.ts)?)`/g),
    ([, name]) => name,
  );
  assert(named.length > 10, "the README says how the model is built");
  const missing = named.filter((name) => !exists(`sim/${name}`) && !exists(name));
  assertEquals(missing, []);
});

Deno.test("sim/README.md lists each folder above those that it may import", async () => {
  const readme = await Deno.readTextFile(`${PROJECT}sim/README.md`);
  const rows = Array.from(
    readme.matchAll(/^\| ((?:`[a-z]+\/` ?)+) *\|/gm),
    ([, names]) => Array.from(names.matchAll(/`([a-z]+\/)`/g), ([, name]) => `sim/${name}`),
  );
  const folders = Object.keys(SIM_FLOORS).filter((part) => part.endsWith("/"));
  assertEquals(rows.flat().toSorted(), folders.toSorted());
  for (const [i, row] of rows.entries()) {
    const below = rows.slice(i + 1).flat();
    const imported = row.flatMap((folder) => SIM_FLOORS[folder]);
    assertEquals(imported.filter((to) => !below.some((folder) => to.startsWith(folder))), []);
  }
});
