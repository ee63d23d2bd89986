/** Access through sysfs, on files that resemble the kernel's. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Command, Config } from "../../src/pci/function.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";
import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";
import { DeviceError, UsageError } from "../../mod.ts";
import { Hugepages } from "../support/hugepages.ts";
import { moved } from "../support/moved_memory.ts";
import { isRoot } from "../support/processes.ts";
import { ADDRESS, Tree } from "../support/sysfs_tree.ts";

Deno.test("SysfsFunction reads IDs and changes nothing before claim()", () => {
  using tree = new Tree();
  const pci = tree.open();
  assertEquals(pci.readConfig(Config.VENDOR_ID, 2), 0x8086);
  assertEquals(pci.readConfig(Config.DEVICE_ID, 2), 0x10fb);
  assertEquals(pci.readConfig(Config.CLASS, 2), 0x0200);
  assertEquals(pci.readConfig(0, 4), 0x10fb8086);
  pci.close();
  assertEquals([tree.command, tree.read("enable")], [0x01, "0\n"]);
});

Deno.test("SysfsFunction refuses a device that does not exist", () => {
  using tree = new Tree();
  assertThrows(
    () => new SysfsFunction("0000:04:00.0", tree.devices),
    UsageError,
    "no such PCI device",
  );
});

Deno.test("SysfsFunction refuses a function that is open already", () => {
  using tree = new Tree();
  const pci = tree.open();
  assertThrows(() => tree.open(), UsageError, "another program");
  pci.close();
  tree.open().close();
});

Deno.test("SysfsFunction.claim() enables the function and memory space, but not DMA", () => {
  using tree = new Tree();
  const pci = tree.open();
  pci.claim(false);
  assertEquals(tree.command, 0x01 | Command.MEMORY);
  assertEquals(tree.read("enable").trim(), "1");
  pci.setBusMaster(true);
  assertEquals(tree.command, 0x01 | Command.MEMORY | Command.BUS_MASTER);
  pci.close();
  assertEquals(tree.command, 0x01 | Command.MEMORY);
});

Deno.test("SysfsFunction.claim() turns off the DMA that a killed program left on", () => {
  using tree = new Tree();
  const left = tree.open();
  left.writeConfig(Config.COMMAND, 2, Command.BUS_MASTER);
  left.close();
  const pci = tree.open();
  pci.claim(false);
  assertEquals(tree.command & Command.BUS_MASTER, 0);
  pci.close();
});

Deno.test("SysfsFunction.claim() refuses a NIC whose kernel interface is up, naming it", () => {
  using tree = new Tree();
  tree.bind("ixgbe");
  tree.interface("eth7", "0x1003");
  const pci = tree.open();
  const claim = () => pci.claim(false);
  const error = assertThrows(claim, UsageError, "its kernel interface eth7 is up");
  assertEquals(error.option, "force");
  pci.close();
  assertEquals(tree.command, 0x01);
  assertEquals(tree.bound("ixgbe"), ["", ""]);
});

Deno.test("SysfsFunction.claim() unbinds the kernel driver if its interface is down, or if forced", () => {
  for (const [flags, force] of [["0x1002", false], ["0x1003", true]] as const) {
    using tree = new Tree();
    tree.bind("ixgbe");
    tree.interface("eth7", flags);
    const pci = tree.open();
    pci.claim(force);
    pci.close();
    assertEquals(tree.bound("ixgbe"), [ADDRESS, ""]);
  }
});

Deno.test("SysfsFunction.close() with `rebind` returns the NIC to its kernel driver as it was", () => {
  using tree = new Tree();
  tree.bind("ixgbe");
  tree.write("reset", "");
  const config = Deno.readFileSync(`${tree.device}/config`);
  config[5] = 0; // INTx on
  Deno.writeFileSync(`${tree.device}/config`, config);
  const pci = tree.open(true);
  pci.claim(false);
  pci.setBusMaster(true);
  assertEquals([tree.read("enable").trim(), tree.intxDisabled], ["1", true]);
  assertEquals(tree.bound("ixgbe"), [ADDRESS, ""]);
  pci.close();
  assertEquals(tree.bound("ixgbe"), [ADDRESS, ADDRESS]);
  assertEquals([tree.read("enable").trim(), tree.read("reset")], ["0", "1"]);
  assertEquals([tree.command & Command.BUS_MASTER, tree.intxDisabled], [0, false]);
  tree.open().close();
});

Deno.test("SysfsFunction.close() does not bind a driver that claim() did not unbind", () => {
  using refused = new Tree();
  refused.bind("ixgbe");
  refused.interface("eth7", "0x1003");
  const pci = refused.open(true);
  assertThrows(() => pci.claim(false), UsageError, "eth7 is up");
  pci.close();
  assertEquals(refused.bound("ixgbe"), ["", ""]);
  using unbound = new Tree();
  unbound.write("reset", "");
  const other = unbound.open(true);
  other.claim(false);
  other.close();
  assertEquals([unbound.read("enable").trim(), unbound.read("reset")], ["1", ""]);
});

Deno.test("SysfsFunction.close() reports that the kernel driver is gone, with DMA off and the lock free", () => {
  using tree = new Tree();
  tree.bind("ixgbe");
  const pci = tree.open(true);
  pci.claim(false);
  pci.setBusMaster(true);
  Deno.removeSync(`${tree.root}/drivers/ixgbe`, { recursive: true });
  const { message } = assertThrows(
    () => pci.close(),
    DeviceError,
    "ixgbe does not take the device back",
  );
  assertMatch(message, /^0000:03:00\.0: DMA is off, .*bind.*`echo 0000:03:00\.0 > .*\/bind`$/);
  assertEquals(tree.command & Command.BUS_MASTER, 0);
  pci.close();
  tree.open().close();
});

Deno.test("SysfsFunction.claim() refuses a function that is bound to vfio-pci", () => {
  using tree = new Tree();
  tree.bind("vfio-pci");
  const pci = tree.open();
  assertThrows(() => pci.claim(true), UsageError, "bound to vfio-pci");
  pci.close();
  assertEquals(tree.command, 0x01);
});

Deno.test("SysfsFunction.bar() maps the whole BAR; closing empties its views", () => {
  using tree = new Tree();
  const pci = tree.open();
  pci.claim(false);
  const bar = pci.bar(0);
  assertEquals([bar.size, pci.bar(0) === bar], [512 * 1024, true]);
  bar.write(0x1018, 4, 0xcafe);
  assertEquals(bar.read(0x1018, 4), 0xcafe);
  const doorbell = bar.doorbell(0x1018);
  assertEquals([doorbell.words[doorbell.index], doorbell.write], [0xcafe, undefined]);
  assertThrows(() => pci.bar(3), DeviceError, "resource3");
  pci.close();
  pci.close();
  assertEquals(doorbell.words.length, 0);
  const bytes = Deno.readFileSync(`${tree.device}/resource0`);
  assertEquals([bytes[0x1018], bytes[0x1019]], [0xfe, 0xca]);
});

Deno.test("SysfsFunction.mapDma() refuses memory without physical addresses", () => {
  using tree = new Tree();
  const pci = tree.open();
  const memory = DmaMemory.allocate(1, "pages");
  const sentence =
    "needs memory with physical addresses, and this memory is in ordinary pages: set";
  assertThrows(() => pci.mapDma(memory), UsageError, sentence);
  pci.close();
  memory.free();
});

Deno.test("SysfsFunction.checkAlive() detects an unplugged device", () => {
  using tree = new Tree();
  const pci = tree.open();
  pci.checkAlive();
  Deno.writeFileSync(`${tree.device}/config`, new Uint8Array(256).fill(0xff));
  assertThrows(() => pci.checkAlive(), DeviceError, "the device is gone");
  pci.close();
});

Deno.test({
  name: "SysfsFunction.setBusMaster() refuses memory that has moved since it was mapped",
  ignore: !isRoot,
  fn() {
    using _pages = new Hugepages(1);
    using tree = new Tree();
    const pci = tree.open(), memory = DmaMemory.allocate(1, "hugepages");
    pci.mapDma(memory);
    pci.claim(false);
    memory.busAddress(0, "physical");
    {
      using _moved = moved();
      assertThrows(() => pci.setBusMaster(true), DeviceError, "has moved page 0");
    }
    assertEquals(tree.command & Command.BUS_MASTER, 0);
    pci.setBusMaster(true);
    pci.close();
    memory.free();
  },
});

Deno.test({
  name: "DmaMemory of hugepages has physical addresses for root, and SysfsFunction maps it",
  ignore: Deno.uid() !== 0,
  fn() {
    using _pages = new Hugepages(8);
    using tree = new Tree();
    const pci = tree.open();
    const memory = DmaMemory.allocate(4 * 1024 * 1024, "hugepages");
    assertEquals(memory.has("physical"), true);
    for (const page of [0, HUGEPAGE]) {
      const address = memory.busAddress(page, "physical");
      assert(address > 0 && address % HUGEPAGE === 0, `${address}`);
      assertEquals(memory.busAddress(page + 5, "physical"), address + 5);
    }
    pci.mapDma(memory);
    pci.mapDma(memory);
    assertThrows(() => memory.free(), Error, "still in reach of 1 device");
    pci.close();
    memory.free();
  },
});

/** A function that can be removed: configuration space then reads as ones, and takes no writes. */
class RemovableFunction extends SysfsFunction {
  removed = false;

