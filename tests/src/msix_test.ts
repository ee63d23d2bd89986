/** MSI-X interrupts of PCI functions: vfio-user with the software NIC, and functions without any. */

import { assertEquals, assertThrows } from "@std/assert";
import { EICS_EX, EIMS_EX, GPIE } from "../../ixgbe/registers.ts";
import { UsageError } from "../../mod.ts";
import { openInterrupts } from "../../src/pci/function.ts";
import { VfioUserFunction } from "../../src/pci/vfio_user.ts";
import { Registers } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { eventfds, readable, signals } from "../support/interrupt_events.ts";
import { Sim, TemporaryDirectory, until } from "../support/processes.ts";

/** More vectors than a message can carry file descriptors. */
const MANY = 20;
const DEADLINE_MS = 10000;

function open(sim: Sim): VfioUserFunction {
  return new VfioUserFunction("nic", sim.addresses[0].slice("vfio-user:".length));
}

/** Configures the software NIC to send a message whenever EICS_EX is written. */
function ready(pci: VfioUserFunction): Registers {
  const regs = new Registers(pci.bar(0), "nic");
  regs.write(GPIE, GPIE.MULTIPLE_MSIX);
  regs.write(EIMS_EX, 0xffffffff);
  return regs;
}

Deno.test("PciFunction.interrupts() connects each vector to an eventfd of its own", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const pci = open(sim);
  const fds = openInterrupts(pci, MANY);
  assertEquals(new Set(fds).size, MANY);
  const regs = ready(pci);
  for (const vector of [0, 15, 16, MANY - 1]) {
    regs.write(EICS_EX, 2 ** vector);
    assertEquals(readable([fds[vector]], DEADLINE_MS), [true]);
    assertEquals(readable(fds), fds.map((_, i) => i === vector));
    assertEquals(signals(fds[vector]), 1);
  }
  assertThrows(() => pci.interrupts(1), Error, "enabled already");
  pci.close();
  await sim.quit();
});

Deno.test("PciFunction.interrupts() refuses more vectors than the device has, and leaks no eventfd", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const pci = open(sim);
  const before = await eventfds();
  assertThrows(() => pci.interrupts(65), UsageError, "nic: the device has 64 MSI-X vectors");
  assertEquals(await eventfds(), before);
  assertEquals(pci.interrupts(64).length, 64);
  pci.close();
  await sim.quit();
});

Deno.test("PciFunction.close() disconnects vectors and closes their eventfds", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const here = await eventfds(), there = await eventfds(sim.program.pid);
  const pci = open(sim);
  pci.interrupts(MANY);
  assertEquals(await eventfds(), here + MANY);
  assertEquals(await eventfds(sim.program.pid), there + MANY);
  pci.close();
  pci.close();
  assertEquals(await eventfds(), here);
  await until("the server to close them", async () => {
    return await eventfds(sim.program.pid) === there;
  });
  await sim.quit();
});

Deno.test("PciFunction.close() closes eventfds even if the server is gone", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const before = await eventfds();
  const pci = open(sim);
  pci.claim(false);
  pci.interrupts(1);
  sim.program.kill("SIGKILL");
  await sim.program.finish();
  pci.close();
  assertEquals(await eventfds(), before);
});

Deno.test("openInterrupts() says what to do if interrupts are not supported", () => {
  assertThrows(
    () => openInterrupts(new ModelFunction(), 1),
    UsageError,
    "bind the device to vfio-pci",
  );
});
