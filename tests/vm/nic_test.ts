/**
 * `nic.ts` on a real kernel: cards whose interfaces are up, vfio-pci behind QEMU's IOMMU, and the
 * return to the kernel's driver.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { addressOf, macOf, VFIO_USER_QEMU, vfioUserNics, virtioNic } from "../../vm/devices.ts";
import { formatMac } from "../../src/driver.ts";
import { Machine } from "../../vm/machine.ts";
import { assertRefused, Sim, TemporaryDirectory } from "../support/processes.ts";
import { FORWARD, Guest, stopForwarder } from "./vfio_guest.ts";

const SLOTS = [3, 4, 5] as const;
/** Two modern cards behind the IOMMU, and a legacy one. */
const [A, B, LEGACY] = SLOTS.map((slot) => addressOf({ slot }));
/** Two functions that share an IOMMU group. */
const TWIN_A = addressOf({ slot: 6 }), TWIN_B = TWIN_A.replace(/0$/, "1");
const NIC = "deno run --no-prompt --allow-ffi nic.ts";

function cards(): string[] {
  const hub = (slot: number) => ({ slot, netdev: `hubport,hubid=${slot === 5 ? 1 : 0}` });
  const properties = { iommu_platform: "on" };
  return [
    ...virtioNic({ kind: "modern", ...hub(3), properties }),
    ...virtioNic({ kind: "modern", ...hub(4), properties }),
    ...virtioNic({ kind: "legacy", ...hub(5) }),
    ...virtioNic({ kind: "modern", ...hub(6), properties: { ...properties, multifunction: "on" } }),
    ...virtioNic({ kind: "modern", ...hub(22), properties: { ...properties, addr: "6.1" } }),
  ];
}

