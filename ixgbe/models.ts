/**
 * The supported devices by PCI device ID, and related devices that are not supported.
 *
 * @module
 */

import { hex16 } from "../src/pci/function.ts";
import { UsageError } from "../src/errors.ts";

/** PCI vendor ID of Intel. */
export const INTEL = 0x8086;

/** The MAC generations that the driver distinguishes. */
export type Mac = "82599" | "X540" | "X550";

/**
 * The medium between MAC and cable. `sfp`: a cage; on an 82599 the driver turns its laser on.
 * `backplane`: KX4, KR, CX4 or XAUI, set up by the EEPROM. `copper`: a PHY that negotiates.
 */
export type Media = "sfp" | "backplane" | "copper";

/** A model: what the device ID says about a device. */
export interface Model {
  /** Display name: `82599 SFP+`. */
  readonly name: string;
  /** The MAC generation. */
  readonly mac: Mac;
  /** The medium between MAC and cable. */
  readonly media: Media;
  /** The speeds in Mbit/s that the driver can set; none if they follow from the EEPROM. */
  readonly speeds: readonly number[];
}

function models(
  mac: Mac,
  media: Media,
  speeds: readonly number[],
  names: Record<number, string>,
): [number, Model][] {
  return Object.entries(names).map(([id, what]) => {
    return [Number(id), { name: `${mac} ${what}`, mac, media, speeds }];
  });
}

const MODELS: ReadonlyMap<number, Model> = new Map([
  ...models("82599", "sfp", [1000, 10000], {
    0x10fb: "SFP+",
    0x1507: "SFP+ EM",
    0x1529: "SFP+ FCoE",
    0x154a: "SFP+ quad port",
    0x154d: "SFP+ SF2",
    0x1557: "SFP+ single port (82599EN)",
  }),
  // The driver does not support the bus to QSFP+ modules: the EEPROM sets the speed.
  ...models("82599", "sfp", [], { 0x1558: "QSFP+ quad port" }),
  ...models("82599", "backplane", [1000, 10000], {
    0x10f7: "KX4",
    0x10f8: "combined backplane",
    0x1514: "KX4 mezzanine",
    0x1517: "KR",
    0x152a: "backplane FCoE",
  }),
  // Without negotiation: all four lanes, at one speed.
  ...models("82599", "backplane", [10000], { 0x10f9: "CX4", 0x10fc: "XAUI" }),
  ...models("82599", "backplane", [], { 0x154f: "LS" }),
  ...models("82599", "copper", [], { 0x151c: "T3 10GBASE-T" }),
  ...models("X540", "copper", [100, 1000, 10000], {
    0x1528: "10GBASE-T",
    0x1560: "10GBASE-T single port",
  }),
  ...models("X550", "copper", [100, 1000, 2500, 5000, 10000], {
    0x1563: "10GBASE-T",
    0x15d1: "10GBASE-T single port",
  }),
]);

/** Related devices that are not supported: what they are, why not, and their device IDs. */
const RELATIVES: readonly (readonly [what: string, why: string, ids: readonly number[]])[] = [
  ["an 82598", "its registers differ", [
    ...[0x10b6, 0x10c6, 0x10c7, 0x10c8, 0x10db, 0x10dd, 0x10e1, 0x10ec, 0x10f1, 0x10f4],
    ...[0x1508, 0x150b],
  ]],
  ["a virtual function of an 82599, X540 or X550", "its registers differ", [
    ...[0x10ed, 0x1515, 0x152e, 0x1530, 0x1564, 0x1565, 0x15a8, 0x15a9, 0x15b4, 0x15c5],
  ]],
  // X550EM_x (SFP+: multiplexer, CS4227, KR; copper: internal KR or iXFI), and X550EM_a, whose PHYs
  // firmware sets up on request, and which has several registers at other offsets.
  ["an X550EM, built into Xeon D and Atom C3000 processors", "the driver cannot set up its link", [
    ...[0x15aa, 0x15ab, 0x15ac, 0x15ad, 0x15ae, 0x15b0],
    ...[0x15c2, 0x15c3, 0x15c4, 0x15c6, 0x15c7, 0x15c8, 0x15ca, 0x15cc, 0x15ce, 0x15e4, 0x15e5],
  ]],
  ["an E610", "its registers differ", [0x57ad, 0x57ae, 0x57af, 0x57b0, 0x57b1, 0x57b2]],
];

/** All supported device IDs. */
export const DEVICE_IDS: readonly number[] = [...MODELS.keys()];

/**
 * Returns the model with an Intel device ID.
 *
 * @param address The device's address, for messages.
 * @throws {UsageError} if the device is not supported; the message names it if it is known.
 */
export function modelOf(address: string, deviceId: number): Model {
  const model = MODELS.get(deviceId);
  if (model) return model;
  const relative = RELATIVES.find(([, , ids]) => ids.includes(deviceId));
  throw new UsageError(
    relative
      ? `${address}: Intel device 0x${hex16(deviceId)} (${
        relative[0]
      }) is not supported, because ` +
        `${relative[1]}: leave it to the kernel, and use an 82599 (X520), X540 or X550`
      : `${address}: Intel device 0x${hex16(deviceId)} is not supported: ` +
        "use an 82599 (X520), X540 or X550",
  );
}

/** Returns the size of a MAC's receive packet buffer in KB (section 2.2 of the 82599's datasheet). */
export function rxPacketBufferKilobytes(mac: Mac): number {
  return mac === "82599" ? 512 : 384;
}
