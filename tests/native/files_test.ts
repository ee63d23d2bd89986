/** Small files and directories through the stubs. */

import { assertEquals } from "@std/assert";
import { list } from "../../native/files.ts";

Deno.test("list() gives every name in a directory, however many there are", () => {
  const directory = Deno.makeTempDirSync();
  try {
    assertEquals(list(directory), []);
    const names: string[] = [];
    for (const count of [1, 100, 1000]) { // 1000 names of 200 bytes
      while (names.length < count) {
        const name = `${names.length}`.padStart(200, "-");
        Deno.writeTextFileSync(`${directory}/${name}`, "");
        names.push(name);
      }
      assertEquals(list(directory).sort(), names.toSorted());
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("list() gives no name where there is no directory", () => {
  assertEquals(list("/proc/self/nothing"), []);
  assertEquals(list("/proc/self/status"), []);
});
