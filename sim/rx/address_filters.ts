/**
 * Layer 2 filters of the modelled device (datasheet section 7.1.1), which select the host's frames.
 *
 * @module
 */

import { FCTRL, MCSTCTRL, MTA, RAH, RAL } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Reason } from "./reason.ts";

/** Results of the filters. In an object for the reason that `rings/descriptors.ts` gives. */
export const KIND = {
  /** Accepted by its unicast address, or in promiscuous mode. */
  UNICAST: 0,
  /** Accepted as multicast. */
  MULTICAST: 1,
  /** Accepted as broadcast. */
  BROADCAST: 2,
  /** Not for the host. */
  REJECTED: -1,
} as const;
const { UNICAST, MULTICAST, BROADCAST, REJECTED } = KIND;

/** The filters, as loaded from the registers. */
export class AddressFilters {
  readonly #file: RegisterFile;
  readonly #low = new Uint32Array(RAL.count);
  readonly #high = new Uint32Array(RAL.count);
  #addresses = 0;
  #unicastAll = false;
  #multicastAll = false;
  #broadcast = false;
  #hashed = false;
  #hashShift = 0;

  constructor(file: RegisterFile) {
    this.#file = file;
  }

  /** Loads the filters from the registers. */
  load(): void {
    const file = this.#file;
    const control = file.get(FCTRL);
    const multicast = file.get(MCSTCTRL);
    this.#unicastAll = (control & FCTRL.UPE) !== 0;
    this.#multicastAll = (control & FCTRL.MPE) !== 0;
    this.#broadcast = (control & FCTRL.BAM) !== 0;
    this.#hashed = (multicast & MCSTCTRL.MFE) !== 0;
    // MO selects bits 47:36, 46:35, 45:34 or 43:32 of the address (8.2.3.7.3).
    this.#hashShift = [4, 3, 2, 0][multicast & MCSTCTRL.MO];
    this.#addresses = 0;
    for (let index = 0; index < RAL.count; index++) {
      const high = file.get(RAH, index);
      if ((high & RAH.AV) === 0) continue;
      this.#low[this.#addresses] = file.get(RAL, index);
      this.#high[this.#addresses++] = high & RAH.RAH;
    }
  }

  /** Returns the value of {@linkcode KIND} for a frame, by its first two words. */
  classify(low: number, next: number): number {
    const high = next & 0xffff;
    if (low & 1) return this.#classifyGroup(low, high);
    if (this.#unicastAll) return UNICAST;
    for (let i = 0; i < this.#addresses; i++) {
      if (this.#low[i] === low && this.#high[i] === high) return UNICAST;
    }
    return REJECTED;
  }

  #classifyGroup(low: number, high: number): number {
    if (low === 0xffff_ffff && high === 0xffff) {
      return this.#broadcast ? BROADCAST : REJECTED;
    }
    if (this.#multicastAll) return MULTICAST;
    for (let i = 0; i < this.#addresses; i++) {
      if (this.#low[i] === low && this.#high[i] === high) return MULTICAST;
    }
    if (!this.#hashed) return REJECTED;
    const hash = (high >>> this.#hashShift) & 0xfff;
    const word = this.#file.get(MTA, hash >>> 5);
    return (word >>> (hash & 31)) & 1 ? MULTICAST : REJECTED;
  }

  /** Says why {@linkcode AddressFilters.prototype.classify} returns what it does for a frame. */
  explain(low: number, next: number): Reason {
    const kind = this.classify(low, next), high = next & 0xffff, { section } = FCTRL;
    const index = this.#indexOf(low, high);
    if (low === 0xffff_ffff && high === 0xffff) {
      const reason = `The frame is a broadcast, and FCTRL.BAM is ${Number(kind === BROADCAST)}.`;
      return { by: "FCTRL.BAM", reason, section };
    }
    const group = (low & 1) !== 0, all = group ? "FCTRL.MPE" : "FCTRL.UPE";
    if (group ? this.#multicastAll : this.#unicastAll) {
      const reason = `${all} is 1: every ${group ? "multicast" : "unicast"} frame is accepted.`;
      return { by: all, reason, section };
    }
    if (index >= 0) {
      const reason = `The destination is the address in RAL[${index}] and RAH[${index}].`;
      return { by: nameOf(RAL, index), reason, section: RAL.section };
    }
    if (group) return this.#explainHash(kind, high);
    const reason = "The destination is in no RAL and RAH with RAH.AV, and FCTRL.UPE is 0.";
    return { by: "RAL", reason, section: RAL.section };
  }

  // Returns the copy of RAL and RAH that holds an address, or -1.
  #indexOf(low: number, high: number): number {
    for (let index = 0; index < RAL.count; index++) {
      const stored = this.#file.get(RAH, index);
      if ((stored & RAH.AV) === 0 || (stored & RAH.RAH) !== high) continue;
      if (this.#file.get(RAL, index) === low) return index;
    }
    return -1;
  }

  #explainHash(kind: number, high: number): Reason {
    if (!this.#hashed) {
      const reason = "The destination is a group that is in no RAL and RAH, and FCTRL.MPE and " +
        "MCSTCTRL.MFE are 0.";
      return { by: "MCSTCTRL.MFE", reason, section: MCSTCTRL.section };
    }
    const hash = (high >>> this.#hashShift) & 0xfff, table = nameOf(MTA, hash >>> 5);
    const reason =
      `The 12 bits of the destination that MCSTCTRL.MO selects are ${hex(hash)}, and ` +
      `bit ${hash & 31} of ${table} is ${Number(kind === MULTICAST)}.`;
    return { by: table, reason, section: MTA.section };
  }
}
