/**
 * The ixgbe driver takes over a card on which an earlier driver has left settings: through sysfs there is
 * no function-level reset. Each feature is set as Linux's driver sets it. Datasheets do not say of every
 * register whether CTRL.RST resets it, so the driver is also tested on a card whose reset keeps all that
 * the features set.
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { type Device, Mempool, PacketBatch } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { hex, nameOf, offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Nic } from "../../sim/nic/nic.ts";
import { ModelFunction } from "../support/model_function.ts";

const FRAMES = 64, SIZE = 60;
/** The addresses of the other driver: a station's and a group's. */
const OTHER = [[2, 0x56, 0x34, 0x12, 0, 0], [1, 0, 0x5e, 0, 0, 1]];
const ALL = 0xffffffff;

/** What a feature leaves in a register: bits that are set, or a value. */
interface Left {
  readonly register: Register;
  readonly value: number;
  /** Bits that the driver must give their values again, and these values: 0 if not given. */
  readonly cleared: number;
  readonly clean: number;
  /** Copies that the driver uses; default: all. */
  readonly copies: number;
  /** Whether the value replaces the register's, or is added to it. */
  readonly replaces: boolean;
}

/** Sets bits, which the driver must clear. */
function sets(register: Register, bits: number, copies = register.count): Left {
  return { register, value: bits, cleared: bits, clean: 0, copies, replaces: false };
}

/** Writes a value, which the driver must replace by another, in these bits. */
function writes(register: Register, value: number, cleared = ALL, clean = 0): Left {
  return { register, value, cleared, clean, copies: register.count, replaces: true };
}

/** A feature of an earlier driver. */
interface Feature {
  readonly name: string;
  readonly left: readonly Left[];
  /** Device IDs that have it; default: all. */
  readonly on?: readonly number[];
  /** What else it leaves. */
  readonly more?: (nic: Nic) => void;
}

/** Settings behind an index register, of these queues. */
const QUEUES = [0, 1, 127];