Deno.test("nic.ts lists, binds and restores cards", async (t) => {
  await using guest = await Guest.boot(cards());
  const nic = (args: string) => guest.vm.run(`${NIC} ${args}`);
  const json = async (args: string) => JSON.parse(await guest.do(`${NIC} --json ${args}`));
  const driverOf = (address: string) => {
    return guest.do(`basename $(readlink /sys/bus/pci/devices/${address}/driver) || echo none`);
  };
  const override = (address: string) => {
    return guest.do(`cat /sys/bus/pci/devices/${address}/driver_override`);
  };
  await guest.do("modprobe virtio_pci && modprobe virtio_net");
  await guest.do("ip link set eth0 up && ip link set eth1 up && ip route add default dev eth1");

  await t.step("list: shows drivers, and which interfaces are up", async () => {
    const found = await json("list");
    const summary = found.slice(0, 3).map((card: Record<string, unknown>) => {
      return [card.address, card.driver, card.interfaces, (card.use as { bus: string }).bus];
    });
    const interfaces = [[true, false], [true, true], [false, false]].map(
      ([up, defaultRoute], i) => {
        return [{ name: `eth${i}`, up, defaultRoute }];
      },
    );
    assertEquals(summary, [
      [A, "virtio-pci", interfaces[0], "sysfs"],
      [B, "virtio-pci", interfaces[1], "sysfs"],
      [LEGACY, "virtio-pci", interfaces[2], "sysfs"],
    ]);
    const link = await guest.do(`basename $(readlink /sys/bus/pci/devices/${A}/iommu_group)`);
    assertEquals(found[0].group.number, link);
    const text = await guest.do(`${NIC} list`);
    assertMatch(
      text,
      /00:03\.0 .*\n.*driver virtio-pci; interface eth0 up\n.*group \d+ \(DMA.*alone/,
    );
  });

  await t.step("bind: refuses a card in use, and changes nothing", async () => {
    assertRefused(await nic(`bind ${A} vfio-pci`), /00:03\.0: its kernel interface eth0 is up/);
    assertRefused(await nic(`bind ${B} none`), /00:04\.0: .* eth1 carries the default route/);
    assertRefused(await nic("bind 00:00.0 vfio-pci"), /00:00\.0: not an Ethernet controller/);
    for (const address of [A, B]) {
      assertEquals([await driverOf(address), await override(address)], ["virtio-pci", "(null)"]);
    }
    assertEquals(await guest.do("cat /sys/class/net/eth0/flags"), "0x1003");
  });

  await t.step("regs: refuses a card with a kernel driver", async () => {
    assertRefused(await nic(`regs ${A}`), /virtio-pci has the device, .* selectors/);
  });

  await t.step("bind: names the missing module, and requires root", async () => {
    await guest.do("ip link set eth0 down && rmmod vfio_pci");
    assertRefused(
      await nic(`bind ${A} vfio-pci`),
      /vfio-pci is not loaded: run `modprobe vfio-pci`/,
    );
    await guest.do("modprobe vfio_pci");
    await guest.do(
      "printf 'root:x:0:0::/:/bin/sh\\nuser:x:1000:1000::/tmp:/bin/sh\\n' > /etc/passwd",
    );
    const user = `DENO_DIR=/tmp/user su user -c '${NIC} bind ${A} vfio-pci'`;
    assertRefused(await guest.vm.run(user), /00:03\.0: no permission to open .*: run this as root/);
    assertEquals([await driverOf(A), await override(A)], ["virtio-pci", "(null)"]);
  });

  await t.step("bind: binds cards to vfio-pci, with --force if they are up", async () => {
    assertEquals((await json(`bind ${A} vfio-pci`)).driver, "vfio-pci");
    assertMatch(
      await guest.do(`${NIC} bind ${B} vfio-pci --force`),
      /00:04\.0: bound to vfio-pci, the owner of \/dev\/vfio\/\d+ can use it$/,
    );
    assertMatch(await guest.do(`${NIC} bind ${B} vfio-pci`), /bound to vfio-pci, as before,/);
    assertEquals([await driverOf(A), await driverOf(B)], ["vfio-pci", "vfio-pci"]);
    const [a] = await json("list");
    assertEquals([a.use.driver, a.use.bus, a.use.problems], ["virtio", "vfio", []]);
    const { code, stdout } = await nic("doctor");
    assertEquals(code, 0, stdout);
    assertMatch(stdout, /^VFIO: can be used$/m);
  });

  await t.step(
    "bind: names drivers of the IOMMU group; restore: refuses a group in use",
    async () => {
      const { notes } = await json(`bind ${TWIN_A} vfio-pci`);
      assertEquals(notes.length, 1);
      assertMatch(notes[0], /virtio-pci has 0000:00:06\.1 .*`nic\.ts bind 0000:00:06\.1 none`/);
      const listed = (await json("list")).find(({ address }: { address: string }) =>
        address === TWIN_A
      );
      assertMatch(
        listed.use.problems.join(),
        /virtio-pci has 0000:00:06\.1 of the same IOMMU group/,
      );
      assertRefused(
        await guest.forward(A, TWIN_A),
        /kernel drivers hold functions of its IOMMU group/,
      );
      await guest.do(`${NIC} bind ${TWIN_B} none`);
      const forwarder = await guest.startForwarder(`${FORWARD} ${A} ${TWIN_A}`);
      assertRefused(
        await nic(`restore ${TWIN_B}`),
        /another program is using .*\/dev\/vfio\/\d+: end it/,
      );
      await stopForwarder(forwarder);
      assertEquals((await json(`restore ${TWIN_B}`)).driver, "virtio-pci");
    },
  );

  await t.step("restore: refuses while a program drives the card", async () => {
    const forwarder = await guest.startForwarder(`${FORWARD} ${A} ${B}`);
    assertRefused(await nic(`restore ${A}`), /another program is using .*\/dev\/vfio\/\d+: end it/);
    assertRefused(await nic(`bind ${A} none`), /another program is using/);
    await stopForwarder(forwarder);
    assertEquals([await driverOf(A), await override(A)], ["vfio-pci", "vfio-pci"]);
  });

  await t.step("restore: binds the kernel's driver, and names the interface", async () => {
    const restored = await guest.do(`${NIC} restore ${A}`);
    // The kernel chooses the first free name.
    const name = await guest.do(`ls /sys/bus/pci/devices/${A}/virtio*/net`);
    assertEquals(restored, `${A}: bound to virtio-pci, interface ${name}`);
    assertEquals([await driverOf(A), await override(A)], ["virtio-pci", "(null)"]);
    await guest.do(`ip link set ${name} up`);
    const again = await json(`restore ${A}`);
    assertEquals([again.before, again.driver, again.interfaces], ["virtio-pci", "virtio-pci", [
      name,
    ]]);
    assertEquals(await guest.do(`cat /sys/class/net/${name}/flags`), "0x1003", "unchanged");
  });

  await t.step("bind none, regs: shows features and queues, modern and legacy", async () => {
    await guest.do(`${NIC} bind ${B} none && ${NIC} bind ${LEGACY} none`);
    assertEquals(await driverOf(B), "none");
    const modern = await json(`regs ${B}`);
    assertEquals([modern.transport, modern.mac], ["modern PCI", formatMac(macOf({ slot: 4 }))]);
    assert(modern.features.includes("VERSION_1") && modern.features.includes("ACCESS_PLATFORM"));
    assertEquals(modern.queueSizes.slice(0, 2), [256, 256]);
    const legacy = await json(`regs ${LEGACY}`);
    assertEquals([legacy.transport, legacy.mac], ["legacy PCI", formatMac(macOf({ slot: 5 }))]);
    assertEquals(legacy.queueSizes.slice(0, 2), [256, 256]);
    assertRefused(await nic(`regs ${LEGACY} --virtio modern`), /lacks the modern interface/);
    assertEquals((await json(`restore ${LEGACY}`)).driver, "virtio-pci");
  });
});

Deno.test("nic.ts shows the registers of an 82599 if the kernel allows it", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"], ["--doorbells=trap"]);
  await using guest = await Guest.boot(vfioUserNics(sim.addresses, SLOTS), {
    qemu: VFIO_USER_QEMU,
  });
  const nic = (args: string) => guest.vm.run(`${NIC} ${args}`);
  const config = () => guest.do(`od -A n -t x1 -N 64 /sys/bus/pci/devices/${A}/config`);

  await t.step("regs: reads a card without a driver, and does not change it", async () => {
    const before = await config();
    const { registers, model } = JSON.parse(await guest.do(`${NIC} --json regs ${A} STATUS RAL`));
    assertMatch(model, /^82599 /);
    const names = registers.map(({ name }: { name: string }) => name);
    assertEquals(names.slice(0, 3), ["STATUS", "RAL[0]", "RAL[1]"]);
    assert(registers[1].value !== 0, "the MAC address");
    assertEquals(await config(), before);
  });

  await t.step("regs: refuses a card that another program drives by VFIO", async () => {
    await guest.do(`${NIC} bind ${A} vfio-pci && ${NIC} bind ${B} vfio-pci`);
    const forwarder = await guest.startForwarder(`${FORWARD} ${A} ${B}`);
    assertRefused(
      await nic(`regs ${A}`),
      /the kernel reserves the registers for the driver vfio-pci/,
    );
    await stopForwarder(forwarder);
  });

  await t.step("restore: fails if the kernel has no driver for the card", async () => {
    const { code, stderr } = await nic(`restore ${A}`);
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /^error: 0000:00:03\.0: no kernel driver accepts it: .*`modprobe pci:v0000808/,
    );
    assertEquals((JSON.parse(await guest.do(`${NIC} list --json`)))[0].driver, null);
  });
  await sim.quit();
});

Deno.test("nic.ts on a machine without an IOMMU", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"], ["--doorbells=trap"]);
  await using vm = await Machine.boot({
    arguments: vfioUserNics(sim.addresses, SLOTS),
    qemu: VFIO_USER_QEMU,
  });

  await t.step("bind: requires an IOMMU for vfio-pci; doctor: does not for sysfs", async () => {
    assertRefused(
      await vm.run(`${NIC} bind ${A} vfio-pci`),
      /vfio-pci needs an IOMMU, and it has none/,
    );
    const { code, stdout } = await vm.run(`${NIC} doctor`);
    assertEquals(code, 0, stdout);
    assertMatch(stdout, /^VFIO: lacks IOMMU, .*\nsysfs and physical addresses: can be used$/m);
    await vm.run("echo 0 > /proc/sys/vm/nr_hugepages");
    assertEquals((await vm.run(`${NIC} doctor`)).code, 1);
    await vm.run("echo 128 > /proc/sys/vm/nr_hugepages");
  });

  await t.step(
    "regs: reads cards while a program drives them by sysfs; restore: refuses",
    async () => {
      const forwarder = await vm.start(`${FORWARD} ${A} ${B}`);
      assertEquals(await forwarder.line((line) => line.includes("ready")), '{"ready":true}');
      const { code, stdout, stderr } = await vm.run(`${NIC} --json regs ${A} RXCTRL GPRC`);
      assertEquals([code, stderr], [0, ""]);
      const { registers, skipped } = JSON.parse(stdout);
      assertEquals(registers.length, 1);
      assertEquals([registers[0].name, registers[0].fields.RXEN], ["RXCTRL", 1]);
      assertEquals(skipped.map(({ name }: { name: string }) => name), ["GPRC"]);
      assertRefused(await vm.run(`${NIC} restore ${A}`), /another program that uses ixy\.ts/);
      await stopForwarder(forwarder);
    },
  );
  await sim.quit();
});
