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
export type Mac = "82599" | "X540" | "X550" | "X550EM_x" | "X550EM_a";

/**
 * The medium between MAC and cable. `sfp`: a cage; on an 82599 the driver turns its laser on.
 * `backplane`: KX4, KR, CX4 or XAUI, set up by the EEPROM. `copper`: a PHY that negotiates by itself.
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
}

function models(mac: Mac, media: Media, names: Record<number, string>): [number, Model][] {
  return Object.entries(names).map(([id, what]) => {
    return [Number(id), { name: `${mac} ${what}`, mac, media }];
  });
}

const MODELS: ReadonlyMap<number, Model> = new Map([
  ...models("82599", "sfp", {
    0x10fb: "SFP+",
    0x1507: "SFP+ EM",
    0x1529: "SFP+ FCoE",
    0x154a: "SFP+ quad port",
    0x154d: "SFP+ SF2",
    0x1557: "SFP+ single port (82599EN)",
    0x1558: "QSFP+ quad port",
  }),
  ...models("82599", "backplane", {
    0x10f7: "KX4",
    0x10f8: "combined backplane",
    0x10f9: "CX4",
    0x10fc: "XAUI",
    0x1514: "KX4 mezzanine",
    0x1517: "KR",
    0x152a: "backplane FCoE",
    0x154f: "LS",
  }),
  ...models("82599", "copper", { 0x151c: "T3 10GBASE-T" }),
  ...models("X540", "copper", { 0x1528: "10GBASE-T", 0x1560: "10GBASE-T single port" }),
  ...models("X550", "copper", { 0x1563: "10GBASE-T", 0x15d1: "10GBASE-T single port" }),
  ...models("X550EM_x", "backplane", { 0x15aa: "KX4", 0x15ab: "KR", 0x15b0: "XFI" }),
  ...models("X550EM_x", "sfp", { 0x15ac: "SFP+" }),
  ...models("X550EM_x", "copper", { 0x15ad: "10GBASE-T", 0x15ae: "1000BASE-T" }),
  ...models("X550EM_a", "backplane", {
    0x15c2: "KR",
    0x15c3: "KR L",
    0x15c6: "SGMII",
    0x15c7: "SGMII L",
  }),
  ...models("X550EM_a", "sfp", {
    0x15c4: "SFP+ N",
    0x15ca: "QSFP",
    0x15cc: "QSFP N",
    0x15ce: "SFP+",
  }),
  ...models("X550EM_a", "copper", {
    0x15c8: "10GBASE-T",
    0x15e4: "1000BASE-T",
    0x15e5: "1000BASE-T L",
  }),
]);

/** Related devices that have other registers, and so are not supported. */
const RELATIVES: readonly [string, readonly number[]][] = [
  ["an 82598", [
    ...[0x10b6, 0x10c6, 0x10c7, 0x10c8, 0x10db, 0x10dd, 0x10e1, 0x10ec, 0x10f1, 0x10f4],
    ...[0x1508, 0x150b],
  ]],
  ["a virtual function of an 82599, X540 or X550", [
    ...[0x10ed, 0x1515, 0x152e, 0x1530, 0x1564, 0x1565, 0x15a8, 0x15a9, 0x15b4, 0x15c5],
  ]],
  ["an E610", [0x57ad, 0x57ae, 0x57af, 0x57b0, 0x57b1, 0x57b2]],
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
  const relative = RELATIVES.find(([, ids]) => ids.includes(deviceId));
  throw new UsageError(
    `${address}: Intel device 0x${hex16(deviceId)}` +
      `${relative ? ` (${relative[0]})` : ""} is not supported: ` +
      "use an 82599 (X520), X540 or X550",
  );
}

/** Returns the size of a MAC's receive packet buffer in KB (section 2.2 of the 82599's datasheet). */
export function rxPacketBufferKilobytes(mac: Mac): number {
  return mac === "82599" ? 512 : 384;
}
