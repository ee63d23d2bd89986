/** Pause frames: the ixgbe driver turns them off, advertises none, and reports what is in force. */

import { assertEquals } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { Bench, OWN } from "../support/ixgbe_on_model.ts";
import { ModelFunction } from "../support/model_function.ts";

/** The PHY's advertisement (MDIO device 7, register 0x10), and its bits for pause frames. */
const AUTO_NEGOTIATION = 7, ADVERTISEMENT = 0x10, PAUSE = 3 << 10;

/** Accesses the PHY as another driver does. */
function mdio(pci: ModelFunction, operation: number, value = 0): number {
  const { nic } = pci;
  const write = (register: Register, value: number) => nic.write32(offsetOf(register), value);
  write(R.SW_FW_SYNC, R.SW_FW_SYNC.SW_PHY_SM0);
  write(R.MSRWD, value);
  for (const code of [R.MSCA.OP_ADDRESS, operation]) {
    write(R.MSCA, ADVERTISEMENT | AUTO_NEGOTIATION << 16 | code | R.MSCA.MDI_COMMAND);
  }
  write(R.SW_FW_SYNC, 0);
  return nic.read32(offsetOf(R.MSRWD)) >>> 16;
}

/** Leaves pause frames on and advertised, as Linux's driver does. */
function leaveOn(pci: ModelFunction, hasPhy: boolean): void {
  const { nic } = pci;
  const set = (register: Register, bits: number) =>
    nic.write32(offsetOf(register), nic.read32(offsetOf(register)) | bits);
  set(R.MFLCN, R.MFLCN.RFCE);
  set(R.FCCFG, R.FCCFG.TFCE_LINK);
  set(R.FCRTH, R.FCRTH.FCEN);
  set(R.PCS1GANA, R.PCS1GANA.SYM_PAUSE | R.PCS1GANA.ASM_PAUSE);
  if (hasPhy) mdio(pci, R.MSCA.OP_WRITE, mdio(pci, R.MSCA.OP_READ) | PAUSE);
}

for (const [name, deviceId] of Object.entries(DEVICE)) {
  Deno.test(`ixgbe.attach() turns pause frames off and advertises none: ${name}`, async () => {
    const hasPhy = deviceId === DEVICE.X540 || deviceId === DEVICE.X550;
    const mac = Uint8Array.from(OWN);
    const pci = new ModelFunction({ deviceId, mac, advertisesPause: true });
    leaveOn(pci, hasPhy);
    using bench = await Bench.start({}, pci);
    assertEquals(bench.reads(R.MFLCN), R.MFLCN.DPF);
    assertEquals([bench.reads(R.FCCFG), bench.reads(R.FCRTH) & R.FCRTH.FCEN], [0, 0]);
    if (hasPhy) assertEquals(mdio(pci, R.MSCA.OP_READ) & PAUSE, 0);
    else assertEquals(bench.reads(R.PCS1GANA) & (R.PCS1GANA.SYM_PAUSE | R.PCS1GANA.ASM_PAUSE), 0);
    if (deviceId === DEVICE.KX4) assertEquals(bench.reads(R.AUTOC) & R.AUTOC.PB, 0);
    assertEquals((await bench.device.waitForLink(1000)).flowControl, "none");
  });
}

Deno.test("ixgbe.attach() does not restart a link that advertises no pause frames", async () => {
  const pci = new ModelFunction({ deviceId: DEVICE.X540, mac: Uint8Array.from(OWN) });
  using bench = await Bench.start({}, pci);
  const commands = bench.pci.writes.filter(([offset, value]) => {
    return offset === offsetOf(R.MSCA) && (value & R.MSCA.OP_CODE) === R.MSCA.OP_WRITE;
  });
  assertEquals(commands, []);
});

Deno.test("Device.linkStatus() reports the pause frames that are in force, while the link is up", async () => {
  using bench = await Bench.start();
  const { device } = bench, { registers } = device;
  const cases = [
    [0, 0, "none"],
    [R.MFLCN.RFCE, 0, "receive"],
    [0, R.FCCFG.TFCE_LINK, "transmit"],
    [R.MFLCN.RFCE, R.FCCFG.TFCE_LINK, "both"],
    [R.MFLCN.RPFCE, R.FCCFG.TFCE_PRIORITY, "both"],
  ] as const;
  for (const [receive, transmit, flowControl] of cases) {
    registers.write(R.MFLCN, receive);
    registers.write(R.FCCFG, transmit);
    assertEquals(device.linkStatus().flowControl, flowControl);
  }
  bench.pci.nic.setLink(false);
  assertEquals(device.linkStatus().flowControl, undefined);
});

Deno.test("A device in promiscuous mode receives no pause frames, and is not paused by them", async () => {
  using bench = await Bench.start({ promiscuous: true });
  const { pci, batch, device } = bench;
  const frame = new Uint8Array(60);
  frame.set([1, 0x80, 0xc2, 0, 0, 1, ...OWN, 0x88, 8, 0, 1, 0xff, 0xff]);
  pci.wire.waiting.push(frame);
  pci.nic.poll();
  assertEquals(device.rxQueues[0].receive(batch), 0);
  batch.add(new Uint8Array(60));
  device.txQueues[0].transmit(batch);
  pci.nic.poll();
  assertEquals(pci.wire.sent.length, 1);
  assertEquals(bench.reads(R.LXOFFRXCNT), 1);
});
