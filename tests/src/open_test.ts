/** From an address to a driver. */

import { assertEquals, assertRejects } from "@std/assert";
import type { Device } from "../../src/device.ts";
import type { Driver } from "../../src/driver.ts";
import { headroomFor as suitableHeadroom, openDevice } from "../../src/open.ts";
import { headroomFor, UsageError } from "../../mod.ts";

/** Drivers that record what they are asked to open. */
function drivers(taken: unknown[]): Driver[] {
  const attach = (): Promise<Device> => Promise.reject(new Error("attach() must not be called"));
  const connect = (...of: unknown[]) => {
    taken.push(of);
    return Promise.resolve({} as Device);
  };
  return [
    { name: "first", vendor: 0x8086, attach },
    { name: "second", vendor: 0x1af4, schemes: ["vhost-user"], attach, connect },
  ];
}

Deno.test("openDevice() passes an address with a driver's scheme to that driver", async () => {
  const taken: unknown[] = [];
  const options = { rxEntries: 64 };
  await openDevice("vhost-user:/tmp/a:b.sock", drivers(taken), options);
  assertEquals(taken, [["vhost-user:/tmp/a:b.sock", "/tmp/a:b.sock", options]]);
});

Deno.test("openDevice() refuses a malformed address, and names the valid forms", async () => {
  for (const address of ["eth0", "vhost-user:", "vfio-user:", "virtio:x", ":x", "03:00.8", ""]) {
    const { message } = await assertRejects(() => openDevice(address, drivers([])), UsageError);
    for (const form of [`"${address}"`, "0000:03:00.0", "vfio-user:PATH", "vhost-user:PATH"]) {
      assertEquals(message.includes(form), true, message);
    }
  }
});

Deno.test("openDevice() opens an address without a driver's scheme as a PCI function", async () => {
  for (const address of ["ffff:ff:1f.7", "1ffff:ff:1f.7"]) {
    await assertRejects(
      () => openDevice(address.toUpperCase(), drivers([])),
      UsageError,
      `${address}: no such PCI device`,
    );
  }
  await assertRejects(
    () => openDevice("vfio-user:/nowhere.sock", drivers([])),
    UsageError,
    "connect to /nowhere.sock",
  );
});

Deno.test("headroomFor() returns the most that a device has use for, or 0 if one has none", () => {
  const all: Driver[] = [
    { name: "none", schemes: ["none"] },
    { name: "some", schemes: ["some"], headroom: 64 },
    { name: "more", schemes: ["more"], headroom: 256 },
  ];
  const of = (...addresses: string[]) => suitableHeadroom(addresses, all);
  assertEquals([of(), of("some:a"), of("some:a", "some:b"), of("some:a", "more:b")], [
    0,
    64,
    64,
    256,
  ]);
  assertEquals([of("none:a"), of("some:a", "none:b"), of("some:a", "nonsense")], [0, 0, 0]);
});

Deno.test("headroomFor() of this project's drivers is the most that a device has use for, or 0", () => {
  assertEquals(headroomFor("vhost-user:a", "vhost-user-server:b"), 64);
  assertEquals(headroomFor("xdp:a", "vhost-user:b"), 256);
  for (const other of ["vfio-user:a", "ffff:ff:1f.7", ""]) {
    assertEquals([headroomFor("vhost-user:a", other), headroomFor("xdp:a", other)], [0, 0], other);
  }
});