  override readConfig(offset: number, bytes: 1 | 2 | 4): number {
    return this.removed ? 2 ** (8 * bytes) - 1 : super.readConfig(offset, bytes);
  }

  override writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    if (!this.removed) super.writeConfig(offset, bytes, value);
  }
}

Deno.test({
  name: "SysfsFunction.close() of a removed function keeps its memory until the process ends",
  ignore: Deno.uid() !== 0,
  fn() {
    using _pages = new Hugepages(4);
    const mappings = () => Deno.readTextFileSync("/proc/self/maps").split("memfd:ixy ").length;
    for (const removed of [false, true]) {
      using tree = new Tree();
      const pci = new RemovableFunction(ADDRESS, tree.devices, { guard: false });
      const before = mappings();
      const memory = DmaMemory.allocate(HUGEPAGE, "hugepages");
      const view = new Uint8Array(memory.buffer);
      pci.mapDma(memory);
      pci.claim(false);
      pci.setBusMaster(true);
      pci.removed = removed;
      pci.close();
      memory.free();
      assertEquals([view.length, mappings() - before], [0, removed ? 1 : 0]);
    }
  },
});

Deno.test("SysfsFunction.behindIommu says whether an IOMMU translates DMA", () => {
  using tree = new Tree();
  const pci = tree.open();
  assertEquals(pci.behindIommu, false);
  Deno.mkdirSync(`${tree.device}/iommu_group`);
  for (
    const [type, translated] of [["identity", false], ["DMA", true], ["DMA-FQ", true]] as const
  ) {
    tree.write("iommu_group/type", `${type}\n`);
    assertEquals(pci.behindIommu, translated);
  }
  pci.close();
});

