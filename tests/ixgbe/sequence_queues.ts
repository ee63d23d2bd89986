/**
 * Rules of the datasheet on how a driver sets up reception and transmission. Not a test itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { nameOf, type Register } from "../../src/registers.ts";
import {
  awaited,
  before,
  between,
  opened,
  receiving,
  type Rule,
  RX_ENABLE,
  RXEN,
  RXEN_OFF,
  stopping,
  table,
  TE,
  TX_ENABLE,
} from "./sequence_rules.ts";
import {
  type Access,
  type Passes,
  reads,
  type Sequence,
  writes,
} from "../support/register_sequence.ts";

/** Size of the transmit packet buffer, and room in it for the largest frame, in KB (4.6.11.3.4). */
const TX_KB = 0xa0, TX_FRAME_KB = 16;
/** The first value of tables in which all copies are 0. */
const none = () => 0;

// Sentences that several rules have in common.
const TABLES = "Initialize the following register tables before receive and transmit is enabled.";
const ZEROED =
  "Set up the Multicast Table Array (MTA) registers. This entire table should be zeroed.";
const BUFFERS =
  "RXPBSIZE[0].SIZE=0x200 (X550: 0x180), RXPBSIZE[1-7].SIZE=0x0; TXPBSIZE[0].SIZE=0xA0, " +
  "TXPBSIZE[1-7].SIZE=0x0; TXPBTHRESH.THRESH[0]=0xA0 - Max expected Tx packet length, [1-7]=0x0.";

const RX_TAIL: Passes = (access) => writes(R.RDT)(access) && access.value > 0;
const TX_TAIL: Passes = (access) => writes(R.TDT)(access) && access.value > 0;

