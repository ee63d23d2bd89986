/**
 * Rules of the datasheet on how a driver initialises and shuts down the NIC: interrupts, resets, waits,
 * semaphores, closing. Not a test itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { nameOf, type Register } from "../../src/registers.ts";
import {
  allWritten,
  between,
  type Board,
  closed,
  MASKED,
  opened,
  receiving,
  RESET,
  type Rule,
  RX_ENABLE,
  RXEN,
  seen,
  stopping,
  TX_ENABLE,
} from "./sequence_rules.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import {
  type Access,
  busMaster,
  reads,
  type Sequence,
  writes,
} from "../support/register_sequence.ts";

const ALL = 0xffffffff;
/** Milliseconds without an access after a reset, with a tolerance for coarse timers. */
const AFTER_GLOBAL_RESET = 10 - 0.5, AFTER_RESET = 1;

const GIO_DIS = writes(R.CTRL, 0, R.CTRL.GIO_DIS, R.CTRL.RST);

const INTERRUPTS: readonly Rule[] = [
  {
    section: "4.6.3.1",
    rule: "interrupts are disabled before the reset",
    sentence: "1. Disable interrupts. 2. Issue a global reset.",
    kept: (r) => masked(r, 0, opened(r)),
    broken: (r) => r.without(r.find(MASKED)),
  },
  {
    section: "4.6.3.1",
    rule: "interrupts are disabled again after the reset",
    sentence: "Interrupts need to also be disabled after issuing a global reset.",
    kept: (r) => masked(r, opened(r), r.find(reads(R.EEC), opened(r))),
    broken: (r) => r.without(r.find(MASKED, opened(r))),
  },
  {
    section: "4.6.3.1",
    rule: "no interrupt is enabled before initialisation completes",
    sentence: "After initialization completes, a typical driver enables the desired interrupts.",
    kept: (r) =>
      [writes(R.EIMS), writes(R.EIMS_EX, 0), writes(R.EIMS_EX, 1)].every((passes) => {
        return !between(r, passes, 0, receiving(r));
      }),
    broken: (r) => r.inserted(receiving(r), "write", R.EIMS, R.EIMS.LSC),
  },
];

function masked(record: Sequence, from: number, to: number): boolean {
  return [MASKED, writes(R.EIMC_EX, 0, ALL), writes(R.EIMC_EX, 1, ALL)].every((passes) => {
    return between(record, passes, from, to);
  });
}

/** Returns the milliseconds from a reset to the next access. */
function pause(record: Sequence, at: number): number {
  return record.accesses[at + 1].time - record.accesses[at].time;
}

/** Returns the index at which the reset of the initialisation is seen to have ended. */
function resetEnd(record: Sequence): number {
  return record.find(reads(R.CTRL, 0, 0, R.CTRL.RST), opened(record));
}

const RESETS: readonly Rule[] = [
  {
    section: "5.2.5.3.2",
    rule: "CTRL.GIO_DIS is set, and STATUS.GIO_MASTER_ENABLE read as 0, before each reset",
    sentence:
      "4.2.1.6.1: Prior to issuing software reset, the driver needs to execute the master disable algorithm.",
    kept: (r) =>
      r.all(RESET).every((at, i, all) => {
        const from = r.find(GIO_DIS, i === 0 ? 0 : all[i - 1]);
        return between(r, reads(R.STATUS, 0, 0, R.STATUS.GIO_MASTER_ENABLE), from, at);
      }),
    broken: (r) => {
      const at = r.findLast(reads(R.STATUS, 0, 0, R.STATUS.GIO_MASTER_ENABLE), closed(r));
      const from = r.findLast(GIO_DIS, closed(r));
      return r.all(reads(R.STATUS)).filter((i) => i > from && i <= at).reduce(
        (all, i) => all.changed(i, (value) => value | R.STATUS.GIO_MASTER_ENABLE),
        r,
      );
    },
  },
  {
    section: "5.2.5.3.2",
    rule: "receive queues are disabled, and read as disabled, before CTRL.GIO_DIS is set",
    sentence:
      "The device driver disables any reception to the Rx queues. […] Then the device driver sets the PCIe Master Disable bit.",
    kept: (r) =>
      r.all(GIO_DIS).every((at) => {
        const i = r.findLast(reads(R.RXDCTL), at);
        return i >= 0 && (r.accesses[i].value & R.RXDCTL.ENABLE) === 0;
      }),
    broken: (r) => r.inserted(r.find(GIO_DIS), "read", R.RXDCTL, R.RXDCTL.ENABLE),
  },
  {
    section: "4.6.3.2",
    rule: "10 ms pass after the reset of the initialisation has ended",
    sentence: "Poll the CTRL.RST until it is cleared and then wait at least 10 ms.",
    kept: (r) => pause(r, resetEnd(r)) >= AFTER_GLOBAL_RESET,
    broken: (r) => r.hurried(resetEnd(r) + 1, pause(r, resetEnd(r)) - AFTER_RESET),
  },
  {
    section: "8.2.3.1.1",
    rule: "no register is accessed for 1 ms after any reset",
    sentence:
      "Programmers must wait approximately 1 ms after setting before attempting to check if the bit has cleared, or to access […] any other device register.",
    kept: (r) => r.all(RESET).every((at) => pause(r, at) >= AFTER_RESET),
    broken: (r) => r.hurried(closed(r) + 1, pause(r, closed(r))),
  },
];

