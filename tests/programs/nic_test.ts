/** The command line of `nic.ts`, and `nic.ts module`, on the software NIC. */

import { assertEquals, assertMatch } from "@std/assert";
import { assertRefused, ffiOnly, run, Sim, TemporaryDirectory } from "../support/processes.ts";
import { CARD } from "../support/pci_tree.ts";

Deno.test("nic.ts refuses wrong commands in one sentence", async () => {
  const cases: [string[], RegExp][] = [
    [
      [],
      /takes a command \(list, bind, restore, regs, module, eeprom, identify, selftest, doctor\): see --help/,
    ],
    [["lst"], /"lst" is not a command/],
    [["list", "eth0"], /list takes no operands/],
    [["bind", CARD], /bind takes an address and a driver, vfio-pci or none/],
    [["bind", CARD, "ixgbe"], /not "ixgbe"/],
    [["list", "--force"], /list has no option --force/],
    [["regs", "nowhere"], /"nowhere" is not the address of a PCI function/],
    [["regs", "vfio-user:/nowhere.sock"], /connect to \/nowhere\.sock/],
    [["module", "nowhere"], /"nowhere" is not the address of a PCI function/],
    [["module"], /module takes an address: see --help/],
    [["--frobnicate"], /unknown option --frobnicate/],
  ];
  for (const [args, sentence] of cases) {
    assertRefused(await run(ffiOnly("nic.ts", args)), sentence);
  }
});

Deno.test("nic.ts list and doctor run on any machine", async () => {
  const list = await run(ffiOnly("nic.ts", ["--json", "list"]));
  assertEquals([list.code, list.stderr, Array.isArray(JSON.parse(list.stdout))], [0, "", true]);
  const doctor = await run(ffiOnly("nic.ts", ["doctor", "--json"]));
  assertEquals([doctor.code, doctor.stderr], [JSON.parse(doctor.stdout).ready ? 0 : 1, ""]);
});

Deno.test("nic.ts module identifies the software NIC's module without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  const module = async (options: string[], ...args: string[]) => {
    await using sim = await Sim.start(directory, ["none"], options);
    const found = await run(ffiOnly("nic.ts", ["module", sim.addresses[0], ...args]));
    await sim.quit();
    return found;
  };
  const { code, stdout, stderr } = await module([]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^ {2}module {4}10GBASE-SR\n {2}vendor {4}SOFTWARE, part SIM-SR, serial 1$/m);
  assertMatch(stdout, /^ {2}signal {4}arrives\n {2}link {6}up$/m);
  const dual = JSON.parse((await module(["--module", "dual-LR"], "--json")).stdout);
  assertEquals(dual.module.megabits, [10000, 1000]);
  const none = await module(["--module", "none"]);
  assertMatch(none.stdout, /^ {2}module {4}none found: no module is in the cage$/m);
  const copper = await module(["--device-id", "0x1528"]);
  assertEquals(copper.code, 2);
  assertMatch(copper.stderr, /module does not support X540 10GBASE-T, only an 82599 with a cage/);
});
