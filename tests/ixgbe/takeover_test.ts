/**
 * The ixgbe driver takes over a card on which an earlier driver has left settings that CTRL.RST keeps:
 * through sysfs there is no function-level reset.
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";

const FRAMES = 64;

/** Leaves what drivers with virtual functions, traffic classes, VLANs and rate limits set. */
function leave({ nic }: ModelFunction): void {
  const write = (register: Register, value: number, index = 0) =>
    nic.write32(offsetOf(register, index), value);
  const set = (register: Register, bits: number) =>
    write(register, nic.read32(register.offset) | bits);
  set(R.CTRL_EXT, R.CTRL_EXT.EXTENDED_VLAN);
  for (const queue of [0, 1, 127]) {
    write(R.RTTDQSEL, queue);
    write(R.RTTDT1C, 0x10);
    write(R.RTTBCNRC, R.RTTBCNRC.RS_ENA | 1000 << 14);
    write(R.PFQDE, R.PFQDE.WE | queue << 8 | R.PFQDE.QDE);
  }
  for (const table of [R.MTA, R.VFTA, R.PFUTA, R.PFVLVF, R.PFVLVFB, R.MPSAR] as Register[]) {
    for (let i = 0; i < table.count; i++) write(table, 0xffffffff, i);
  }
  write(R.RAL, 0x12345602, 1);
  write(R.RAH, R.RAH.AV, 1);
  set(R.VLNCTRL, R.VLNCTRL.VFE);
  set(R.HLREG0, R.HLREG0.LPBK);
  set(R.MACC, R.MACC.FLU);
  write(R.PFVTCTL, R.PFVTCTL.VT_ENA);
  write(R.RXDCTL, R.RXDCTL.VME);
  nic.rules.clear();
}

for (
  const [name, deviceId] of Object.entries({
    82599: DEVICE.SFP,
    X540: DEVICE.X540,
    X550: DEVICE.X550,
  })
) {
  Deno.test(`ixgbe takes over an ${name} with another driver's settings`, async () => {
    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const pci = new ModelFunction({ deviceId }), { nic, wire } = pci;
    leave(pci);
    using device = await ixgbe.attach(pci, { pool });
    const [tx] = device.txQueues, [rx] = device.rxQueues, batch = new PacketBatch(pool, 256);
    for (let i = 0; i < FRAMES; i++) batch.add(new Uint8Array(60).fill(0xff));
    assertEquals(tx.transmit(batch), FRAMES);
    nic.poll();
    assertEquals(wire.sent.length, FRAMES, "no rate limit, no loopback");
    // Neither a longer frame than a buffer, nor frames for the other driver's addresses and groups.
    wire.waiting.push(new Uint8Array(2056).fill(0xff));
    for (const first of [[2, 0x56, 0x34, 0x12, 0, 0], [1, 0, 0x5e, 0, 0, 1]]) {
      const frame = new Uint8Array(60);
      frame.set(first);
      wire.waiting.push(frame);
    }
    wire.waiting.push(new Uint8Array(60).fill(0xff));
    while (wire.waiting.length > 0) nic.poll();
    assertEquals(rx.receive(batch), 1);
    batch.free();
    assertEquals(device.statistics().rxTooLong, 0, "the NIC has dropped the long frame");
    for (const queue of [0, 1, 127]) {
      nic.write32(R.RTTDQSEL.offset, queue);
      assertEquals(nic.read32(R.RTTBCNRC.offset), 0);
      assertEquals(nic.read32(R.RTTDT1C.offset), 0);
    }
    assertEquals(nic.read32(R.MACC.offset) & R.MACC.FLU, 0);
    assertEquals(nic.rules.violations, []);
  });
}
