/** The ixgbe driver on the NIC model: setting up the link, and reporting its state. */

import { assertEquals, assertObjectMatch, assertRejects } from "@std/assert";
import { DEVICE_IDS } from "../../ixgbe/models.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import { offsetOf } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench } from "../support/ixgbe_on_model.ts";

/** Returns whether the link is up. It reads twice, because the first read may show the old state. */
function up(pci: ModelFunction): boolean {
  pci.nic.read32(offsetOf(R.LINKS));
  return (pci.nic.read32(offsetOf(R.LINKS)) & R.LINKS.UP) !== 0;
}

Deno.test("ixgbe.attach() turns on the laser that another driver turned off", async () => {
  for (const deviceId of DEVICE_IDS) {
    const pci = new ModelFunction({ deviceId });
    const pins = pci.nic.read32(offsetOf(R.ESDP));
    pci.nic.write32(offsetOf(R.ESDP), pins | R.ESDP.SDP3);
    assertEquals(up(pci), (pins & R.ESDP.SDP3_DIR) === 0, `device ${deviceId.toString(16)}`);
    using bench = await Bench.start({}, pci);
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  }
});

Deno.test("ixgbe.attach() does not change the laser pin if it is an input", async () => {
  const pci = new ModelFunction();
  pci.nic.write32(offsetOf(R.ESDP), R.ESDP.SDP3);
  using bench = await Bench.start({}, pci);
  assertEquals(bench.pci.writes.filter(([offset]) => offset === offsetOf(R.ESDP)), []);
});

Deno.test("ixgbe.attach() enables a link that the EEPROM has disabled", async () => {
  for (const deviceId of [0x10fb, 0x10f7]) {
    const pci = new ModelFunction({ deviceId, linkDisabled: true });
    assertEquals(up(pci), false);
    using bench = await Bench.start({}, pci);
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  }
});

Deno.test("ixgbe.attach() keeps the link mode that the EEPROM has set", async () => {
  const pci = new ModelFunction();
  const before = pci.nic.read32(offsetOf(R.AUTOC));
  using bench = await Bench.start({}, pci);
  assertEquals((bench.reads(R.AUTOC) ^ before) & R.AUTOC.LMS, 0);
});

Deno.test("ixgbe.attach() does not touch AUTOC on an X540", async () => {
  using bench = await Bench.start({}, new ModelFunction({ deviceId: 0x1528 }));
  assertEquals(bench.pci.writes.filter(([offset]) => offset === offsetOf(R.AUTOC)), []);
});

Deno.test("Device.linkStatus() reports every speed of the family", async () => {
  const speeds: [number, number[]][] = [
    [0x10fb, [10000]],
    [0x1528, [100, 1000, 10000]],
    [0x1563, [100, 1000, 2500, 5000, 10000]],
  ];
  for (const [deviceId, all] of speeds) {
    using bench = await Bench.start({ speeds: all }, new ModelFunction({ deviceId }));
    for (const megabits of all) {
      bench.pci.nic.setLink(true, megabits);
      const link = await bench.device.waitForLink(1000);
      assertObjectMatch(link, { up: true, megabits, duplex: "full" });
    }
    bench.pci.nic.setLink(false);
    const { up, megabits, duplex } = bench.device.linkStatus();
    assertEquals({ up, megabits, duplex }, { up: false, megabits: 0, duplex: undefined });
  }
});

Deno.test("ixgbe.attach() leaves a link alone that a management controller uses", async () => {
  const pci = new ModelFunction({ firmware: { veto: true } });
  pci.nic.setLink(false); // else the link itself would keep the driver from resetting it
  using bench = await Bench.start({}, pci);
  assertEquals(bench.pci.writes.filter(([offset]) => offset === offsetOf(R.AUTOC)), []);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "(MMNGC.MNG_VETO)");
  pci.nic.setLink(true);
  assertEquals((await bench.device.waitForLink(1000)).up, true);
});

Deno.test("ixgbe.attach() does not wait forever for firmware's configuration", async () => {
  for (const configDone of [50, Infinity]) {
    using bench = await Bench.start({}, new ModelFunction({ firmware: { configDone } }));
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  }
});

Deno.test("Device.waitForLink() gives up at its deadline", async () => {
  using bench = await Bench.start();
  bench.pci.nic.setLink(false);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "no link after 20 ms");
});