const RECEIVE: readonly Rule[] = [
  table("4.6.7", R.MTA, none, "the multicast table is zeroed", ZEROED),
  table("4.6.7", R.VFTA, none, "the VLAN filter table is zeroed", TABLES),
  table("4.6.7", R.PFUTA, none, "the unicast table is zeroed", TABLES),
  table("4.6.7", R.PFVLVF, none, "the VLAN pool filter is zeroed", TABLES),
  table("4.6.7", R.PFVLVFB, none, "the bitmap of the VLAN pool filter is zeroed", TABLES),
  table("4.6.7", R.MPSAR, () => 1, "address 0 belongs to pool 0, all others to none", TABLES),
  table(
    "4.6.11.3.4",
    R.RXPBSIZE,
    (board) => board.rxKilobytes << 10,
    "one buffer has all memory",
    BUFFERS,
  ),
  {
    section: "4.6.7",
    rule: "RFCTL.NFSW_DIS and NFSR_DIS are set",
    sentence:
      "X550: As NFS detection is not supported, the RFCTL.NFSW_DIS and RFCTL.NFSR_DIS bits should " +
      "be set to 1b.",
    kept: (r) => {
      const bits = R.RFCTL.NFSW_DIS | R.RFCTL.NFSR_DIS;
      return (r.valueAt(receiving(r), R.RFCTL) & bits) === bits;
    },
    broken: (r) => r.changed(r.findLast(writes(R.RFCTL)), () => R.RFCTL.NFSW_DIS),
  },
  {
    section: "4.6.7",
    rule: "RAH.AV is 0 for unused addresses",
    sentence: "RAH[n].VAL = 0b for unused addresses.",
    kept: (r) =>
      Array.from({ length: R.RAH.count - 1 }, (_, i) => i + 1).every((i) => {
        return between(r, writes(R.RAH, i, 0, R.RAH.AV), opened(r), receiving(r));
      }),
    broken: (r) => r.without(r.findLast(writes(R.RAH, 9))),
  },
  {
    section: "4.6.7",
    rule: "RDRXCTL.CRCSTRIP and HLREG0.RXCRCSTRP agree",
    sentence: "RDRXCTL.CRCStrip and HLREG0.RXCRCSTRP must be set to the same value.",
    boards: ({ deviceId }) => deviceId !== DEVICE.X550, // which reserves the bit
    kept: (r) =>
      r.all(RXEN).every((at) => {
        const dma = (r.valueAt(at, R.RDRXCTL) & R.RDRXCTL.CRCSTRIP) !== 0;
        return dma === ((r.valueAt(at, R.HLREG0) & R.HLREG0.RXCRCSTRP) !== 0);
      }),
    broken: (r) => r.changed(r.findLast(writes(R.RDRXCTL)), (value) => value & ~R.RDRXCTL.CRCSTRIP),
  },
  {
    section: "4.6.7",
    rule: "RDRXCTL.RSCFRSTSIZE is 0",
    sentence: "RDRXCTL.RSCFRSTSIZE should be set to 0x0 as opposed to its hardware default.",
    kept: (r) => (r.valueAt(receiving(r), R.RDRXCTL) & R.RDRXCTL.RSCFRSTSIZE) === 0,
    broken: (r) =>
      r.changed(r.findLast(writes(R.RDRXCTL)), (value) => value | R.RDRXCTL.RSCFRSTSIZE),
  },
  before(
    "4.6.7.1",
    "a receive ring's address and length are set before its queue is enabled",
    "3. Program the descriptor base address […]. 4. Set the length register […]. 8. Program RXDCTL.",
    [writes(R.RDBAL), writes(R.RDBAH), writes(R.RDLEN)],
    RX_ENABLE,
  ),
  before(
    "4.6.7.1",
    "SRRCTL is set before the queue is enabled",
    "5. Program SRRCTL associated with this queue […]. 8. Program RXDCTL.",
    [writes(R.SRRCTL)],
    RX_ENABLE,
  ),
  awaited(
    "4.6.7.1",
    "Poll the RXDCTL register until the Enable bit is set. The tail should not be bumped before this bit " +
      "was read as 1b.",
    R.RXDCTL,
    RX_TAIL,
  ),
  {
    section: "4.6.7",
    rule: "CTRL_EXT.NS_DIS is set and bit 12 of DCA_RXCTRL cleared",
    sentence:
      "Set bit 16 of the CTRL_EXT register and clear bit 12 of the DCA_RXCTRL[n] register (82599 only).",
    kept: (r) =>
      between(r, writes(R.CTRL_EXT, 0, R.CTRL_EXT.NS_DIS), opened(r), receiving(r)) &&
      (r.valueAt(receiving(r), R.DCA_RXCTRL) & 1 << 12) === 0,
    broken: (r) => r.without(r.find(writes(R.DCA_RXCTRL))),
  },
  {
    section: "4.6.7",
    rule: "RXCTRL.RXEN is set while SECRXCTRL.RX_DIS is set and SECRXSTAT.SECRX_RDY was read as 1",
    sentence:
      "Halt the receive data path by setting SECRXCTRL.RX_DIS bit. […] Poll the SECRXSTAT.SECRX_RDY bit until it is asserted by HW. Set RXCTRL.RXEN.",
    kept: (r) =>
      r.all(RXEN).every((at) => {
        const from = r.findLast(writes(R.SECRXCTRL), at);
        return between(r, reads(R.SECRXSTAT, 0, R.SECRXSTAT.SECRX_RDY), from, at) &&
          writes(R.SECRXCTRL, 0, R.SECRXCTRL.RX_DIS)(r.accesses[from]);
      }),
    broken: (r) => r.moved(r.find(RXEN), r.findLast(reads(R.SECRXSTAT), r.find(RXEN))),
  },
  {
    section: "4.6.7",
    rule: "SECRXCTRL.RX_DIS is cleared after RXCTRL.RXEN is set",
    sentence: "Clear the SECRXCTRL.SECRX_DIS bits to enable receive data path.",
    kept: (r) =>
      r.all(RXEN).every((at) => {
        const next = r.find(writes(R.SECRXCTRL), at);
        return next >= 0 && (r.accesses[next].value & R.SECRXCTRL.RX_DIS) === 0;
      }),
    broken: (r) => {
      const at = r.find(writes(R.SECRXCTRL, 0, 0, R.SECRXCTRL.RX_DIS), r.findLast(RXEN));
      return r.changed(at, (value) => value | R.SECRXCTRL.RX_DIS);
    },
  },
  {
    section: "4.6.7",
    rule: "RXCTRL.RXEN is set only after all other settings",
    sentence:
      "Enable the receive path by setting RXCTRL.RXEN. This should be done only after all other settings are done.",
    kept: (r) =>
      r.accesses.slice(receiving(r) + 1, r.find(writes(R.RXDCTL), receiving(r))).every(harmless),
    broken: (r) => r.moved(r.find(writes(R.MAXFRS)), receiving(r) + 1),
  },
  {
    section: "4.6.7.1.2",
    rule: "RXCTRL.RXEN is cleared only while all receive queues are disabled",
    sentence: "The Rx path can be disabled only after all the receive queues are disabled.",
    kept: (r) =>
      [...r.all(RXEN_OFF), ...r.all(DISABLES_RXEN)]
        .filter((at) => r.valueAt(at, R.RXCTRL) & R.RXCTRL.RXEN)
        .every((at) => !anyReceives(r, at)),
    broken: (r) => r.moved(receiverOff(r), r.findLast(RX_DISABLE)),
  },
  {
    section: "10.5.3.2",
    rule: "firmware is asked to disable the receiver before RXCTRL.RXEN is cleared",
    sentence: "No sentence demands it: Intel's drivers ask the X550's firmware, by command 0xde.",
    boards: ({ deviceId }) => deviceId === DEVICE.X550,
    kept: (r) => r.find(DISABLES_RXEN, r.findLast(RXEN), stopping(r)) >= 0,
    broken: (r) => r.moved(r.findLast(DISABLES_RXEN), stopping(r) + 1),
  },
  {
    section: "8.2.3.7.1",
    rule: "FCTRL is changed only while RXCTRL.RXEN is 0, or a receive queue is enabled",
    sentence:
      "Before receive filters are updated/modified, the RXCTRL.RXEN bit should be set to 0b. It gives way while the rule before forbids that.",
    kept: (r) =>
      r.all(writes(R.FCTRL)).every((at) => {
        return (r.valueAt(at, R.RXCTRL) & R.RXCTRL.RXEN) === 0 || anyReceives(r, at);
      }),
    broken: (r) => r.inserted(receiverOff(r), "write", R.FCTRL, R.FCTRL.BAM),
  },
];

