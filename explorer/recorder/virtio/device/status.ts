/**
 * The device status and the negotiated features (VirtIO 1.3, sections 2.1, 2.2 and 3.1.1), and the rules
 * for a driver that sets them.
 *
 * @module
 */

import { Feature, featureNames } from "../../../../virtio/features.ts";
import { Status } from "../../../../virtio/transport.ts";
import type { BrokenRule } from "./rules.ts";

/** The order in which a driver sets the bits. */
const ORDER = [Status.ACKNOWLEDGE, Status.DRIVER, Status.FEATURES_OK, Status.DRIVER_OK];

/** Status and features of a device. */
export class DeviceStatus {
  /** Features that the device offers. */
  readonly offered: bigint;
  readonly #report: (broken: BrokenRule) => void;
  #bits = 0;
  #taken = 0n;

  /** Creates the status of a device that was reset. `report` takes broken rules. */
  constructor(offered: bigint, report: (broken: BrokenRule) => void) {
    this.offered = offered;
    this.#report = report;
  }

  /** The bits of {@linkcode Status}. */
  get bits(): number {
    return this.#bits;
  }

  /** Features that the driver has accepted. */
  get taken(): bigint {
    return this.#taken;
  }

  /** Whether all of some bits are set. */
  has(bits: number): boolean {
    return (this.#bits & bits) === bits;
  }

  /** After a reset. */
  reset(): void {
    this.#bits = 0;
    this.#taken = 0n;
  }

  /** The device cannot go on: it needs a reset (section 2.1.2). */
  fail(): void {
    this.#bits |= Status.DEVICE_NEEDS_RESET;
  }

  /** Sets the bits, as the driver wants them. FEATURES_OK stays 0 if the device lacks a feature. */
  set(bits: number): void {
    this.#check(bits);
    const unknown = this.#taken & ~this.offered;
    const refused = unknown !== 0n || (this.#taken & Feature.VERSION_1) === 0n;
    this.#bits = refused ? bits & ~Status.FEATURES_OK : bits;
  }

  #check(bits: number): void {
    const cleared = this.#bits & ~bits, set = bits & ~this.#bits, register = "device_status";
    if (cleared !== 0) {
      const rule = "the driver clears no status bit except by a reset";
      const detail = `${namesOf(cleared)} cleared`;
      this.#report({ register, section: "VirtIO 2.1.1", rule, detail });
    }
    ORDER.forEach((bit, i) => {
      const missing = ORDER.slice(0, i).find((before) => (bits & before) === 0);
      if ((set & bit) === 0 || missing === undefined) return;
      const rule = "the driver sets ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK in this order";
      const detail = `${namesOf(bit)} without ${namesOf(missing)}`;
      this.#report({ register, section: "VirtIO 3.1.1", rule, detail });
    });
  }

  /** Takes the features that the driver accepts. */
  setFeatures(features: bigint): void {
    const unknown = features & ~this.offered, register = "driver_feature";
    if (unknown !== 0n) {
      const rule = "the driver accepts only features that the device offers";
      const detail = `${featureNames(unknown).join(", ")} accepted`;
      this.#report({ register, section: "VirtIO 2.2.1", rule, detail });
    }
    if (this.has(Status.FEATURES_OK)) {
      const rule = "the driver accepts no features after FEATURES_OK";
      const detail = "features written again";
      this.#report({ register, section: "VirtIO 3.1.1", rule, detail });
    }
    this.#taken = features;
  }
}

/** Returns the names of status bits. */
function namesOf(bits: number): string {
  return Object.entries(Status).filter(([, bit]) => bits & bit).map(([name]) => name).join(", ");
}
