/** What a page that is attached to a software NIC sees of its registers. */

import { assertEquals } from "@std/assert";
import { linkSection } from "../../../explorer/recording/layout.ts";
import { ModelState } from "../../../explorer/server/live/model_state.ts";
import { DEVICE } from "../../../sim/nic/boards.ts";
import { Bench } from "../../support/ixgbe_on_model.ts";
import { ModelFunction } from "../../support/model_function.ts";

/** Opens a device with one speed; returns the link's cells once the link is up. */
async function linkAt(deviceId: number, megabits: number): Promise<number[]> {
  const pci = new ModelFunction({ deviceId });
  using bench = await Bench.start({ speeds: [megabits] }, pci);
  await bench.device.waitForLink(1000);
  const state = new ModelState([pci], deviceId), cells = state.view();
  return [...state.layout.view(cells, linkSection(0))];
}

Deno.test("ModelState has the link's speed in Mb/s, also those that only an X550 has", async () => {
  for (const megabits of [100, 1000, 10_000]) {
    assertEquals(await linkAt(DEVICE.X540, megabits), [1, megabits]);
  }
  for (const megabits of [100, 1000, 2500, 5000, 10_000]) {
    assertEquals(await linkAt(DEVICE.X550, megabits), [1, megabits]);
  }
});
