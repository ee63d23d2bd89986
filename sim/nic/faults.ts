/**
 * Faults of a card that a driver has to notice before it uses the card, by name, for the command line.
 *
 * @module
 */

import type { NicOptions } from "./nic.ts";

/** The options of the model that bring each fault about. */
export const FAULTS = {
  "blank-eeprom": { blankEeprom: true },
  "damaged-eeprom": { damagedEeprom: true },
  "held-eeprom": { firmware: { holdsEeprom: true } },
  "zero-mac": { mac: new Uint8Array(6) },
  "multicast-mac": { mac: Uint8Array.of(1, 0, 0x5e, 0, 0, 1) },
  "recovery": { firmware: { recovery: true } },
  "semaphore": { firmware: { stuck: "SMBI" } },
  "held-phy": { firmware: { holdsPhy: Infinity } },
} as const satisfies Readonly<Record<string, NicOptions>>;

/** The name of a fault. */
export type Fault = keyof typeof FAULTS;