const GENERAL: readonly Rule[] = [
  seen(
    "4.6.3",
    "EEC.AUTO_RD is read as 1 before reception",
    "Wait for EEPROM auto read completion.",
    [R.EEC, R.EEC.AUTO_RD],
    RXEN,
  ),
  seen(
    "4.6.3",
    "RDRXCTL.DMAIDONE is read as 1 before RDRXCTL is written",
    "Wait for DMA initialization done (RDRXCTL.DMAIDONE).",
    [R.RDRXCTL, R.RDRXCTL.DMAIDONE],
    writes(R.RDRXCTL),
  ),
  {
    section: "4.6.3.2",
    rule: "FCTTV, FCRTL, FCRTV and FCCFG are 0 if flow control is off",
    sentence: "If flow control is not enabled, these registers should be written with 0x0.",
    kept: (r) => [R.FCTTV, R.FCRTL, R.FCRTV, R.FCCFG].every((each) => allWritten(r, each, () => 0)),
    broken: (r) => r.changed(r.find(writes(R.FCCFG)), () => R.FCCFG.TFCE_LINK),
  },
  {
    section: "4.6.3.2",
    rule: "FCRTH is 24 KB less than the packet buffer, with or without flow control",
    sentence:
      "FCRTH[n].RTH fields must be set by default regardless if flow control is enabled or not. Typically, [they] should be equal to RXPBSIZE[n] - 0x6000.",
    kept: (r, { rxKilobytes }) =>
      allWritten(r, R.FCRTH, (i) => i === 0 ? rxKilobytes * 1024 - 0x6000 : 0),
    broken: (r) => r.without(r.findLast(writes(R.FCRTH))),
  },
  {
    section: "10.5.4",
    rule: "AUTOC and CORECTL are changed only while SW_FW_SYNC.SW_MAC_CSR_SM is held",
    sentence: "8.2.3.4.11, SW_MAC_CSR_SM: set by software when it owns the shared CSRs of the MAC.",
    boards: (board) => !hasPhy(board),
    kept: (r) =>
      [...r.all(writes(R.AUTOC)), ...r.all(writes(R.CORECTL))].every((at) => {
        return (r.valueAt(at, R.SW_FW_SYNC) & R.SW_FW_SYNC.SW_MAC_CSR_SM) !== 0;
      }),
    broken: (r) => r.without(r.find(writes(R.SW_FW_SYNC, 0, R.SW_FW_SYNC.SW_MAC_CSR_SM))),
  },
  {
    section: "10.5.4",
    rule: "the reset of the initialisation and MSCA's commands occur only while SW_PHY_SM0 is held",
    sentence:
      "8.2.3.4.11, SW_PHY_SM0: set by software when it owns the PHY, which firmware uses too.",
    boards: hasPhy,
    kept: (r) => phyCommands(r).length > 1 && phyCommands(r).every((at) => holdsPhy(r, at)),
    broken: (r) => released(r, r.find(writes(R.MSCA))),
  },
  {
    section: "4.6.5",
    rule: "counters that are read later are cleared by reading before reception",
    sentence:
      "All of the statistical counters are cleared on read and a typical device driver reads them (thus making them zero) as a part of the initialization sequence.",
    kept: (r) =>
      counted(r).every(([register, i]) => {
        return between(r, reads(register, i), opened(r), receiving(r));
      }),
    broken: (r) => r.without(r.find(reads(R.GPRC), opened(r))),
  },
  {
    section: "9.3.3.3",
    rule: "bus mastering is on after the reset, and before a queue is enabled",
    sentence:
      "PCIe 3.0, 7.5.1.1: When this bit is Clear, the PCI Express Function is not allowed to issue " +
      "any Memory or I/O Requests. After the reset, so that old queues issue none.",
    kept: (r) => between(r, busMaster(true), opened(r), r.find(RX_ENABLE, opened(r))),
    broken: (r) => r.moved(r.find(busMaster(true)), r.find(TX_ENABLE)),
  },
];