/** The driver disables queue 0. */
const RX_DISABLE = writes(R.RXDCTL, 0, 0, R.RXDCTL.ENABLE);

/** The command of the host interface that disables a receiver, in the first byte of its header. */
const DISABLES_RXEN: Passes = ({ what, name, value }) =>
  what === "write" && name === nameOf(R.FLEX_MNG, 0) && (value & 0xff) === 0xde;

/** Where the receiver is disabled at the end: by firmware on an X550. */
function receiverOff(record: Sequence): number {
  const asked = record.findLast(DISABLES_RXEN);
  return asked >= 0 ? asked : stopping(record);
}

/** Returns whether a receive queue is enabled before an access. */
function anyReceives(record: Sequence, at: number): boolean {
  return Array.from({ length: R.RXDCTL.count }, (_, i) => record.valueAt(at, R.RXDCTL, i))
    .some((value) => (value & R.RXDCTL.ENABLE) !== 0);
}

/**
 * Accesses allowed after RXEN: tails, masks of vectors, SECRXCTRL. RXCTRL, FCTRL and the command to disable
 * the receiver have rules of their own.
 */
function harmless(access: Access): boolean {
  const { what, name } = access;
  const masks: readonly Register[] = [R.EIMS, R.EIMS_EX, R.EIMC, R.EIMC_EX, R.EICR];
  // A link that does not come up is attempted again at any time.
  const link: readonly Register[] = [
    ...[R.SWSM, R.SW_FW_SYNC, R.EERD, R.I2CCTL, R.ESDP, R.CORECTL, R.AUTOC2, R.AUTOC],
  ];
  const registers = [...masks, ...link, R.RDT, R.TDT, R.RXCTRL, R.SECRXCTRL, R.FCTRL];
  return what === "read" || DISABLES_RXEN(access) ||
    registers.some((register) => register.name === name.split("[")[0]);
}

