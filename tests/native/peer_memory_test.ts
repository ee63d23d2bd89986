/** Memory that is shared with other processes, which may truncate it. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { status } from "../../native/files.ts";
import { Mapping, PageSize } from "../../native/mapping.ts";
import { checkErrno, Open, path, stubs } from "../../native/stubs.ts";
import { Hugepages } from "../support/hugepages.ts";
import { isRoot, Program, PROJECT, run } from "../support/processes.ts";

const PAGE = 4096;
const O_RDWR_CREAT = Open.RDWR | 0o100;

/** Runs a test with a file of this many bytes, which can be truncated at its path. */
function withFile(bytes: number, test: (fd: number, file: string) => void): void {
  const file = Deno.makeTempFileSync();
  Deno.truncateSync(file, bytes);
  const fd = checkErrno("open", stubs.ixy_open(path(file), Open.RDWR, 0));
  try {
    test(fd, file);
  } finally {
    stubs.ixy_close(fd);
    Deno.removeSync(file);
  }
}

/** Asserts that who has a memory's descriptor cannot change its size. */
function assertSealed(memory: Mapping): void {
  const file = `/proc/${Deno.pid}/fd/${memory.fd}`;
  for (const bytes of [0, 2 * memory.bytes]) {
    const { stderr } = new Deno.Command("truncate", { args: ["-s", `${bytes}`, file] })
      .outputSync();
    assertMatch(new TextDecoder().decode(stderr), /not permitted/);
  }
  assertEquals(status(memory.fd).size, memory.bytes);
}

Deno.test("Mapping.memory() has a size that is sealed", () => {
  using memory = Mapping.memory(8 * PAGE, false);
  assertSealed(memory);
});

Deno.test({
  name: "Mapping.memory() of hugepages has a size that is sealed, and pages of that size",
  ignore: !isRoot,
  fn: () => {
    using _pages = new Hugepages(2);
    using memory = Mapping.memory(2 * PageSize.MIB_2, true);
    assertSealed(memory);
    assertEquals(status(memory.fd).hugepage, PageSize.MIB_2);
  },
});

Deno.test("Mapping.peerFile() refuses what the file does not have", () => {
  withFile(3 * PAGE, (fd) => {
    using mapping = Mapping.peerFile("memory", fd, 2 * PAGE, PAGE);
    assertEquals([mapping.bytes, mapping.lost], [2 * PAGE, false]);
    const sentence = "the file of memory has only 12288 bytes";
    assertThrows(() => Mapping.peerFile("memory", fd, 3 * PAGE, PAGE), RangeError, sentence);
    const event = checkErrno("eventfd", stubs.ixy_eventfd());
    assertThrows(
      () => Mapping.peerFile("memory", event, PAGE),
      RangeError,
      "is not a regular file",
    );
    stubs.ixy_close(event);
  });
});

Deno.test({
  name:
    "Mapping.peerFile() refuses a file of a file system that a process serves, and does not wait",
  ignore: !isRoot,
  fn: async () => {
    const file = Deno.makeTempFileSync(), O_PATH = 0o10000000;
    // Nothing answers requests of this file system.
    const options = "fd=9,rootmode=100644,user_id=0,group_id=0";
    const script =
      `exec 9<>/dev/fuse; mount -i -t fuse -o ${options} none ${file}; echo $?; read -r _`;
    await using server = Program.start(["sh", "-c", script]);
    try {
      assertEquals(await server.line(() => true), "0");
      const fd = checkErrno("open", stubs.ixy_open(path(file), O_PATH, 0));
      const sentence = "the file of memory is in a file system that may wait for a process";
      assertThrows(() => Mapping.peerFile("memory", fd, PAGE), RangeError, sentence);
      stubs.ixy_close(fd);
    } finally {
      await run(["umount", "--lazy", file]);
      Deno.removeSync(file);
    }
  },
});

Deno.test({
  name: "Mapping.peerFile() refuses parts of hugepages",
  ignore: !isRoot,
  fn: () => {
    using _pages = new Hugepages(2);
    using memory = Mapping.memory(2 * PageSize.MIB_2, true);
    for (const [bytes, offset] of [[PAGE, 0], [PAGE, PAGE], [PageSize.MIB_2, PAGE]]) {
      assertThrows(() => Mapping.peerFile("it", memory.fd, bytes, offset), RangeError, "hugepages");
    }
    using _second = Mapping.peerFile("it", memory.fd, PageSize.MIB_2, PageSize.MIB_2);
  },
});

