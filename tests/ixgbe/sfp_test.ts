/** The ixgbe driver on the NIC model: SFP+ modules, and links that need more than one attempt. */

import { assert, assertEquals, assertMatch, assertObjectMatch, assertRejects } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, type LinkStatus } from "../../mod.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import type { ModuleKind } from "../../sim/nic/sfp_module.ts";
import { offsetOf } from "../../src/registers.ts";
import { Bench } from "../support/ixgbe_on_model.ts";
import { ModelFunction } from "../support/model_function.ts";

/** Opens a device on a card with a module, with a link partner at a speed; returns its link. */
async function linkOf(options: NicOptions, megabits = 10000): Promise<LinkStatus> {
  const pci = new ModelFunction(options);
  pci.nic.setLink(true, megabits);
  using bench = await Bench.start({}, pci);
  return bench.device.linkStatus();
}

/** Kind of the model's module, name of the driver for it, speeds that it tries. */
const MODULES: readonly [ModuleKind, string, number[]][] = [
  ["10G-SR", "10GBASE-SR", [10000]],
  ["10G-LR", "10GBASE-LR", [10000]],
  ["1G-SX", "1000BASE-SX", [1000]],
  ["1G-LX", "1000BASE-LX", [1000]],
  ["1G-T", "1000BASE-T", [1000]],
  ["dual-SR", "10GBASE-SR and 1000BASE-SX", [10000, 1000]],
  ["dual-LR", "10GBASE-LR and 1000BASE-LX", [10000, 1000]],
  ["passive-cable", "direct attach cable, passive", [10000]],
  ["active-cable", "direct attach cable, active", [10000]],
];

for (const [module, kind, megabits] of MODULES) {
  Deno.test(`ixgbe.attach() identifies a module and brings up its link: ${kind}`, async () => {
    for (const speed of megabits) {
      const part = `SIM-${module.replace(/^10G-/, "")}`.slice(0, 16);
      assertEquals(await linkOf({ module }, speed), {
        ...{ up: true, megabits: speed, duplex: "full", flowControl: "none" },
        module: { kind, vendor: "SOFTWARE", part, serial: "1", megabits, warnings: [] },
      });
    }
  });
}

Deno.test("ixgbe.attach() brings up a link whose default by the EEPROM is not SFI at 10 Gbit/s", async () => {
  for (const linkDefault of ["1G", "XAUI"] as const) {
    assertObjectMatch(await linkOf({ linkDefault }), { up: true, megabits: 10000 });
    assertObjectMatch(await linkOf({ linkDefault, module: "1G-SX" }, 1000), {
      ...{ up: true, megabits: 1000 },
    });
  }
});

Deno.test("ixgbe.attach() writes to CORECTL what the EEPROM lists for the module, on both ports", async () => {
  for (const lanId of [0, 1] as const) {
    for (const module of ["10G-LR", "passive-cable", "active-cable"] as const) {
      assertEquals((await linkOf({ module, bareCore: true, lanId })).up, true, module);
    }
  }
});

Deno.test("ixgbe.attach() warns of a module that the EEPROM has no set-up for", async () => {
  const { up, module } = await linkOf({ moduleList: false });
  assertEquals(up, true);
  assertMatch(module!.warnings.join("; "), /no set-up for its kind/);
});

Deno.test("ixgbe.attach() warns of modules that the EEPROM does not allow, and uses them", async () => {
  for (const [module, warned] of [["10G-SR", true], ["passive-cable", false], ["1G-T", false]]) {
    const speed = module === "1G-T" ? 1000 : 10000;
    const link = await linkOf({ module: module as ModuleKind, anyModule: false }, speed);
    assertEquals(link.up, true);
    assertEquals(/Intel only/.test(link.module!.warnings.join("; ")), warned, String(module));
  }
});

Deno.test("ixgbe.attach() uses an unknown module, and one with wrong checksums, with a warning", async () => {
  const unknown = await linkOf({ module: "unknown" });
  assertObjectMatch(unknown, { up: true, module: { kind: "unknown" } });
  assertMatch(unknown.module!.warnings.join("; "), /no kind that the driver knows/);
  const damaged = await linkOf({ badChecksum: true });
  assertObjectMatch(damaged, { up: true, module: { kind: "10GBASE-SR" } });
  assertEquals(damaged.module!.warnings, ["the checksums of its memory are wrong"]);
});

