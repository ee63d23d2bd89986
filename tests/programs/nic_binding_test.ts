/** `nic.ts bind` and `restore`, on a directory tree like the kernel's. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, UsageError } from "../../mod.ts";
import { bind, restore } from "../../nic/binding.ts";
import { CARD, DEVICES, route, Tree } from "../support/pci_tree.ts";

Deno.test("bind() refuses a card that is in use or unsuitable, and changes nothing", () => {
  const refusals: [RegExp, (tree: Tree) => void][] = [
    [/its kernel interface eth2 is up: run `ip link set eth2 down`/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.interface(CARD, "eth2", "0x1003");
    }],
    [/eth2 carries the default route: move the route/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.interface(CARD, "eth2", "0x1002");
      tree.write("/proc/net/route", route("eth2"));
    }],
    [/not an Ethernet controller \(class 0108\)/, (tree) => tree.add(CARD, { class: "0x010802" })],
    [/vfio-pci needs an IOMMU, and it has none/, (tree) => tree.add(CARD, { driver: "ixgbe" })],
    [/vfio-pci is not loaded: run `modprobe vfio-pci`/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.group("3", "DMA", CARD);
    }],
  ];
  for (const [sentence, prepare] of refusals) {
    using tree = new Tree();
    prepare(tree);
    const before = tree.state(CARD);
    const error = assertThrows(() => bind(tree.system, CARD, "vfio-pci", false), UsageError);
    assertMatch(error.message, sentence);
    assertEquals(tree.state(CARD), before);
  }
});

Deno.test("bind() to none unbinds a card whose interface is up only with force", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  assertThrows(() => bind(tree.system, CARD, "none", false), UsageError, "eth2 is up");
  assertEquals(tree.read("/sys/bus/pci/drivers/ixgbe/unbind"), "");
  bind(tree.system, CARD, "none", true);
  assertEquals(tree.read("/sys/bus/pci/drivers/ixgbe/unbind"), CARD);
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), "");
});

Deno.test("bind() allows any driver again if vfio-pci does not accept the card", () => {
  using tree = new Tree();
  tree.add(CARD);
  tree.group("3", "DMA", CARD);
  tree.write("/sys/bus/pci/drivers/vfio-pci/unbind", "");
  const error = assertThrows(() => bind(tree.system, CARD, "vfio-pci", false), DeviceError);
  assertMatch(error.message, /vfio-pci does not accept it/);
  assertEquals(tree.read(`${DEVICES}/${CARD}/driver_override`)[0], "\n", "any driver");
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), CARD);
});

Deno.test("restore() names the module to load if no kernel driver accepts the card", async () => {
  using tree = new Tree();
  tree.add(CARD);
  await assertRejects(() => restore(tree.system, CARD), DeviceError, "`modprobe pci:v00008086d");
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), CARD);
});

Deno.test("restore() does not change a card that is bound to a kernel driver", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  const before = tree.state(CARD);
  const { driver, interfaces } = await restore(tree.system, CARD);
  assertEquals([driver, interfaces], ["ixgbe", ["eth2"]]);
  assertEquals(tree.state(CARD), before);
});
