/** `nic.ts regs`, on a directory tree like the kernel's, and on the software NIC. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { REGISTERS } from "../../ixgbe/registers.ts";
import { DeviceError, UsageError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { dump, format } from "../../nic/dump.ts";
import { dumpFunction } from "../../nic/registers.ts";
import { dumpVirtio } from "../../nic/virtio.ts";
import { ffiOnly, run, Sim, TemporaryDirectory } from "../support/processes.ts";
import { BAR_BYTES, CARD, DEVICES, Tree } from "../support/pci_tree.ts";

/** A BAR that records which registers were read. */
function recordingBar(read: (offset: number) => number, offsets: number[]): Bar {
  const refuse = () => {
    throw new Error("a dump wrote to a register");
  };
  return {
    size: BAR_BYTES,
    read: (offset) => {
      offsets.push(offset);
      return read(offset);
    },
    write: refuse,
    doorbell: refuse,
  };
}

Deno.test("dump() skips registers that reading changes, and format() folds equal values", () => {
  const offsets: number[] = [];
  const { LINKS, GPRC, RDT } = REGISTERS;
  const reading = {
    changes: ({ access }: { access: string }) => access === "RC" ? "cleared" : undefined,
    never: () => undefined,
  };
  const bar = recordingBar((offset) => offset === LINKS.offset ? 0x40000000 : 7, offsets);
  const found = dump(bar, [LINKS, GPRC, RDT], { ...reading, all: false });
  assertEquals(offsets.includes(GPRC.offset), false);
  assertEquals(found.skipped, [{ name: "GPRC", reason: "cleared" }]);
  assertEquals(found.registers.length, 1 + RDT.count);
  assertEquals(found.registers[0].fields.UP, 1);
  const lines = [...format(found, Object.values(REGISTERS))];
  assertMatch(lines[0], /^042a4 {2}LINKS +0x40000000 {2}.*: UP$/);
  assertMatch(lines[1], /^01018 {2}RDT\[0\.\.127\] +0x00000007/);
  assertEquals(lines.length, 2);
  assertEquals(dump(bar, [GPRC], { ...reading, all: true }).registers[0].value, 7);
});

Deno.test("dumpFunction() reads a card with a kernel driver, and changes nothing", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  const bytes = new Uint8Array(BAR_BYTES);
  new DataView(bytes.buffer).setUint32(REGISTERS.LINKS.offset, 0x40000000, true);
  tree.write(`${DEVICES}/${CARD}/resource0`, bytes);
  const before = tree.state(CARD);
  const options = { names: ["links", "gprc", "SWSM"], all: false };
  const found = dumpFunction(tree.system, tree.system.function(CARD), options);
  assertEquals(found.model, "82599 SFP+");
  assertEquals(found.registers.map(({ name, value }) => [name, value]), [["LINKS", 0x40000000]]);
  assertEquals(found.skipped.map(({ name }) => name), ["GPRC", "SWSM"]);
  assertEquals(tree.state(CARD), before);
  assertEquals(Deno.readFileSync(`${tree.root}${DEVICES}/${CARD}/resource0`), bytes);
});

Deno.test("dumpFunction() refuses registers that are turned off, and unknown names", () => {
  using tree = new Tree();
  tree.add(CARD, { command: 0 });
  const read = (names: string[]) => {
    dumpFunction(tree.system, tree.system.function(CARD), { names, all: false });
  };
  assertThrows(() => read(["NOTHING"]), UsageError, '"NOTHING" is not a register');
  assertThrows(() => read([]), UsageError, "registers are turned off (COMMAND 0000");
});

Deno.test("dumpFunction() throws if the registers read as ones", () => {
  using tree = new Tree();
  tree.add(CARD);
  tree.write(`${DEVICES}/${CARD}/resource0`, new Uint8Array(BAR_BYTES).fill(0xff));
  const found = tree.system.function(CARD);
  const read = () => dumpFunction(tree.system, found, { names: [], all: false });
  assertThrows(read, DeviceError, "asleep or gone");
});

Deno.test("dumpVirtio() refuses a card with a driver", () => {
  using tree = new Tree();
  tree.add(CARD, { vendor: 0x1af4, id: 0x1041, driver: "virtio-pci" });
  const before = tree.state(CARD);
  const found = tree.system.function(CARD);
  assertThrows(() => dumpVirtio(tree.system, found), UsageError, "selectors that this driver uses");
  assertEquals(tree.state(CARD), before);
});

Deno.test("nic.ts regs reads the software NIC without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const regs = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(ffiOnly("nic.ts", ["regs", ...args]));
    assertEquals([code, stderr], [0, ""]);
    return stdout;
  };
  const [address] = sim.addresses;
  const text = await regs(address);
  assertMatch(text, /^vfio-user:.*: 82599 /);
  assertMatch(text, /^00000 {2}CTRL /m);
  assertMatch(text, /^not read, because reading clears it .*: .*\bGPRC\b/m);
  assertMatch(text, /^not read, because reading clears the interrupt causes .*: .*\bEICR\b/m);
  assert(!/^[0-9a-f]{5} {2}(GPRC|SWSM|EICS) /m.test(text), "skipped");
  const all = JSON.parse(await regs(address, "--all", "--json"));
  const names = all.registers.map(({ name }: { name: string }) => name);
  assert(names.includes("GPRC") && names.includes("QPRC[15]"));
  const changed = Object.values(REGISTERS).filter(({ name, access, readEffect }) => {
    return access === "WO" || (readEffect !== null && name !== "SW_FW_SYNC");
  });
  assert(changed.some(({ name }) => name === "PCSS1") && names.includes("PCSS1"));
  for (const { name } of changed) {
    assert(!new RegExp(`^[0-9a-f]{5} {2}${name}[[ ]`, "m").test(text));
  }
  assert(!names.includes("SWSM") && !names.includes("EICS"), "never read");
  assertEquals(names.length, new Set(names).size);
  const one = JSON.parse(await regs(address, "--json", "STATUS"));
  assertEquals(one.registers.map(({ name }: { name: string }) => name), ["STATUS"]);
  await sim.quit();
});

Deno.test("nic.ts regs does not take semaphores: SW_FW_SYNC is one on an X540, not on an 82599", async () => {
  await using directory = await TemporaryDirectory.make();
  for (const [id, semaphore] of [["0x10fb", false], ["0x1528", true]] as const) {
    await using sim = await Sim.start(directory, ["none"], ["--device-id", id]);
    const args = ["regs", "--json", "--all", sim.addresses[0], "SW_FW_SYNC", "SWSM"];
    const { registers, skipped } = JSON.parse((await run(ffiOnly("nic.ts", args))).stdout);
    assertEquals(registers.length, semaphore ? 0 : 1);
    const reason = "reading takes the semaphore from drivers";
    const names = semaphore ? ["SW_FW_SYNC", "SWSM"] : ["SWSM"];
    assertEquals(skipped, names.map((name) => ({ name, reason })));
    await sim.quit();
  }
});
