/** Interrupts as buses bring them: vfio-user against the software NIC, and buses that have none. */

import { assertEquals, assertThrows } from "@std/assert";
import { EICS_EX, EIMS_EX, GPIE } from "../../ixgbe/registers.ts";
import { UsageError } from "../../mod.ts";
import { openInterrupts } from "../../src/pci/function.ts";
import { VfioUserFunction } from "../../src/pci/vfio_user.ts";
import { Registers } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { eventfds, readable, signals } from "../support/interrupt_events.ts";
import { Sim, TemporaryDirectory, until } from "../support/processes.ts";

/** More vectors than a message carries descriptors. */
const MANY = 20;
const DEADLINE_MS = 10000;

function busOf(sim: Sim): VfioUserFunction {
  return new VfioUserFunction("nic", sim.addresses[0].slice("vfio-user:".length));
}

/** Has the software NIC send messages whenever EICS_EX is written. */
function ready(bus: VfioUserFunction): Registers {
  const regs = new Registers(bus.bar(0), "nic");
  regs.write(GPIE, GPIE.MULTIPLE_MSIX);
  regs.write(EIMS_EX, 0xffffffff);
  return regs;
}

Deno.test("Bus.interrupts() gives each vector an eventfd of its own", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const bus = busOf(sim);
  const fds = openInterrupts(bus, MANY);
  assertEquals(new Set(fds).size, MANY);
  const regs = ready(bus);
  for (const vector of [0, 15, 16, MANY - 1]) {
    regs.write(EICS_EX, 2 ** vector);
    assertEquals(readable([fds[vector]], DEADLINE_MS), [true]);
    assertEquals(readable(fds), fds.map((_, i) => i === vector));
    assertEquals(signals(fds[vector]), 1);
  }
  assertThrows(() => bus.interrupts(1), Error, "on already");
  bus.close();
  await sim.quit();
});

Deno.test("Bus.interrupts() refuses more vectors than the device has, and leaves none", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const bus = busOf(sim);
  const before = await eventfds();
  assertThrows(() => bus.interrupts(65), UsageError, "nic: the device has 64 MSI-X vectors");
  assertEquals(await eventfds(), before);
  assertEquals(bus.interrupts(64).length, 64);
  bus.close();
  await sim.quit();
});

Deno.test("Bus.close() takes vectors from the device and closes their eventfds", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const here = await eventfds(), there = await eventfds(sim.program.pid);
  const bus = busOf(sim);
  bus.interrupts(MANY);
  assertEquals(await eventfds(), here + MANY);
  assertEquals(await eventfds(sim.program.pid), there + MANY);
  bus.close();
  bus.close();
  assertEquals(await eventfds(), here);
  await until("the server to close them", async () => {
    return await eventfds(sim.program.pid) === there;
  });
  await sim.quit();
});

Deno.test("Bus.close() closes eventfds although the server is gone", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const before = await eventfds();
  const bus = busOf(sim);
  bus.claim(false);
  bus.interrupts(1);
  sim.program.kill("SIGKILL");
  await sim.program.finish();
  bus.close();
  assertEquals(await eventfds(), before);
});

Deno.test("openInterrupts() says what to do where a bus brings none", () => {
  assertThrows(
    () => openInterrupts(new ModelFunction(), 1),
    UsageError,
    "bind the device to vfio-pci",
  );
});
