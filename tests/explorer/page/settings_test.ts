/** The settings of the form. */

import { assertEquals } from "@std/assert";
import { SETTINGS, valuesOf, withSetting } from "../../../explorer/page/settings.ts";
import { checkExperiment } from "../../../explorer/recording/check_experiment.ts";
import { DEFAULTS, DEVICES } from "../../../explorer/recording/experiment.ts";

Deno.test("SETTINGS offers all settings, and only values that an experiment may have", () => {
  const { actions: _, ...settings } = DEFAULTS;
  assertEquals(SETTINGS.map(({ name }) => name).toSorted(), Object.keys(settings).toSorted());
  for (const device of DEVICES) {
    for (const setting of SETTINGS) {
      for (const value of valuesOf(device, setting) ?? setting.range ?? []) {
        const enough = { ports: 1, buffers: 16_384 } as const;
        checkExperiment({
          ...DEFAULTS,
          device,
          ...enough,
          [setting.name]: enough[setting.name as "ports"] ?? value,
        });
      }
    }
  }
});

Deno.test("withSetting() gives up what another device does not have", () => {
  const big = { ...DEFAULTS, entries: 1024, interrupts: true, batch: 16 };
  const { entries, interrupts, batch } = withSetting(big, "device", "virtio");
  assertEquals({ entries, interrupts, batch }, { entries: 64, interrupts: false, batch: 16 });
  assertEquals(withSetting(big, "device", "X540"), { ...big, device: "X540" });
});
