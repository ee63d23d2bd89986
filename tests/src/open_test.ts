/** From an address to a driver. */

import { assertEquals, assertRejects } from "@std/assert";
import type { Device } from "../../src/device.ts";
import type { Driver } from "../../src/driver.ts";
import { layoutFor as suitableLayout, openDevice } from "../../src/open.ts";
import { layoutFor, UsageError } from "../../mod.ts";

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

Deno.test("layoutFor() returns the most headroom, or 0 if a device has no use for it; spread if all take it", () => {
  const all: Driver[] = [
    { name: "none", schemes: ["none"] },
    { name: "some", schemes: ["some"], headroom: 64 },
    { name: "more", schemes: ["more"], headroom: 256, spread: true },
    { name: "wide", schemes: ["wide"], spread: true },
  ];
  const of = (...addresses: string[]) => suitableLayout(addresses, all);
  const headrooms: [number, string[]][] = [
    [0, []],
    [64, ["some:a"]],
    [64, ["some:a", "some:b"]],
    [256, ["some:a", "more:b"]],
    [0, ["none:a"]],
    [0, ["some:a", "none:b"]],
    [0, ["some:a", "nonsense"]],
  ];
  for (const [headroom, addresses] of headrooms) {
    assertEquals(of(...addresses), { headroom, spread: false }, `${addresses}`);
  }
  assertEquals(of("more:a", "more:b"), { headroom: 256, spread: true });
  assertEquals(of("more:a", "wide:b"), { headroom: 0, spread: true });
  assertEquals(of("wide:a", "nonsense"), { headroom: 0, spread: false });
});

Deno.test("layoutFor() of this project's drivers returns what all devices have use for", () => {
  const virtio = ["vhost-user:a", "vhost-user-server:b"];
  assertEquals(layoutFor(...virtio), { headroom: 64, spread: false });
  assertEquals(layoutFor("xdp:a", "vhost-user:b"), { headroom: 256, spread: false });
  for (const other of ["vfio-user:a", "ffff:ff:1f.7", ""]) {
    for (const first of ["vhost-user:a", "xdp:a"]) {
      assertEquals(layoutFor(first, other), { headroom: 0, spread: false }, `${first} ${other}`);
    }
  }
});
