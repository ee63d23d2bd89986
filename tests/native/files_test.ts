/** Files of the kernel, and ordinary files that resemble them. */

import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { FileKind, ifReadable, readBytes, readText, status } from "../../native/files.ts";
import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";

/** Calls `use` with a temporary file of this content. */
function withFile(content: Uint8Array, use: (file: string) => void): void {
  const file = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(file, content);
    use(file);
  } finally {
    Deno.removeSync(file);
  }
}

Deno.test("readBytes() reads a file to its end, or to the number of bytes given", () => {
  for (const size of [0, 1, 4095, 4096, 4097, 100_000]) {
    const content = Uint8Array.from({ length: size }, (_, i) => i * 7);
    withFile(content, (file) => {
      assertEquals(readBytes(file), content);
      assertEquals(readBytes(file, 5000), content.subarray(0, 5000));
      assertEquals(readBytes(file, 1), content.subarray(0, 1));
    });
  }
});

Deno.test("readText() trims white space at both ends, and reads files of unknown size", () => {
  withFile(new TextEncoder().encode(" \n0x0200 é\n"), (file) => {
    assertEquals(readText(file), "0x0200 é");
  });
  assertEquals(Deno.statSync("/proc/self/maps").size, 0);
  assertEquals(readText("/proc/self/maps").length > 4096, true);
});

Deno.test("ifReadable() returns undefined for a file that does not exist, and throws other errors", () => {
  assertEquals(ifReadable(() => readText("/proc/self/comm").length > 0), true);
  assertEquals(ifReadable(() => readText("/no/such/file")), undefined);
  const { errno } = assertThrows(() => readText("/no/such/file"), SystemError);
  assertEquals(errno, Errno.ENOENT);
  assertThrows(() => ifReadable(() => readText("/")), SystemError, "is a directory");
});

Deno.test("status() tells files by device, inode and kind, and does not follow a link at a path", () => {
  const directory = Deno.makeTempDirSync();
  const [file, link] = [`${directory}/file`, `${directory}/link`];
  Deno.writeTextFileSync(file, "12345");
  Deno.symlinkSync(file, link);
  const fd = stubs.ixy_open(path(link), 0, 0);
  const found = status(fd);
  stubs.ixy_close(fd);
  assertEquals([found.kind, found.size], [FileKind.REGULAR, 5]);
  assertEquals(found, status(file));
  assertNotEquals(status(link).inode, found.inode);
  const { dev, ino } = Deno.statSync(file);
  assertEquals([found.device, found.inode, found.hugepage], [dev, ino, 0]);
  Deno.removeSync(directory, { recursive: true });
  assertThrows(() => status(file), SystemError, "no such file");
});
