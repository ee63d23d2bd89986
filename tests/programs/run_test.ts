/** How programs end: exit codes and what they print. */

import { assertEquals } from "@std/assert";
import { checkErrno, path, stubs } from "../../native/stubs.ts";
import { ffiOnly, Program, TemporaryDirectory, until } from "../support/processes.ts";

const SOCK_STREAM = 1, POLLIN = 1;

Deno.test("run() prints the signal that arrives while a device is opened, and exits with 128 and its number", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("mute.sock");
  const listener = checkErrno("bind", stubs.ixy_bind(path(socket), SOCK_STREAM));
  const command = ffiOnly("echo.ts", [`vfio-user:${socket}`, "192.0.2.1"]);
  await using program = Program.start(command);
  await until("the connection", () => stubs.ixy_poll(Int32Array.of(listener, POLLIN), 1, 0) === 1);
  program.kill("SIGTERM");
  const { code, stdout, stderr } = await program.finish();
  const sentence = "SIGTERM ended the wait for the device\n";
  assertEquals({ code, stdout, stderr }, { code: 128 + 15, stdout: "", stderr: sentence });
  stubs.ixy_close(listener);
});
