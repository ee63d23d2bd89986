/** MAC loopback of the ixgbe driver, and taking the link down, on the NIC model. */

import { assert, assertEquals } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { Bench, OWN } from "../support/ixgbe_on_model.ts";
import { ModelFunction } from "../support/model_function.ts";

const BOARDS: readonly [name: string, options: NicOptions][] = [
  ["82599 SFP+", {}],
  ["82599 KX4", { deviceId: 0x10f7 }],
  ["X540", { deviceId: 0x1528 }],
  ["X550", { deviceId: 0x1563 }],
];

function start(options: NicOptions): Promise<Bench> {
  return Bench.start({}, new ModelFunction({ ...options, mac: Uint8Array.from(OWN) }));
}

for (const [name, options] of BOARDS) {
  Deno.test(`startLoopback() returns what an ${name} sends, until it is closed`, async () => {
    const bench = await start(options), { device, batch, pci } = bench;
    const autoc = bench.reads(R.AUTOC), macc = bench.reads(R.MACC);
    pci.nic.setLink(false); // there is no cable
    await device.startLoopback();
    await device.startLoopback();
    assert(!bench.passes(OWN), "the wire is cut off");
    batch.add(Uint8Array.from({ length: 60 }, (_, i) => OWN[i] ?? i));
    device.txQueues[0].transmit(batch);
    for (let i = 0; i < 3; i++) pci.nic.poll();
    assertEquals(device.rxQueues[0].receive(batch), 1);
    assertEquals([...batch.packet(0)].slice(6), Array.from({ length: 54 }, (_, i) => i + 6));
    assertEquals(pci.wire.sent, []);
    batch.free();
    const written = pci.writes.length;
    bench[Symbol.dispose]();
    // Closing restores the MAC's registers, which a reset may leave as they are.
    const last = (register: typeof R.AUTOC | typeof R.MACC | typeof R.HLREG0) =>
      pci.writes.slice(written).findLast(([offset]) => offset === register.offset)?.[1];
    assertEquals(last(R.HLREG0)! & R.HLREG0.LPBK, 0);
    if (name.startsWith("82599")) assertEquals(last(R.AUTOC), autoc);
    else assertEquals(last(R.MACC), macc);
  });

  Deno.test(`setLink() takes the link of an ${name} down for its partner, and up again`, async () => {
    using bench = await start(options);
    const { device, pci } = bench;
    await device.waitForLink(1000);
    const before = bench.reads(R.AUTOC);
    assertEquals(pci.nic.sendsSignal, true);
    for (let i = 0; i < 2; i++) {
      await device.setLink(false);
      assertEquals([device.linkStatus().up, pci.nic.sendsSignal], [false, false]);
    }
    for (let i = 0; i < 2; i++) {
      await device.setLink(true);
      assertEquals((await device.waitForLink(1000)).up, true);
      assertEquals(pci.nic.sendsSignal, true);
    }
    assertEquals(bench.reads(R.AUTOC), before);
  });
}