Deno.test("SysfsFunction.claim() finds an interface of a child device that is up", () => {
  using tree = new Tree();
  tree.interface("../virtio0/net/eth0", "0x1003");
  const pci = tree.open();
  assertThrows(() => pci.claim(false), UsageError, "its kernel interface eth0 is up");
  pci.close();
});

Deno.test("SysfsFunction.bar() of I/O ports reads and writes registers of 1, 2 and 4 bytes", () => {
  using tree = new Tree();
  const config = Deno.readFileSync(`${tree.device}/config`);
  config[0x10] = 1;
  Deno.writeFileSync(`${tree.device}/config`, config);
  Deno.writeFileSync(`${tree.device}/resource0`, Uint8Array.from({ length: 32 }, (_, i) => i));
  const pci = tree.open();
  const bar = pci.bar(0);
  assertEquals(bar.size, 32);
  assertEquals([bar.read(18, 1), bar.read(12, 2), bar.read(4, 4)], [18, 0x0d0c, 0x07060504]);
  bar.write(16, 2, 0xabcd);
  assertEquals([...Deno.readFileSync(`${tree.device}/resource0`).subarray(15, 19)], [
    ...[15, 0xcd, 0xab, 18],
  ]);
  assertThrows(() => bar.read(32, 4), DeviceError, "read 4 bytes at 32 of");
  pci.close();
});
