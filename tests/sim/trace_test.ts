/** The trace of register accesses of the NIC model's program. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CTRL, RDT, STATUS } from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import { UsageError } from "../../src/errors.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { Trace } from "../../sim/pci/trace.ts";
import { TraceFile } from "../../sim/pci/trace_file.ts";
import { assertRefused, ffiOnly, run, TemporaryDirectory } from "../support/processes.ts";

Deno.test("Trace records accesses by name, in order, and passes them on", async () => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("trace");
  const nic = new Nic();
  using sink = new TraceFile(file);
  const model = new Trace(sink).before(nic, 1);
  const status = model.read32(offsetOf(STATUS));
  assertEquals(status, nic.read32(offsetOf(STATUS)));
  model.setBusMaster(true);
  model.write32(offsetOf(RDT, 3), 17);
  assertEquals(nic.read32(offsetOf(RDT, 3)), 17);
  model.write32(offsetOf(CTRL), CTRL.GIO_DIS);
  model.read32(0x1fffc);
  model.disconnect();
  const lines = (await Deno.readTextFile(file)).trimEnd().split("\n");
  for (const line of lines) assertMatch(line, /^\d+\.\d{6} 1 /);
  assertEquals(lines.map((line) => line.slice(line.indexOf(" ") + 3)), [
    `read  STATUS 0x${status.toString(16).padStart(8, "0")}`,
    "bus master on",
    "write RDT[3] 0x00000011",
    "write CTRL 0x00000004",
    "read  0x0001fffc 0x00000000",
    "the client has gone",
  ]);
});

Deno.test("TraceFile names the reason why a file cannot be written", async () => {
  assertThrows(() => new TraceFile("/proc/none/trace"), UsageError, "/proc/none/trace");
  await using directory = await TemporaryDirectory.make();
  const args = ["--socket", directory.file("nic.sock"), "--trace", directory.file("none/trace")];
  const { code, stderr, stdout } = await run(ffiOnly("sim/main.ts", args));
  assertEquals([code, stdout], [2, ""]);
  assertMatch(stderr, /^error: cannot write .*none\/trace: [^\n]+\n$/);
});

Deno.test("sim/main.ts --trace refuses tails in shared memory", async () => {
  await using directory = await TemporaryDirectory.make();
  const args = ["--socket", directory.file("nic.sock"), "--trace", directory.file("trace")];
  assertRefused(
    await run(ffiOnly("sim/main.ts", [...args, "--doorbells=poll"])),
    /--trace .* tails/,
  );
});

Deno.test("sim/main.ts --trace records a driver's accesses, including tails", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("nic.sock"), file = directory.file("trace");
  const sim = run(
    ffiOnly("sim/main.ts", [
      ...["--socket", socket, "--wire", "none", "--trace", file],
      ...["--quiet", "--seconds", "6"],
    ]),
  );
  const options = ["--rate", "1000", "--count", "50", "--quiet"];
  const sender = ffiOnly("pktgen.ts", [...options, `vfio-user:${socket}`]);
  const tries = performance.now() + 5000;
  while (!await Deno.lstat(socket).then(() => true, () => false) && performance.now() < tries);
  const { code, stderr } = await run(sender);
  assertEquals([code, stderr], [0, ""]);
  assertEquals((await sim).code, 0);
  const trace = await Deno.readTextFile(file);
  for (const line of ["write CTRL 0x", "read  LINKS 0x", "write TDT[0] 0x00000032"]) {
    assertMatch(trace, new RegExp(line.replace(/[[\]]/g, "\\$&")));
  }
});
