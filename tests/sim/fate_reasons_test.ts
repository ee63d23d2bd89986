/** Nic.explain(): the register, the sentence and the queue of each kind of decision. */

import { assertEquals } from "@std/assert";
import {
  FCTRL,
  FDIRCMD,
  FDIRMATCH,
  HLREG0,
  MAXFRS,
  MCSTCTRL,
  MFLCN,
  MRQC,
  MTA,
  RDT,
  RETA,
  RXCSUM,
  RXCTRL,
  RXDCTL,
  RXPBSIZE,
  SECRXCTRL,
  SRRCTL,
  TSAUXC,
  TSYNCRXCTL,
  VFTA,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Fate } from "../../sim/rx/fate.ts";
import { FILTER, FlowDriver, PERFECT, QUEUE, tagged, UDP, V4 } from "../support/flow_director.ts";
import { packet } from "../support/ip_packets.ts";
import { BROADCAST, frameTo, RING, STATION, TestDriver } from "../support/model_driver.ts";

const GROUP = [1, 0, 0x5e, 0, 0x12, 0x34], OTHER = [2, 0, 0, 0, 7, 7];
/** The list of the filter that fits the packet. */
const LIST = 0x43c;
const OWN_FRAME = frameTo(STATION, 60);

/** Explains a frame after registers were written. */
function explained(
  frame: Uint8Array,
  ...settings: readonly (readonly [Register, number, number?])[]
): Fate {
  const driver = TestDriver.ready();
  for (const [register, value, index] of settings) driver.write(register, value, index);
  return driver.nic.explain(frame);
}

Deno.test("Nic.explain() names the register that decides about a frame", () => {
  const jumbo = HLREG0.JUMBOEN | HLREG0.RXCRCSTRP;
  const cases: [string, string, Fate][] = [
    ["accepted", "RAL[0]", explained(OWN_FRAME)],
    ["accepted", "FCTRL.UPE", explained(frameTo(OTHER, 60), [FCTRL, FCTRL.UPE])],
    ["filtered", "RAL", explained(frameTo(OTHER, 60))],
    ["accepted", "FCTRL.BAM", explained(frameTo(BROADCAST, 60))],
    ["filtered", "FCTRL.BAM", explained(frameTo(BROADCAST, 60), [FCTRL, 0])],
    ["accepted", "FCTRL.MPE", explained(frameTo(GROUP, 60), [FCTRL, FCTRL.MPE])],
    ["filtered", "MCSTCTRL.MFE", explained(frameTo(GROUP, 60))],
    ["filtered", "MTA[26]", explained(frameTo(GROUP, 60), [MCSTCTRL, MCSTCTRL.MFE])],
    [
      "accepted",
      "MTA[26]",
      explained(frameTo(GROUP, 60), [MCSTCTRL, MCSTCTRL.MFE], [MTA, 0xffff_ffff, 26]),
    ],
    ["filtered", "VFTA[1]", explained(tagged(33), [VLNCTRL, 0x8100 | VLNCTRL.VFE])],
    [
      "accepted",
      "RAL[0]",
      explained(tagged(33), [VLNCTRL, 0x8100 | VLNCTRL.VFE], [VFTA, 1 << 1, 1]),
    ],
    [
      "filtered",
      "VLNCTRL.CFI",
      explained(tagged(33), [VLNCTRL, 0x8100 | VLNCTRL.CFIEN | VLNCTRL.CFI]),
    ],
    ["too short", "RUC", explained(frameTo(STATION, 59))],
    ["too long", "HLREG0.JUMBOEN", explained(frameTo(STATION, 1515), [HLREG0, 0])],
    [
      "too long",
      "MAXFRS",
      explained(frameTo(STATION, 1997), [HLREG0, jumbo], [MAXFRS, 2000 << 16]),
    ],
    ["ignored", "RXCTRL.RXEN", explained(OWN_FRAME, [RXCTRL, 0])],
    ["ignored", "SECRXCTRL.RX_DIS", explained(OWN_FRAME, [SECRXCTRL, SECRXCTRL.RX_DIS])],
    ["ignored", "HLREG0.LPBK", explained(OWN_FRAME, [HLREG0, HLREG0.LPBK])],
    ["missed", "RXDCTL[0].ENABLE", explained(OWN_FRAME, [RXDCTL, 0])],
    [
      "pause",
      "MFLCN.DPF",
      explained(
        Uint8Array.of(1, 0x80, 0xc2, 0, 0, 1, ...STATION, 0x88, 8, 0, 1, ...new Uint8Array(44)),
        [MFLCN, MFLCN.DPF],
      ),
    ],
  ];
  for (const [verdict, by, fate] of cases) {
    assertEquals([fate.verdict, fate.by], [verdict, by], fate.reason);
    assertEquals(/^[A-Z].*\.$/.test(fate.reason), true, fate.reason);
    assertEquals(/^\d+(\.\d+)+$/.test(fate.section), true, fate.section);
  }
});

