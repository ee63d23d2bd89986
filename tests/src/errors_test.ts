/** Errors that the library throws: their classes, messages and properties. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, open, SystemError, UsageError } from "../../mod.ts";
import { Errno } from "../../native/stubs.ts";
import { checkCall, makeCalls } from "../../src/errors.ts";
import { FileRegion } from "../../src/pci/file_region.ts";

Deno.test("UsageError has an option and a cause if they are given", () => {
  const cause = new Error("why");
  const error = new UsageError("a sentence", { option: "force", cause });
  assertEquals([error.message, error.option, error.cause], ["a sentence", "force", cause]);
  assertEquals([error.name, error instanceof Error], ["UsageError", true]);
  const plain = new UsageError("a sentence");
  assertEquals([plain.option, "cause" in plain], [undefined, false]);
});

Deno.test("checkCall() returns results, and throws a DeviceError for a failure", () => {
  assertEquals([checkCall("a", "look", 0), checkCall("a", "look", 7)], [0, 7]);
  const error = assertThrows(() => checkCall("a", "look", -Errno.EIO, "reset it"), DeviceError);
  assertEquals([error.message, error.device], ["a: look: input/output error: reset it", "a"]);
  assertEquals((error.cause as SystemError).errno, Errno.EIO);
});

Deno.test("makeCalls() turns a SystemError into a DeviceError, and no other error", () => {
  assertEquals(makeCalls("a", () => 5), 5);
  const failing = (error: Error) => () => {
    throw error;
  };
  const cause = new SystemError("open x", Errno.ENOENT);
  const error = assertThrows(() => makeCalls("a", failing(cause)), DeviceError);
  assertEquals(error.message, "a: open x: no such file or directory: see what dmesg says");
  assertEquals(error.cause, cause);
  const usage = new UsageError("no");
  assertEquals(assertThrows(() => makeCalls("a", failing(usage)), UsageError), usage);
});

Deno.test("FileRegion names the device and the reason if a read or write fails", () => {
  const region = new FileRegion("a", "config", -1, 256);
  for (const use of [() => region.read(4, 2), () => region.write(4, 2, 0)]) {
    const error = assertThrows(use, DeviceError, "2 bytes at 4 of config: bad file descriptor");
    assertEquals([error.device, (error.cause as SystemError).errno], ["a", 9]);
  }
});

Deno.test("open() says why a socket cannot be used, with the SystemError as the cause", async () => {
  for (const scheme of ["vfio-user", "vhost-user"]) {
    const error = await assertRejects(() => open(`${scheme}:/nowhere.sock`), UsageError);
    assertEquals((error.cause as SystemError).errno, Errno.ENOENT);
  }
});
