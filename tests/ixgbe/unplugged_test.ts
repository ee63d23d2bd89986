/** The ixgbe driver on the NIC model with its cable unplugged while packets wait to be sent. */

import { assertEquals, assertThrows } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench, OWN } from "../support/ixgbe_on_model.ts";

/** Unplugs the cable, and has packets wait in each of the device's transmit queues. */
function unplug(bench: Bench): void {
  bench.pci.nic.setLink(false);
  for (const queue of bench.device.txQueues) {
    for (let i = 0; i < 4; i++) bench.batch.add(new Uint8Array(60));
    assertEquals(queue.transmit(bench.batch), 4);
  }
}

for (const [name, deviceId] of Object.entries(DEVICE)) {
  Deno.test(`Device.close() discards packets that wait for a link: ${name}`, async () => {
    const pci = new ModelFunction({ deviceId, mac: Uint8Array.from(OWN) });
    const bench = await Bench.start({ txQueues: 8, txEntries: 64 }, pci);
    unplug(bench);
    bench.device.close();
    assertEquals(pci.wire.sent, []);
    assertEquals(pci.log.slice(-2), ["bus master off", "close"]);
    bench[Symbol.dispose](); // all buffers are back, and no rule is broken
  });
}

Deno.test("ixgbe.attach() recovers a NIC that was left while packets waited for a link", async () => {
  const pci = new ModelFunction({ mac: Uint8Array.from(OWN) });
  unplug(await Bench.start({}, pci));
  using second = await Bench.start({}, pci);
  pci.nic.setLink(true);
  assertEquals([second.passes(OWN), pci.wire.sent.length], [true, 0]);
});

Deno.test("Device.close() reports a queue that does not stop although the link is up", async () => {
  const pci = new class extends ModelFunction {
    override bar(index: number): Bar {
      const bar = super.bar(index);
      return {
        ...bar,
        write: (offset, bytes, value) => {
          if (offset === offsetOf(R.TXDCTL) && !(value & R.TXDCTL.ENABLE)) return;
          bar.write(offset, bytes, value);
        },
      };
    }
  }({ mac: Uint8Array.from(OWN) });
  const bench = await Bench.start({}, pci);
  assertThrows(() => bench.device.close(), DeviceError, "TXDCTL[0] did not come to rest");
  bench[Symbol.dispose]();
});