Deno.test("Nic.explain() says why a frame finds no descriptor", () => {
  const driver = TestDriver.ready();
  const why = () => {
    const { verdict, by, reason } = driver.nic.explain(OWN_FRAME);
    return [verdict, by, reason];
  };
  for (let i = 0; i < RING - 1; i++) driver.wire.waiting.push(OWN_FRAME);
  for (let i = 0; i < 5; i++) driver.nic.poll();
  const lacks = "Queue 0 has 0 descriptors with buffers of 2048 bytes, and the frame needs 1";
  assertEquals(why(), [
    ...["missed", "SRRCTL[0].DROP_EN"],
    `${lacks}, and SRRCTL[0].DROP_EN is 1: the frame is dropped.`,
  ]);
  driver.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2);
  assertEquals(why(), ["waits", "RDT[0]", `${lacks}, so the frame waits in packet buffer 0.`]);
  driver.wire.waiting.push(OWN_FRAME);
  driver.nic.poll();
  assertEquals(why(), [
    ...["waits", "RXPBSIZE[0]"],
    "Frames that came before wait in packet buffer 0, so the frame waits in packet buffer 0.",
  ]);
  driver.write(RXPBSIZE, 0);
  assertEquals(why().slice(0, 2), ["missed", "RXPBSIZE[0]"]);
  driver.nic.setLink(false);
  assertEquals(why(), ["ignored", "LINKS.UP", "The link is down."]);
  driver.nic.setLink(true);
  driver.write(RDT, 0);
  driver.words[(RING - 1) * 4] = 0x1000;
  driver.words[(RING - 1) * 4 + 1] = 0;
  assertEquals(why().slice(0, 2), ["lost", "RDBAL[0]"]);
  driver.nic.setBusMaster(false);
  driver.write(RXPBSIZE, 1024);
  assertEquals(why().slice(0, 2), ["waits", "Bus Master Enable"]);
});

Deno.test("Nic.explain() gives hash, entry and queue of receive side scaling", () => {
  const driver = TestDriver.ready();
  for (let i = 0; i < RETA.count; i++) driver.write(RETA, 0x0302_0100, i);
  driver.write(RXCSUM, RXCSUM.PCSD);
  driver.write(MRQC, 1 | MRQC.RSS_UDP_IPV4);
  const { choice } = driver.nic.explain(packet(V4));
  driver.write(MRQC, 1);
  const plain = driver.nic.explain(packet(V4)).choice!;
  assertEquals([plain.by, plain.queue], ["MRQC", 0]);
  driver.write(MRQC, 1 | MRQC.RSS_UDP_IPV4);
  for (let i = 0; i < RETA.count; i++) driver.write(RETA, 0, i); // to the queue that runs
  driver.wire.waiting.push(packet(V4));
  driver.nic.poll();
  const hash = driver.words[1];
  assertEquals([choice!.hash, choice!.entry], [hash, hash & 127]);
  assertEquals([choice!.queue, choice!.by], [hash & 3, `RETA[${(hash & 127) >>> 2}]`]);
});

Deno.test("Nic.explain() gives the queue of flow director, and counts no match", () => {
  const driver = FlowDriver.start(PERFECT | 3 << 8);
  const choice = () => driver.nic.explain(packet(V4)).choice!;
  assertEquals([choice().by, choice().queue], ["MRQC.MRQE", 0]);
  driver.addPerfect(FILTER, UDP, LIST, 7);
  assertEquals([choice().by, choice().queue], ["FDIRCMD.RX_QUEUE", QUEUE]);
  assertEquals(driver.read(FDIRMATCH), 0);
  assertEquals(driver.take(packet(V4)).queue, QUEUE);
  assertEquals(driver.read(FDIRMATCH), 1);
  driver.addPerfect(FILTER, UDP, LIST, 7, FDIRCMD.FILTER_UPDATE | FDIRCMD.DROP);
  assertEquals([choice().by, choice().queue], ["FDIRCTRL.DROP_QUEUE", 3]);
});

Deno.test("Nic.explain() counts the descriptors of a frame, with CRC and time stamp", () => {
  const driver = TestDriver.ready({ deviceId: DEVICE.X550 });
  const descriptors = (length: number) => driver.nic.explain(frameTo(STATION, length)).descriptors;
  assertEquals([2048, 2049, 9000].map(descriptors), [1, 2, 5]);
  driver.write(TSAUXC, 0);
  driver.write(TSYNCRXCTL, 4 << 1 | TSYNCRXCTL.TSIP_UT_EN);
  assertEquals([2040, 2041].map(descriptors), [1, 2], "with a stamp of 8 bytes");
  driver.write(TSYNCRXCTL, 0);
  driver.write(HLREG0, HLREG0.JUMBOEN);
  assertEquals([2044, 2045].map(descriptors), [1, 2], "with the CRC");
});
