/** The ixgbe driver on the NIC model: what it does for a link, and what it says of it. */

import { assertEquals, assertRejects } from "@std/assert";
import { DEVICE_IDS } from "../../ixgbe/models.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import { offsetOf } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench } from "../support/ixgbe_on_model.ts";

/** Whether there is a link, as nobody but the test looks; the first look after a change comes early. */
function up(bus: ModelFunction): boolean {
  bus.nic.read32(offsetOf(R.LINKS));
  return (bus.nic.read32(offsetOf(R.LINKS)) & R.LINKS.UP) !== 0;
}

Deno.test("ixgbe.attach() turns the laser on that another driver turned off", async () => {
  for (const deviceId of DEVICE_IDS) {
    const bus = new ModelFunction({ deviceId });
    const pins = bus.nic.read32(offsetOf(R.ESDP));
    bus.nic.write32(offsetOf(R.ESDP), pins | R.ESDP.SDP3);
    assertEquals(up(bus), (pins & R.ESDP.SDP3_DIR) === 0, `device ${deviceId.toString(16)}`);
    using bench = await Bench.start({}, bus);
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  }
});

Deno.test("ixgbe.attach() leaves the pin of the laser alone where it is an input", async () => {
  const bus = new ModelFunction();
  bus.nic.write32(offsetOf(R.ESDP), R.ESDP.SDP3);
  using bench = await Bench.start({}, bus);
  assertEquals(bench.bus.writes.filter(([offset]) => offset === offsetOf(R.ESDP)), []);
});

Deno.test("ixgbe.attach() enables a link that the EEPROM has disabled", async () => {
  for (const deviceId of [0x10fb, 0x10f7]) {
    const bus = new ModelFunction({ deviceId, linkDisabled: true });
    assertEquals(up(bus), false);
    using bench = await Bench.start({}, bus);
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  }
});

Deno.test("ixgbe.attach() leaves the link mode as the EEPROM has set it", async () => {
  const bus = new ModelFunction();
  const before = bus.nic.read32(offsetOf(R.AUTOC));
  using bench = await Bench.start({}, bus);
  assertEquals((bench.reads(R.AUTOC) ^ before) & R.AUTOC.LMS, 0);
});

Deno.test("ixgbe.attach() does not touch AUTOC on an X540", async () => {
  using bench = await Bench.start({}, new ModelFunction({ deviceId: 0x1528 }));
  assertEquals(bench.bus.writes.filter(([offset]) => offset === offsetOf(R.AUTOC)), []);
});

Deno.test("Device.linkStatus() knows every speed of the family", async () => {
  const speeds: [number, number[]][] = [
    [0x10fb, [100, 1000, 10000]],
    [0x1528, [100, 1000, 10000]],
    [0x1563, [100, 1000, 2500, 5000, 10000]],
  ];
  for (const [deviceId, all] of speeds) {
    using bench = await Bench.start({}, new ModelFunction({ deviceId }));
    for (const megabits of all) {
      bench.bus.nic.setLink(true, megabits);
      assertEquals(await bench.device.waitForLink(1000), { up: true, megabits });
    }
    bench.bus.nic.setLink(false);
    assertEquals(bench.device.linkStatus(), { up: false, megabits: 0 });
  }
});

Deno.test("Device.waitForLink() gives up at its deadline", async () => {
  using bench = await Bench.start();
  bench.bus.nic.setLink(false);
  await assertRejects(() => bench.device.waitForLink(20), DeviceError, "no link after 20 ms");
});
