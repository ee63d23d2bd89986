/**
 * Reads the EEPROM of a card (X540 and X550: its shadow RAM), whether or not a driver is using it: software
 * and firmware share it by semaphores. Writes only what reading needs: EERD or the host interface, and
 * the semaphores. Part of the program `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import { getMac } from "../ixgbe/eeprom.ts";
import { checksumOf, eepromSize, withEeprom } from "../ixgbe/eeprom_words.ts";
import { EEC } from "../ixgbe/registers.ts";
import { formatMac } from "../src/driver.ts";
import { hex16 } from "../src/pci/function.ts";
import { hex } from "../src/registers.ts";
import { type Card, withCard } from "./card.ts";
import type { System } from "./system.ts";

/** Words with the board's capabilities and versions; their meaning is that of Intel's drivers. */
const CAPABILITIES = 0x2c, ETRACK_LOW = 0x2d, ETRACK_HIGH = 0x2e, PRODUCT = 0x1b, OPTION_ROM = 0x17;
/** Words with the printed board assembly number: a guard and a pointer to text, or the number itself. */
const PBA = 0x15, PBA_GUARD = 0xfafa;
/** Offset of the option ROM's version in its section. */
const OPTION_ROM_LOW = 0x83, OPTION_ROM_HIGH = 0x84;
/** Bit of ETRACK_HIGH: that word is the upper half. Without it, ETRACK_LOW is. */
const ETRACK_ORDERED = 0x8000;
/** The product version's section: its length, and the bits of its format, which are 0. */
const PRODUCT_WORDS = 3, PRODUCT_FORMAT = 0xf;
/** Words in a line. */
const LINE = 8;

/** What a card's EEPROM holds. */
export interface EepromReport {
  /** The card's address, as the caller gave it. */
  readonly address: string;
  /** The card's model. */
  readonly model: string;
  /** Whether it has a valid signature (EEC.EE_PRES). */
  readonly present: boolean;
  /** The checksum in word 0x3f. */
  readonly checksum: number;
  /** The checksum that the words give. */
  readonly computed: number;
  /** The port's MAC address, as the card has it now (RAL, RAH). */
  readonly mac: string;
  /** Versions and numbers by name; those that the EEPROM lacks are left out. */
  readonly versions: Readonly<Record<string, string>>;
  /** All words. */
  readonly words: readonly number[];
}

/**
 * Reads the EEPROM of a card.
 *
 * @param name A PCI address, or `vfio-user:PATH` for a function that another process serves.
 * @throws {UsageError} if the card is not supported, the kernel does not let this process access its
 * registers, they are turned off, or firmware does not release the EEPROM.
 * @throws {DeviceError} if the function is asleep or gone, or the EEPROM cannot be read.
 */
export function eepromOf(system: System, name: string): Promise<EepromReport> {
  return withCard(system, name, { command: "eeprom", instead: "ethtool -e" }, report);
}

async function report({ address, model, regs }: Card): Promise<EepromReport> {
  const { mac } = model, size = eepromSize(regs);
  const words = await withEeprom(regs, mac, address, (read) => read(0, size));
  const known = (first: number, count: number) =>
    Promise.resolve(words.subarray(first, first + count));
  const { stored, computed } = await checksumOf(known, mac, size);
  return {
    address,
    model: model.name,
    present: (regs.read(EEC) & EEC.EE_PRES) !== 0,
    checksum: stored,
    computed,
    mac: formatMac(getMac(regs)),
    versions: versionsOf(words),
    words: [...words],
  };
}

/** Returns whether a word is a pointer into the EEPROM. */
function points(word: number, words: Uint16Array): boolean {
  return word !== 0 && word < words.length;
}

/** Returns the versions in an EEPROM. */
function versionsOf(words: Uint16Array): Record<string, string> {
  const [low, high] = [words[ETRACK_LOW], words[ETRACK_HIGH]];
  const etrack = high & ETRACK_ORDERED ? high * 2 ** 16 + low : low * 2 ** 16 + high;
  const found: Record<string, string | undefined> = {
    eetrack: etrack === 0 || etrack === 2 ** 32 - 1 ? undefined : hex(etrack),
    product: productOf(words),
    "option ROM": optionRomOf(words),
    board: boardOf(words),
    capabilities: words[CAPABILITIES] === 0xffff ? undefined : `0x${hex16(words[CAPABILITIES])}`,
  };
  return Object.fromEntries(
    Object.entries(found).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function productOf(words: Uint16Array): string | undefined {
  const at = words[PRODUCT];
  if (!points(at, words) || words[at] !== PRODUCT_WORDS || words[at + 1] & PRODUCT_FORMAT) return;
  const [version, release] = [words[at + 2], words[at + 3]];
  if ((version | release) === 0 || version === 0xffff || release === 0xffff) return;
  return `${version >> 8}.${version & 0xff}, release ${release}`;
}

function optionRomOf(words: Uint16Array): string | undefined {
  const at = words[OPTION_ROM];
  if (!points(at, words)) return;
  const [low, high] = [words[at + OPTION_ROM_LOW], words[at + OPTION_ROM_HIGH]];
  if (low === undefined || high === undefined || (low | high) === 0) return;
  if (low === 0xffff || high === 0xffff) return;
  return `${low >> 8}.${(low & 0xff) << 8 | high >> 8}.${high & 0xff}`;
}

/** Returns the printed board assembly number. */
function boardOf(words: Uint16Array): string | undefined {
  const [guard, at] = words.subarray(PBA, PBA + 2);
  if (guard !== PBA_GUARD) {
    const number = guard * 2 ** 16 + at;
    return number === 0 || number === 2 ** 32 - 1 ? undefined : hex(number).slice(2);
  }
  if (!points(at, words) || words[at] < 1 || at + words[at] > words.length) return;
  const text = Array.from(
    words.subarray(at + 1, at + words[at]),
    (word) => String.fromCharCode(word >> 8, word & 0xff),
  ).join("");
  return text.replaceAll(/[^\x21-\x7e]/g, "");
}

/** Formats a report as lines of text. Omits lines of words that repeat the line before. */
export function* formatEeprom(found: EepromReport): Generator<string> {
  const { address, model, present, checksum, computed, mac, versions, words } = found;
  yield `${address}: ${model}`;
  const field = (name: string, value: string) => `  ${name.padEnd(12)}  ${value}`;
  yield field("signature", present ? "valid" : "not valid: the EEPROM is blank or missing");
  const right = checksum === computed ? "right" : `wrong: the words give 0x${hex16(computed)}`;
  yield field("checksum", `0x${hex16(checksum)}, ${right}`);
  yield field("MAC address", mac);
  for (const [name, value] of Object.entries(versions)) yield field(name, value);
  let before = "";
  for (let at = 0; at < words.length; at += LINE) {
    const line = words.slice(at, at + LINE).map(hex16).join(" ");
    if (line !== before) yield `${hex16(at)}  ${line}`;
    before = line;
  }
}

/** Returns the words of an EEPROM as bytes, the lower byte of each first. */
export function eepromBytes({ words }: EepromReport): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(words.flatMap((word) => [word & 0xff, word >> 8]));
}
