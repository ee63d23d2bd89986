/** The NIC model with an outer VLAN tag on every packet: CTRL_EXT.EXTENDED_VLAN and DMATXCTL.GDV. */

import { assertEquals } from "@std/assert";
import { CTRL_EXT, DMATXCTL, EXVET, RXDCTL, TDT, VFTA, VLNCTRL } from "../../ixgbe/registers.ts";
import { packet, type PacketOptions } from "../support/ip_packets.ts";
import { RX_BUFFERS, RX_RING, TestDriver, TX_BUFFERS, TX_RING } from "../support/model_driver.ts";

const OPTIONS: PacketOptions = {
  source: [10, 0, 0, 1],
  destination: [10, 0, 0, 2],
  protocol: "udp",
  ports: [1000, 2000],
  payload: 60,
};
const PLAIN = packet(OPTIONS);
const OUTER_TYPE = 0x88a8, VLAN = 0x8100, OUTER = 0x6063;
const VP = 1 << 3, L4I = 1 << 5, IPCS = 1 << 6, VEXT = 1 << 9, ERRORS = 0xfff << 20;
const UDP_IPV4 = 1 << 9 | 1 << 4;
const VLE = 1 << 30, DEXT = 1 << 29, CONTEXT = 2 << 20, WHOLE = 0x2b300000;
const IXSM = 1 << 8, TXSM = 1 << 9;

/** Returns the packet with tags: pairs of type and tag. */
function tagged(...tags: number[]): Uint8Array<ArrayBuffer> {
  const bytes = tags.flatMap((half) => [half >>> 8, half & 0xff]);
  return Uint8Array.of(...PLAIN.subarray(0, 12), ...bytes, ...PLAIN.subarray(12));
}

function doubleVlan(outerType = OUTER_TYPE): TestDriver {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.set(CTRL_EXT, CTRL_EXT.EXTENDED_VLAN);
  driver.set(DMATXCTL, DMATXCTL.GDV);
  driver.write(EXVET, (outerType << 16) >>> 0);
  driver.enableTransmit();
  driver.enableReceive();
  return driver;
}

/** Receives frames; returns each one's packet type, tag, status, and bytes. */
function received(driver: TestDriver, ...frames: Uint8Array[]) {
  driver.wire.waiting.push(...frames);
  driver.nic.poll();
  return frames.map((_, i) => {
    const [type, , status, lengths] = driver.words.subarray(RX_RING / 4 + i * 4);
    const from = RX_BUFFERS + i * 2048;
    return {
      type: type & 0xfff0,
      tag: lengths >>> 16,
      status: status & (VEXT | VP | L4I | IPCS | ERRORS),
      bytes: driver.bytes.slice(from, from + (lengths & 0xffff)),
    };
  });
}

Deno.test("EXTENDED_VLAN: the inner tag is stripped, the outer stays, and both are skipped", () => {
  const driver = doubleVlan();
  driver.set(RXDCTL, RXDCTL.VME);
  const frames = [tagged(OUTER_TYPE, OUTER, VLAN, 5), tagged(OUTER_TYPE, OUTER), PLAIN];
  const [both, outer, none] = received(driver, ...frames);
  const status = L4I | IPCS | VEXT;
  assertEquals(both, {
    ...{ type: UDP_IPV4, tag: 5, status: status | VP },
    bytes: tagged(OUTER_TYPE, OUTER),
  });
  assertEquals(outer, { type: UDP_IPV4, tag: 0, status, bytes: frames[1] });
  assertEquals(none, { type: UDP_IPV4, tag: 0, status: L4I | IPCS, bytes: PLAIN });
  assertEquals(driver.broken(), []);
});

Deno.test("EXTENDED_VLAN: a single tag of EXVET's type is the outer one, and is not filtered", () => {
  const driver = doubleVlan(VLAN);
  driver.set(VLNCTRL, VLNCTRL.VFE);
  driver.write(VFTA, 1 << 5);
  const frames = [tagged(VLAN, 99), tagged(VLAN, 99, VLAN, 5), tagged(VLAN, 5, VLAN, 99)];
  const found = received(driver, ...frames);
  assertEquals(found.map(({ status }) => status & VEXT), [VEXT, VEXT, 0]);
  const { received: good, filtered } = driver.nic.counters;
  assertEquals([good, filtered], [2, 1]);
});

Deno.test("EXTENDED_VLAN: a tag in place of the outer one is not taken for a VLAN", () => {
  const driver = doubleVlan();
  driver.set(RXDCTL, RXDCTL.VME);
  const [found] = received(driver, tagged(VLAN, 5));
  assertEquals(found, { type: 0, tag: 0, status: 0, bytes: tagged(VLAN, 5) });
});

Deno.test("DMATXCTL.GDV: a tag is inserted behind the outer one, and checksums behind both", () => {
  const driver = doubleVlan(), context = TX_RING / 4;
  const frame = tagged(OUTER_TYPE, OUTER);
  const unfinished = frame.slice();
  unfinished.fill(0, 28, 30); // the IPv4 checksum
  const ip = 18, l4 = ip + 20, bytes = frame.length - l4;
  const addresses = new DataView(frame.buffer);
  let pseudo = 17 + bytes;
  for (let at = ip + 12; at < l4; at += 2) pseudo += addresses.getUint16(at);
  pseudo = (pseudo & 0xffff) + (pseudo >>> 16);
  new DataView(unfinished.buffer).setUint16(l4 + 6, pseudo);
  driver.words[context] = 7 << 16 | ip << 9 | 20;
  driver.words[context + 2] = DEXT | CONTEXT | 1 << 10;
  driver.words[context + 3] = 0;
  driver.bytes.set(unfinished, TX_BUFFERS + 2048);
  driver.fillTransmit(1, frame.length, WHOLE | VLE);
  driver.words[context + 4 + 3] |= IXSM | TXSM;
  driver.write(TDT, 2);
  driver.nic.poll();
  assertEquals(driver.wire.sent, [tagged(OUTER_TYPE, OUTER, VLAN, 7)]);
  assertEquals(driver.broken(), []);
});