const FEATURES: readonly Feature[] = [
  {
    name: "SR-IOV and VMDq",
    left: [
      writes(R.PFVTCTL, R.PFVTCTL.VT_ENA | R.PFVTCTL.RPL_EN | 63 << 7),
      sets(R.GCR_EXT, 3), // 64 pools
      sets(R.GPIE, R.GPIE.VT_MODE),
      writes(R.MRQC, 0xb | R.MRQC.RSS_IPV4),
      sets(R.PFDTXGSWC, R.PFDTXGSWC.LBE),
      writes(R.PFVFSPOOF, 0xffff),
      writes(R.PFVMVIR, 1 << 30 | 7), // inserts a tag into each packet
      writes(R.PFMRCTL, 0xf),
      sets(R.PSRTYPE, R.PSRTYPE.RQPL | R.PSRTYPE.SPLIT_TCP),
      ...[R.PFUTA, R.PFVLVF, R.PFVLVFB].map((table) => writes(table, ALL)),
    ],
    more: (nic) => {
      for (let i = 1; i < R.MPSAR.count; i++) nic.write32(offsetOf(R.MPSAR, i), ALL);
      for (const queue of QUEUES) {
        nic.write32(R.PFQDE.offset, R.PFQDE.WE | queue << 8 | R.PFQDE.QDE);
      }
    },
  },
  {
    name: "DCB",
    left: [
      sets(R.RTRPCS, R.RTRPCS.RRM | R.RTRPCS.RAC),
      writes(
        R.RTTDCS,
        R.RTTDCS.TDPAC | R.RTTDCS.VMPAC | R.RTTDCS.TDRM | R.RTTDCS.ARBDIS,
        ALL,
        3 << 22,
      ),
      sets(R.RTTPCS, R.RTTPCS.TPPAC | R.RTTPCS.TPRM),
      writes(R.RTRUP2TC, 0xfac688),
      writes(R.RTTUP2TC, 0xfac688),
      writes(R.MTQC, R.MTQC.RT_ENA | 3 << 2),
      writes(R.TXLLQ, ALL),
      ...[R.RTTDT2C, R.RTTPT2C, R.RTRPT4C].map((arbiter) => writes(arbiter, 0x1234)),
      sets(R.MFLCN, R.MFLCN.RPFCE | R.MFLCN.RPFCE_TC),
      sets(R.FCCFG, R.FCCFG.TFCE_PRIORITY),
      writes(R.SECTXMINIFG, 0x1f01, 0x7ff0f, 0x1001),
    ],
    more: (nic) => {
      for (const queue of QUEUES) {
        nic.write32(R.RTTDQSEL.offset, queue);
        nic.write32(R.RTTDT1C.offset, 0x10);
      }
      for (let i = 0; i < R.RXPBSIZE.count; i++) {
        nic.write32(offsetOf(R.RXPBSIZE, i), 48 << 10);
        nic.write32(offsetOf(R.TXPBSIZE, i), 20 << 10);
        nic.write32(offsetOf(R.TXPBTHRESH, i), 10);
      }
    },
  },
  {
    name: "rate limits",
    left: [],
    more: (nic) => {
      for (const queue of QUEUES) {
        nic.write32(R.RTTDQSEL.offset, queue);
        nic.write32(R.RTTBCNRC.offset, R.RTTBCNRC.RS_ENA | 1000 << 14);
      }
    },
  },
  {
    name: "flow director and other filters",
    left: [
      writes(R.FDIRCTRL, R.FDIRCTRL.PERFECT_MATCH | 1 | 127 << 8 | 2 << 24, ~R.FDIRCTRL.INIT_DONE),
      writes(R.ETQF, 0),
      writes(R.SYNQF, 1 | 1 << 1),
      writes(R.FTQF, R.FTQF.QUEUE_ENABLE | R.FTQF.POOL_MASK | R.FTQF.MASK),
    ],
    more: (nic) => {
      for (let i = 0; i < R.ETQF.count; i++) nic.write32(offsetOf(R.ETQF, i), 1 << 31 | 0x88f0 + i);
    },
  },
  {
    name: "VLANs, outer tags too",
    left: [
      sets(R.CTRL_EXT, R.CTRL_EXT.EXTENDED_VLAN),
      sets(R.DMATXCTL, R.DMATXCTL.GDV),
      sets(R.VLNCTRL, R.VLNCTRL.VFE | R.VLNCTRL.CFIEN),
      writes(R.VFTA, ALL),
      sets(R.RXDCTL, R.RXDCTL.VME, 1),
    ],
  },
  {
    name: "addresses and multicast groups",
    left: [writes(R.MTA, ALL)],
    more: (nic) => {
      nic.write32(offsetOf(R.RAL, 1), 0x12345602);
      nic.write32(offsetOf(R.RAH, 1), R.RAH.AV);
    },
  },
  {
    name: "receive coalescing, header split and short packets",
    left: [
      sets(R.RSCCTL, R.RSCCTL.RSCEN | 3 << 2, 1),
      sets(R.RXDCTL, R.RXDCTL.RLPML_EN, 1),
      sets(R.RXCSUM, R.RXCSUM.IPPCSE),
    ],
  },
  {
    name: "head write-back",
    left: [sets(R.TDWBAL, R.TDWBAL.HEAD_WB_EN, 1)],
  },
  {
    name: "MACsec and IPsec",
    left: [
      writes(R.SECTXCTRL, R.SECTXCTRL.STORE_FORWARD, 7, R.SECTXCTRL.SECTX_DIS),
      writes(R.SECRXCTRL, 0, 3, R.SECRXCTRL.SECRX_DIS),
      writes(R.SECTXBUFFAF, 0x15, 0x3ff, 0x250),
      sets(R.LSECTXCTRL, 3),
      sets(R.LSECRXCTRL, 3 << 2),
      sets(R.IPSTXIDX, 1),
      sets(R.IPSRXIDX, 1),
    ],
  },
  { name: "FCoE", left: [writes(R.FCRECTL, 1)] },
  {
    name: "wake on LAN",
    left: [writes(R.WUFC, 0xff00ff), sets(R.FCTRL, R.FCTRL.MPE)],
    more: (nic) => {
      for (let i = 0; i < R.FHFT.count; i++) nic.write32(offsetOf(R.FHFT, i), ALL);
      nic.write32(R.IPAV.offset, 0xf000f);
    },
  },
  { name: "DMA coalescing", left: [writes(R.DMACR, 1 << 31)], on: [DEVICE.X540, DEVICE.X550] },
  { name: "tunnels", left: [writes(R.VXLANCTRL, 4789)], on: [DEVICE.X550] },
  { name: "loopback", left: [sets(R.HLREG0, R.HLREG0.LPBK), sets(R.MACC, R.MACC.FLU)] },
];

/** Leaves what a feature sets. */
function leave(nic: Nic, { left, more }: Feature): void {
  nic.rules.suspended = true;
  for (const { register, value, replaces } of left) {
    for (let i = 0; i < register.count; i++) {
      const offset = offsetOf(register, i), before = replaces ? 0 : nic.read32(offset);
      nic.write32(offset, before | value);
    }
  }
  more?.(nic);
  nic.rules.suspended = false;
}

/** A card whose reset keeps all that an earlier driver has set. */
class KeepingFunction extends ModelFunction {
  features: readonly Feature[] = [];

