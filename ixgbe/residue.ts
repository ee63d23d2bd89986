/**
 * Clears what an earlier driver has set and this one does not use: virtual functions, traffic classes,
 * flow director, VLANs, security, wake-up. Through sysfs there is no function-level reset.
 *
 * CTRL.RST keeps some of it, according to the datasheets or Intel's drivers. For most registers, the
 * datasheets do not say what a reset does. So each setting that would affect the driver's packets is
 * compared with the value that it must have, and written only if it differs.
 *
 * @module
 */

import type { Register, Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import * as R from "./registers.ts";

/** A register, bits of it, and the values that these bits must have in all its copies. */
type Setting = readonly [register: Register, mask: number, value: number];

const ALL = 0xffffffff;
/** MFLCN: flow control by priority. */
const RPFCE = R.MFLCN.RPFCE | R.MFLCN.RPFCE_TC;
/** SECTXMINIFG: gap between packets, and a place for markers in the security block's buffer. */
const MINSECIFG = 0xf, MRKRINSERT = 0x7ff << 8, NO_DCB = 0x10 << 8, MIN_GAP = 1;
/** SECTXBUFFAF.FULLTHRESH, and its value while the security block is off. */
const FULLTHRESH = 0x3ff, FULL = 0x250;
/** LSECTXCTRL.LSTXEN and LSECRXCTRL.LSRXEN: MACsec. IPSTXIDX and IPSRXIDX: IPsec. */
const LSTXEN = 3, LSRXEN = 3 << 2, IPS_EN = 1;
/** FCRECTL.ENA: FCoE's redirection table. */
const REDIRECTION = 1;
/** DMACR.DMAC_EN. */
const DMAC_EN = 2 ** 31;

/** Settings without traffic classes, virtualization and offloads. */
const SETTINGS: readonly Setting[] = [
  // Neither DCB nor virtualization (section 4.6.11.3.4).
  [R.MRQC, ALL, 0],
  [R.PFVTCTL, ALL, 0],
  [R.GCR_EXT, R.GCR_EXT.VT_MODE, 0],
  [R.GPIE, ALL, 0],
  [R.RTRUP2TC, ALL, 0],
  [R.RTTUP2TC, ALL, 0],
  [R.RTRPCS, R.RTRPCS.RRM | R.RTRPCS.RAC, 0],
  [
    R.RTTDCS,
    R.RTTDCS.TDPAC | R.RTTDCS.VMPAC | R.RTTDCS.TDRM | R.RTTDCS.BDPM | R.RTTDCS.BPBFSM,
    R.RTTDCS.BDPM | R.RTTDCS.BPBFSM,
  ],
  [R.RTTPCS, R.RTTPCS.TPPAC | R.RTTPCS.TPRM, 0],
  [R.TXLLQ, ALL, 0],
  [R.MFLCN, RPFCE, 0],
  [R.SECTXMINIFG, MINSECIFG | MRKRINSERT, NO_DCB | MIN_GAP],
  // Pool 0 is used even without virtualization: no mirror, no loopback, no tag added, no spoof check.
  [R.PFDTXGSWC, ALL, 0],
  [R.PFVFSPOOF, ALL, 0],
  [R.PFVMVIR, ALL, 0],
  [R.PFMRCTL, ALL, 0],
  [R.PSRTYPE, ALL, 0],
  // Filters that choose a queue, and checksums. FTQF is cleared with the tables.
  [R.FDIRCTRL, ~R.FDIRCTRL.INIT_DONE, 0],
  [R.ETQF, ALL, 0],
  [R.SYNQF, ALL, 0],
  [R.FCRECTL, REDIRECTION, 0],
  [R.RXCSUM, ALL, 0],
  // VLANs.
  [R.VLNCTRL, R.VLNCTRL.VFE | R.VLNCTRL.CFIEN | R.VLNCTRL.VME, 0],
  [R.DMATXCTL, R.DMATXCTL.GDV, 0],
  // Security is off (X550: section 4.6.12.2). The tables of keys stay: nothing looks them up.
  [R.LSECTXCTRL, LSTXEN, 0],
  [R.LSECRXCTRL, LSRXEN, 0],
  [R.IPSTXIDX, IPS_EN, 0],
  [R.IPSRXIDX, IPS_EN, 0],
  [
    R.SECTXCTRL,
    R.SECTXCTRL.SECTX_DIS | R.SECTXCTRL.TX_DIS | R.SECTXCTRL.STORE_FORWARD,
    R.SECTXCTRL.SECTX_DIS,
  ],
  [R.SECRXCTRL, R.SECRXCTRL.SECRX_DIS, R.SECRXCTRL.SECRX_DIS],
  [R.SECTXBUFFAF, FULLTHRESH, FULL],
  // Wake-up filters. The bits of WUC belong to the kernel: they are those of power management.
  [R.WUFC, ALL, 0],
  // The MAC's settings, which an 82599's software reset without a link reset may leave.
  [R.HLREG0, R.HLREG0.LPBK, 0],
  [R.MACC, R.MACC.FLU, 0],
  // "Should only be reset by a PCIe reset" (X550: section 8.2.2.1.3).
  [R.CTRL_EXT, R.CTRL_EXT.EXTENDED_VLAN, 0],
];
/** Settings of the X540 and X550, and of the X550 alone. */
const X540_SETTINGS: readonly Setting[] = [[R.DMACR, DMAC_EN, 0]];
const X550_SETTINGS: readonly Setting[] = [[R.VXLANCTRL, ALL, 0]];

/** Settings of a queue, which must be those of {@linkcode Setting} before it is enabled. */
const RX_QUEUE: readonly Setting[] = [
  [R.RXDCTL, R.RXDCTL.VME | R.RXDCTL.RLPML_EN | R.RXDCTL.RLPML, 0],
  [R.RSCCTL, R.RSCCTL.RSCEN | R.RSCCTL.MAXDESC, 0],
];
const TX_QUEUE: readonly Setting[] = [[R.TDWBAL, R.TDWBAL.HEAD_WB_EN, 0]];

/** Shift of PFQDE.QUEUE_IDX. */
const QUEUE_IDX_SHIFT = 8;

/** Clears what an earlier driver has set. Call it after the reset, before anything else is set. */
export function clearResidue(regs: Registers, mac: Mac): void {
  const settings = [
    ...SETTINGS,
    ...(mac === "82599" ? [] : X540_SETTINGS),
    ...(mac === "X550" ? X550_SETTINGS : []),
  ];
  for (const setting of settings) {
    for (let i = 0; i < setting[0].count; i++) ensure(regs, setting, i);
  }
  // Only power-on or software clears it (X550: section 8.2.2.18.3); writing 1 does.
  const woken = regs.read(R.WUS);
  if (woken !== 0) regs.write(R.WUS, woken);
  clearQueueMemories(regs);
}

/**
 * Credits, rate limits and drop enable of queues are not defined after a reset (X550: sections 8.2.2.11.5
 * and 8.2.2.11.8), and must be 0 (section 4.6.11.3.4).
 */
function clearQueueMemories(regs: Registers): void {
  for (let queue = 0; queue < R.TXDCTL.count; queue++) {
    regs.write(R.RTTDQSEL, queue);
    regs.write(R.RTTDT1C, 0);
    regs.write(R.RTTBCNRC, 0);
    regs.write(R.PFQDE, R.PFQDE.WE | queue << QUEUE_IDX_SHIFT);
  }
  for (const arbiter of [R.RTTDT2C, R.RTTPT2C, R.RTRPT4C] as Register[]) {
    for (let i = 0; i < arbiter.count; i++) regs.write(arbiter, 0, i);
  }
}

/** Clears what an earlier driver has set for a receive queue. Call it before the queue is enabled. */
export function clearRxQueue(regs: Registers, queue: number): void {
  for (const setting of RX_QUEUE) ensure(regs, setting, queue);
}

/** Clears what an earlier driver has set for a transmit queue. Call it before the queue is enabled. */
export function clearTxQueue(regs: Registers, queue: number): void {
  for (const setting of TX_QUEUE) ensure(regs, setting, queue);
}

/** Writes a register if its bits differ from the values that they must have. */
function ensure(regs: Registers, [register, mask, value]: Setting, index: number): void {
  const now = regs.read(register, index);
  if ((now ^ value) & mask) regs.write(register, now & ~mask | value, index);
}