Deno.test("ixgbe.attach() brings up a link that needs several restarts", async () => {
  assertObjectMatch(await linkOf({ restarts: 2 }), { up: true, megabits: 10000 });
});

Deno.test("Device.waitForLink() restarts the link until it comes up", async () => {
  const pci = new ModelFunction({ restarts: 2 });
  pci.nic.setLink(false);
  using bench = await Bench.start({}, pci);
  assertEquals(bench.device.linkStatus().up, false);
  pci.nic.setLink(true);
  assertObjectMatch(await bench.device.waitForLink(5000), { up: true, megabits: 10000 });
});

Deno.test("ixgbe.attach() frees a bus that a module holds", async () => {
  assertObjectMatch(await linkOf({ stuckClocks: 7 }), { module: { kind: "10GBASE-SR" } });
});

Deno.test("ixgbe.attach() brings up the link of a module that it cannot read", async () => {
  assertObjectMatch(await linkOf({ stuckClocks: Infinity }), { up: true, megabits: 10000 });
});

Deno.test("ixgbe.attach() brings up a link at 1 Gbit/s whose partner does not negotiate", async () => {
  const link = await linkOf({ module: "1G-SX", partnerNegotiates: false }, 1000);
  assertObjectMatch(link, { up: true, megabits: 1000 });
});

Deno.test("Device.linkStatus() says why there is no link", async () => {
  const cases: [NicOptions, boolean, RegExp][] = [
    [{ module: null }, true, /^no module is in the cage$/],
    [{}, false, /^no light arrives: /],
    [{ module: "passive-cable" }, false, /^no signal arrives: /],
    [{ stuckClocks: Infinity }, false, /holds the data line .* low$/],
  ];
  for (const [options, partner, reason] of cases) {
    const pci = new ModelFunction(options);
    pci.nic.setLink(partner);
    using bench = await Bench.start({}, pci);
    const status = bench.device.linkStatus();
    assertEquals(status.up, false);
    assertMatch(status.reason!, reason);
    await assertRejects(() => bench.device.waitForLink(0), DeviceError, status.reason);
  }
});

Deno.test("Device.linkStatus() says that the link partner may have another speed", async () => {
  const { up, reason } = await linkOf({}, 1000);
  assertEquals(up, false);
  assertMatch(reason!, /^a signal arrives, but there is no link at 10 Gbit\/s after \d attempts/);
});

Deno.test("Device.waitForLink() identifies a module anew after the pin said that there is none", async () => {
  const pci = new ModelFunction();
  using bench = await Bench.start({}, pci);
  const pins = offsetOf(R.ESDP);
  pci.nic.setLink(false);
  pci.overrides.set(pins, R.ESDP.SDP3_DIR);
  assertEquals(bench.device.linkStatus().reason, "no module is in the cage");
  pci.overrides.delete(pins);
  pci.nic.setLink(true);
  assertObjectMatch(await bench.device.waitForLink(1000), { module: { kind: "10GBASE-SR" } });
});

Deno.test("ixgbe.attach() does not restart a link that manageability firmware holds", async () => {
  const pci = new ModelFunction();
  pci.overrides.set(offsetOf(R.MMNGC), R.MMNGC.MNG_VETO);
  pci.nic.setLink(false);
  using bench = await Bench.start({}, pci);
  const written = new Set(bench.pci.writes.map(([offset]) => offset));
  assert(!written.has(offsetOf(R.AUTOC)) && !written.has(offsetOf(R.CORECTL)));
});

Deno.test("ixgbe.attach() does not wait for firmware that holds the module's bus for ever", async () => {
  const pci = new ModelFunction();
  pci.overrides.set(offsetOf(R.SW_FW_SYNC), R.SW_FW_SYNC.FW_PHY_SM0);
  using bench = await Bench.start({}, pci);
  const { up, module, reason } = bench.device.linkStatus();
  assertEquals([up, module, reason], [true, undefined, undefined]);
});

Deno.test("ixgbe.attach() selects the rate of modules for two speeds, and of no others", async () => {
  for (const [module, level] of [["dual-SR", R.ESDP.SDP5], ["10G-SR", 0]] as const) {
    using bench = await Bench.start({}, new ModelFunction({ module }));
    const pins = bench.reads(R.ESDP);
    assertEquals(pins & R.ESDP.SDP5, level);
    assertEquals((pins & R.ESDP.SDP5_DIR) !== 0, level !== 0);
  }
});