  override bar(index: number): Bar {
    const bar = super.bar(index);
    return {
      ...bar,
      write: (offset, bytes, value) => {
        bar.write(offset, bytes, value);
        if (offset !== offsetOf(R.CTRL) || !(value & R.CTRL.RST)) return;
        for (const feature of this.features) leave(this.nic, feature);
      },
    };
  }
}

/** Asserts that the driver has given all registers of a feature their values back. */
function assertClean(nic: Nic, { name, left }: Feature): void {
  const found = left.flatMap(({ register, cleared, clean, copies }) =>
    Array.from({ length: copies }, (_, i) => {
      const value = nic.read32(offsetOf(register, i));
      return (value ^ clean) & cleared ? `${name}: ${nameOf(register, i)} is ${hex(value)}` : "";
    })
  );
  assertEquals(found.filter((text) => text !== ""), []);
  for (const queue of QUEUES) {
    nic.write32(R.RTTDQSEL.offset, queue);
    assertEquals([R.RTTDT1C, R.RTTBCNRC].map(({ offset }) => nic.read32(offset)), [0, 0], name);
  }
}

/** Passes numbered frames both ways, among frames that are not for the driver. */
function pass(device: Device, { nic, wire }: ModelFunction): void {
  const [tx] = device.txQueues, [rx] = device.rxQueues, batch = new PacketBatch(device.pool, 256);
  const numbered = (number: number) => {
    const frame = new Uint8Array(SIZE);
    frame.set(device.macAddress());
    frame[SIZE - 1] = number;
    return frame;
  };
  for (let i = 0; i < FRAMES; i++) batch.add(numbered(i));
  assertEquals(tx.transmit(batch), FRAMES);
  nic.poll();
  const numbers = Array.from({ length: FRAMES }, (_, i) => i);
  assertEquals(wire.sent.map((frame) => frame[SIZE - 1]), numbers, "in one round: no rate limit");
  assertEquals(tx.reclaim(), FRAMES);
  wire.waiting.push(new Uint8Array(2056).fill(0xff)); // longer than a buffer
  for (const address of OTHER) {
    const frame = new Uint8Array(SIZE);
    frame.set(address);
    wire.waiting.push(frame);
  }
  wire.waiting.push(...numbers.map(numbered));
  while (wire.waiting.length > 0) nic.poll();
  assertEquals(rx.receive(batch), FRAMES);
  assertEquals(Array.from(batch, (packet) => [packet.length, packet[SIZE - 1]]), [
    ...numbers.map((number) => [SIZE, number]),
  ]);
  batch.free();
  assertEquals(device.statistics().rxTooLong, 0, "the NIC has dropped the long frame");
}

for (const [name, deviceId] of Object.entries(DEVICE)) {
  const features = FEATURES.filter(({ on }) => on?.includes(deviceId) ?? true);
  for (const keeps of [false, true]) {
    const card = `${name}${keeps ? " whose reset keeps them" : ""}`;
    Deno.test(`ixgbe takes over a card with another driver's settings: ${card}`, async (t) => {
      const everything = { name: "all of them", left: features.flatMap(({ left }) => left) };
      const together = {
        ...everything,
        more: (nic: Nic) => features.forEach((f) => f.more?.(nic)),
      };
      for (const feature of [...features, together]) {
        await t.step(feature.name, async () => {
          const pool = new Mempool({ buffers: 1024, memory: "pages" });
          const pci = new KeepingFunction({ deviceId });
          leave(pci.nic, feature);
          if (keeps) pci.features = [feature];
          const device = await ixgbe.attach(pci, { pool });
          assertClean(pci.nic, feature);
          pass(device, pci);
          // The model does not have the modes of MRQC for pools, which the driver finds and clears.
          const { violations } = pci.nic.rules;
          assertEquals(violations.filter(({ rule }) => rule !== "a mode that is modelled"), []);
          device.close();
          pool[Symbol.dispose]();
        });
      }
    });
  }
}

Deno.test("ixgbe.attach() clears what woke the machine, and leaves PME to the kernel", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new ModelFunction();
  pci.overrides.set(offsetOf(R.WUS), 0x2);
  using _device = await ixgbe.attach(pci, { pool });
  const writes = pci.writes.filter(([offset]) => [R.WUS.offset, R.WUC.offset].includes(offset));
  assertEquals(writes, [[R.WUS.offset, 0x2]]);
});

Deno.test("ixgbe.attach() writes no setting that a reset has given its value", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new ModelFunction({ deviceId: DEVICE.X550 });
  using _device = await ixgbe.attach(pci, { pool });
  const written = new Set(pci.writes.map(([offset]) => offset));
  for (const register of [R.FDIRCTRL, R.SECTXCTRL, R.PFVTCTL, R.RTTPCS, R.DMACR] as Register[]) {
    assertEquals(written.has(register.offset), false, register.name);
  }
});
