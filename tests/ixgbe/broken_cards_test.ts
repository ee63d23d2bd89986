/** Cards with parts that do not answer: the driver says which, in one sentence. */

import { assertMatch, assertRejects } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, Mempool } from "../../mod.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { Card } from "../support/faulty_card.ts";

Deno.test("ixgbe.attach() says that the firmware of an X550 accepts no commands", async () => {
  const card = new Card({ deviceId: DEVICE.X550 });
  card.alterReads(R.HICR, (control) => control & ~R.HICR.EN);
  const error = await assertRejects(() => card.open({}), DeviceError);
  assertMatch(error.message, /^0000:03:00\.0: firmware accepts no commands, HICR \(0x0*15f00\)/);
});

for (const model of ["X540", "X550"] as const) {
  Deno.test(`IxgbeDevice.setLink() says that the PHY of an ${model} does not answer`, async () => {
    using pool = new Mempool({ buffers: 1024 });
    const card = new Card({ deviceId: DEVICE[model] });
    using device = await card.open({ pool });
    card.alterReads(R.MSCA, (frame) => frame | R.MSCA.MDI_COMMAND); // a frame that does not end
    const error = await assertRejects(() => device.setLink(false), DeviceError);
    assertMatch(error.message, /^0000:03:00\.0: its PHY cannot be accessed$/);
    card.alterReads(R.MSCA, (frame) => frame);
    await device.setLink(false);
    await device.setLink(true);
  });
}