/** Returns whether the port has a PHY that firmware uses too. */
function hasPhy({ deviceId }: Board): boolean {
  return deviceId === DEVICE.X540 || deviceId === DEVICE.X550;
}

function phyCommands(record: Sequence): number[] {
  return [opened(record), ...record.all(writes(R.MSCA))];
}

function holdsPhy(record: Sequence, at: number): boolean {
  return (record.valueAt(at, R.SW_FW_SYNC) & R.SW_FW_SYNC.SW_PHY_SM0) !== 0;
}

/** Returns a record in which the PHY's semaphore is not held at an access. */
function released(record: Sequence, at: number): Sequence {
  const passes = ({ name }: Access) => name === R.SW_FW_SYNC.name;
  return record.changed(record.findLast(passes, at), (v) => v & ~R.SW_FW_SYNC.SW_PHY_SM0);
}

/** Returns the counters that are read after reception is enabled. */
function counted(record: Sequence): (readonly [Register, number])[] {
  const names = new Set(
    record.accesses.slice(receiving(record)).filter(({ what }) => what === "read")
      .map(({ name }) => name),
  );
  return Object.values<Register>(R.REGISTERS).filter(({ access }) => access === "RC")
    .flatMap((register) => Array.from({ length: register.count }, (_, i) => [register, i] as const))
    .filter(([register, i]) => names.has(nameOf(register, i)));
}

const CLOSING: readonly Rule[] = [
  {
    section: "4.6.8.1",
    rule: "a transmit queue is empty (TDH = TDT) when it is disabled",
    sentence:
      "Wait until the software head of the queue (TDH) equals the software tail (TDT) indicating the queue is empty. […] Disable the queue by clearing TXDCTL.ENABLE.",
    kept: (r) => {
      const at = r.findLast(writes(R.TXDCTL, 0, 0, R.TXDCTL.ENABLE), closed(r));
      return at > stopping(r) && r.valueAt(at, R.TDH) === r.valueAt(at, R.TDT);
    },
    broken: (r) => r.changed(r.findLast(reads(R.TDH)), (value) => value + 1),
  },
  {
    section: "4.6.8.1",
    rule: "a transmit queue is read as disabled before the reset",
    sentence:
      "X550, 8.2.2.10.10: When disabling a queue, this bit is cleared only after all activity at the queue stopped.",
    kept: (r) => between(r, reads(R.TXDCTL, 0, 0, R.TXDCTL.ENABLE), stopping(r), closed(r)),
    broken: (r) => {
      const at = r.findLast(reads(R.TXDCTL), closed(r));
      return r.changed(at, (value) => value | R.TXDCTL.ENABLE);
    },
  },
  {
    section: "8.2.3.1.3",
    rule: "CTRL_EXT.DRV_LOAD is set from initialisation until before the last reset",
    sentence:
      "This bit should be set by the software device driver after it was loaded, and cleared when it unloads.",
    kept: (r) =>
      between(r, writes(R.CTRL_EXT, 0, R.CTRL_EXT.DRV_LOAD), opened(r), receiving(r)) &&
      (r.valueAt(closed(r), R.CTRL_EXT) & R.CTRL_EXT.DRV_LOAD) === 0,
    broken: (r) => r.without(r.findLast(writes(R.CTRL_EXT, 0, 0, R.CTRL_EXT.DRV_LOAD))),
  },
  {
    section: "9.3.3.3",
    rule: "bus mastering is turned off last, after the reset",
    sentence: "PCIe 3.0, 7.5.1.1: as above. No sentence wants it last: memory is freed after it.",
    kept: (r) => r.accesses.length > 0 && busMaster(false)(r.accesses.at(-1)!),
    broken: (r) => r.moved(r.accesses.length - 1, closed(r)),
  },
];

/** The rules: interrupts, resets, general configuration, closing. */
export const START_AND_END: readonly Rule[] = [...INTERRUPTS, ...RESETS, ...GENERAL, ...CLOSING];
