/** The ixgbe driver on the NIC model when the device is pulled out while in use. */

import { assertEquals, assertThrows } from "@std/assert";
import { LINKS } from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench } from "../support/ixgbe_on_model.ts";

/** A device that counts the reads of its registers once it is gone. */
class RemovableFunction extends ModelFunction {
  reads = 0;

  override bar(index: number): Bar {
    const bar = super.bar(index);
    return {
      ...bar,
      read: (offset, bytes) => {
        this.reads++;
        return bar.read(offset, bytes);
      },
    };
  }

  override remove(): void {
    super.remove();
    this.reads = 0;
  }
}

Deno.test("Device says that it is gone instead of reporting a link or counts of ones", async () => {
  using bench = await Bench.start({}, new RemovableFunction());
  const { device, pci } = bench;
  await device.waitForLink(1000);
  pci.remove();
  const gone = "model: STATUS reads 0xffffffff, so the device is powered down or gone: rescan";
  for (
    const use of [
      () => device.linkStatus(),
      () => device.statistics(),
      () => device.counters(),
      () => device.macAddress(),
      () => device.setPromiscuous(true),
      () => device.registers.read(LINKS),
    ]
  ) {
    assertThrows(use, DeviceError, gone);
  }
});

Deno.test("Device.close() of a device that is gone waits for nothing, and frees its memory", async () => {
  const pci = new RemovableFunction();
  const bench = await Bench.start(
    { rxQueues: 16, txQueues: 64, rxEntries: 64, txEntries: 64 },
    pci,
  );
  pci.remove();
  bench.device.close();
  assertEquals(pci.reads, 2, "one register, and STATUS");
  assertEquals(pci.log.slice(-2), ["bus master off", "close"]);
  bench[Symbol.dispose]();
});