Deno.test("Mapping.lost: memory reads as zeros once its file is truncated, and takes writes", () => {
  withFile(4 * PAGE, (fd, file) => {
    using lost = Mapping.peerFile("memory", fd, 2 * PAGE, PAGE);
    using kept = Mapping.peerFile("memory", fd, PAGE);
    const before = Mapping.losses;
    const bytes = new Uint8Array(lost.buffer), words = new Uint32Array(lost.buffer);
    bytes.fill(7);
    Deno.truncateSync(file, 2 * PAGE); // one page remains
    assertEquals([bytes[PAGE - 1], lost.lost], [7, false]);
    assertEquals(bytes[PAGE], 0);
    assertEquals([lost.lost, kept.lost, Mapping.losses], [true, false, before + 1]);
    assertEquals(bytes[PAGE - 1], 0, "one signal is enough for all of it");
    words.fill(0xcafe);
    assertEquals([words[0], words.at(-1), Mapping.losses], [0xcafe, 0xcafe, before + 1]);
    Deno.truncateSync(file, 0);
    Atomics.store(new Int32Array(kept.buffer), 9, 1);
    assertEquals([kept.lost, Mapping.losses], [true, before + 2]);
  });
});

Deno.test("Mapping.lost is false again for memory that is mapped later", () => {
  for (let i = 0; i < 100; i++) {
    withFile(PAGE, (fd, file) => {
      using memory = Mapping.peerFile("memory", fd, PAGE);
      const bytes = new Uint8Array(memory.buffer);
      assertEquals(memory.lost, false);
      if (i % 2 === 0) Deno.truncateSync(file, 0);
      bytes[0] = 1;
      assertEquals(memory.lost, i % 2 === 0);
    });
  }
});

Deno.test({
  name: "Mapping.lost: hugepages are replaced as a whole",
  ignore: !isRoot,
  fn: async () => {
    using _pages = new Hugepages(2);
    const directory = Deno.makeTempDirSync();
    assertEquals((await run(["mount", "-t", "hugetlbfs", "none", directory])).code, 0);
    const file = `${directory}/file`, bytes = 2 * PageSize.MIB_2;
    const fd = checkErrno("open", stubs.ixy_open(path(file), O_RDWR_CREAT, 0o600));
    try {
      Deno.truncateSync(file, bytes);
      using memory = Mapping.peerFile("memory", fd, bytes);
      const words = new Uint32Array(memory.buffer);
      words[5] = 5;
      Deno.truncateSync(file, PageSize.MIB_2);
      assertEquals([words[5], words.at(-1), words[5], memory.lost], [5, 0, 0, true]);
    } finally {
      stubs.ixy_close(fd);
      Deno.removeSync(file);
      await run(["umount", directory]);
      Deno.removeSync(directory);
    }
  },
});

/** A child that truncates a file which it has mapped, and then reads it. */
async function readTruncated(map: "peerFile" | "file", thread: "main" | "worker"): Promise<number> {
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  const script = `
    import { Mapping } from "${PROJECT}native/mapping.ts";
    import { path, stubs } from "${PROJECT}native/stubs.ts";
    function use(how) {
      const file = Deno.makeTempFileSync();
      Deno.truncateSync(file, 4096);
      const memory = Mapping[how]("memory", stubs.ixy_open(path(file), 2, 0), 4096);
      Deno.truncateSync(file, 0);
      Deno.removeSync(file);
      const value = new Uint8Array(memory.buffer)[0];
      if (!memory.lost) throw new Error("not lost");
      return value;
    }
    use("peerFile"); // installs the handler
    if (self.WorkerGlobalScope) {
      use("${map}");
      self.postMessage("done");
      self.close();
    } else if ("${thread}" === "worker") {
      const worker = new Worker(import.meta.url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      use("peerFile"); // the worker's handler calls this thread's, and the reverse
    } else use("${map}");`;
  Deno.writeTextFileSync(file, script);
  try {
    const { code, stderr } = await run([Deno.execPath(), "run", "-A", "--no-check", file]);
    if (code !== 0) assertEquals(stderr, "");
    return code;
  } finally {
    Deno.removeSync(file);
  }
}

const SIGBUS_CODE = 128 + 7;
for (const thread of ["main", "worker"] as const) {
  Deno.test(`SIGBUS in memory that is not watched ends the process as before (${thread})`, async () => {
    const [watched, unwatched] = await Promise.all([
      readTruncated("peerFile", thread),
      readTruncated("file", thread),
    ]);
    assertEquals([watched, unwatched], [0, SIGBUS_CODE]);
  });
}

Deno.test("ixy_watch() watches as much memory as a process can map, and reuses what is given back", () => {
  using memory = Mapping.memory(PAGE, false);
  const pointer = Deno.UnsafePointer.create(memory.address);
  const watched: number[] = [];
  let index: number;
  while ((index = stubs.ixy_watch(pointer, PAGE)) >= 0) watched.push(index);
  try {
    assertEquals(new Set(watched).size, watched.length);
    assert(watched.length > 65000);
    stubs.ixy_unwatch(watched[77]);
    assertEquals(stubs.ixy_watch(pointer, PAGE), watched[77]);
  } finally {
    for (const index of watched) stubs.ixy_unwatch(index);
  }
});
