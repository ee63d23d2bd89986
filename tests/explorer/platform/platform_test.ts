/** The stand-ins for native code behave as what they stand in for, as far as one thread can tell. */

import { assertEquals, assertThrows } from "@std/assert";
import * as mapping from "../../../explorer/platform/mapping.ts";
import * as stubs from "../../../explorer/platform/stubs.ts";
import * as nativeMapping from "../../../native/mapping.ts";
import * as nativeStubs from "../../../native/stubs.ts";

Deno.test("The stand-ins export the originals' names, but `unsupported`", () => {
  const names = (module: object) => Object.keys(module).sort();
  const original = names(nativeStubs).filter((name) => name !== "unsupported");
  assertEquals(names(stubs), original);
  assertEquals(names(mapping), names(nativeMapping));
  assertEquals(mapping.PageSize, nativeMapping.PageSize);
});

Deno.test("stubs: an eventfd counts, is polled and is emptied as the kernel's", () => {
  const play = ({ stubs }: Pick<typeof nativeStubs, "stubs">) => {
    const a = stubs.ixy_eventfd(), b = stubs.ixy_eventfd(), fds = Int32Array.of(a, 1, b, 1);
    const seen: unknown[] = [a !== b, stubs.ixy_empty(a), stubs.ixy_poll(fds, 2, 0)];
    seen.push(stubs.ixy_signal(b), stubs.ixy_signal(b), stubs.ixy_poll(fds, 2, 0));
    seen.push([fds[1], fds[3]], stubs.ixy_empty(b), stubs.ixy_empty(b));
    seen.push(stubs.ixy_poll(fds, 2, 0), [fds[1], fds[3]], stubs.ixy_close(a), stubs.ixy_close(b));
    return seen;
  };
  assertEquals(play(stubs), play(nativeStubs));
});

Deno.test("stubs: any other call names itself", () => {
  assertThrows(() => stubs.stubs.ixy_pread, Error, "ixy_pread: a browser has no such system call");
});

Deno.test("Mapping.memory() is zeroed, and unmapping empties every view", () => {
  for (const { Mapping } of [mapping, nativeMapping]) {
    const memory = Mapping.memory(8192, false), view = new Uint8Array(memory.buffer);
    assertEquals(view.every((byte) => byte === 0), true);
    memory.unmap();
    memory.unmap();
    assertEquals(view.length, 0);
    assertThrows(() => memory.buffer, Error, "memory used after it was unmapped");
    assertThrows(() => memory.address, Error, "memory used after it was unmapped");
  }
  assertThrows(() => mapping.Mapping.memory(4096, true), stubs.SystemError, "hugepages");
});