const TRANSMIT: readonly Rule[] = [
  {
    section: "4.6.8",
    rule: "RTTDCS.ARBDIS is set while DTXMXSZRQ, TXPBSIZE, TXPBTHRESH and MTQC are written",
    sentence:
      "Set RTTDCS.ARBDIS to 1b. Program DTXMXSZRQ, TXPBSIZE, TXPBTHRESH, MTQC, and MNGTXMAP.",
    kept: (r) =>
      [R.DTXMXSZRQ, R.TXPBSIZE, R.TXPBTHRESH, R.MTQC].every((register) => {
        return r.all(writes(register)).length > 0 && r.all(writes(register)).every((at) => {
          return (r.valueAt(at, R.RTTDCS) & R.RTTDCS.ARBDIS) !== 0;
        });
      }),
    broken: (r) => r.moved(r.find(writes(R.MTQC)), r.find(writes(R.RTTDCS))),
  },
  {
    section: "4.6.8",
    rule: "RTTDCS.ARBDIS is cleared again",
    sentence: "Clear RTTDCS.ARBDIS to 0b.",
    kept: (r) => (r.valueAt(receiving(r), R.RTTDCS) & R.RTTDCS.ARBDIS) === 0,
    broken: (r) => r.without(r.findLast(writes(R.RTTDCS))),
  },
  table("4.6.11.3.4", R.TXPBSIZE, () => TX_KB << 10, "one buffer has all memory", BUFFERS),
  table("4.6.11.3.4", R.TXPBTHRESH, () => TX_KB - TX_FRAME_KB, "one buffer, less a frame", BUFFERS),
  {
    section: "4.6.11.3.4",
    rule: "RTTDT1C is cleared for each queue, which RTTDQSEL has selected",
    sentence: "Clear RTTDT1C register, per each queue, via setting RTTDQSEL first.",
    kept: (r) => {
      const cleared = r.all(writes(R.RTTDT1C)).filter((at) => r.accesses[at].value === 0)
        .map((at) => r.valueAt(at, R.RTTDQSEL));
      return new Set(cleared).size === R.TXDCTL.count;
    },
    broken: (r) => r.without(r.findLast(writes(R.RTTDQSEL))),
  },
  {
    section: "4.6.11.3.4",
    rule: "DTXMXSZRQ.MAX_BYTES_NUM_REQ is 0xfff",
    sentence: "DMA TX TCP Maximum Allowed Size Requests (DTXMXSZRQ): set Max_byte_num_req = 0xFFF.",
    kept: (r) => r.valueAt(receiving(r), R.DTXMXSZRQ) === 0xfff,
    broken: (r) => r.changed(r.find(writes(R.DTXMXSZRQ)), () => R.DTXMXSZRQ.reset),
  },
  before(
    "4.6.8.1",
    "TDBAL, TDBAH, TDLEN and TDH are set before DMATXCTL.TE enables queue 0",
    "X550: Queue 0 is enabled by default when the DMATXCTL.TE bit is set. If transmit is already enabled " +
      "[…], this queue should be disabled […] before changing the basic queue parameters. 8.2.2.10.8: If " +
      "software were to write to this register [TDH] while the transmit function was enabled, […] hardware " +
      "could become confused.",
    [writes(R.TDBAL), writes(R.TDBAH), writes(R.TDLEN), writes(R.TDH)],
    TE,
  ),
  {
    section: "8.2.3.9.10",
    rule: "TXDCTL.HTHRESH is not 0 if PTHRESH is not; WTHRESH is 0 if not all descriptors have RS",
    sentence:
      "HTHRESH should be given a non-zero value each time PTHRESH is used. X550: When WTHRESH is set to a non-zero value, the software device driver should not set the RS bit.",
    kept: (r) => {
      const { PTHRESH, HTHRESH, WTHRESH } = R.TXDCTL;
      const value = r.valueAt(r.find(TE, opened(r)), R.TXDCTL);
      return (value & PTHRESH) > 0 && (value & HTHRESH) > 0 && (value & WTHRESH) === 0;
    },
    broken: (r) => {
      const at = r.find(TE, opened(r));
      const passes = ({ name }: Access) => name === nameOf(R.TXDCTL);
      return r.changed(r.findLast(passes, at), (value) => value & ~R.TXDCTL.HTHRESH);
    },
  },
  before(
    "4.6.8.1",
    "DMATXCTL.TE is set before TXDCTL.ENABLE",
    "Enable transmit path by setting DMATXCTL.TE. This step should be executed only for the first enabled " +
      "transmit queue […]. Enable the queue using TXDCTL.ENABLE.",
    [TE],
    TX_ENABLE,
  ),
  awaited(
    "4.6.8.1",
    "Poll the TXDCTL register until the Enable bit is set. Note: The tail register of the queue (TDT) " +
      "should not be bumped until the queue is enabled.",
    R.TXDCTL,
    TX_TAIL,
  ),
];

/** The rules: reception, then transmission. */
export const QUEUES: readonly Rule[] = [...RECEIVE, ...TRANSMIT];
