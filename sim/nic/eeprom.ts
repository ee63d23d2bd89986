/**
 * The EEPROM of the modelled device (datasheet chapter 6): words with the station address,
 * empty sections for the hardware's settings, and a valid checksum.
 *
 * @module
 */

import { CORE_WORDS } from "./serdes.ts";

/** Words in an EEPROM with EE_SIZE 0. */
const SMALLEST = 64;

const CHECKSUM = 0x3f;
const SUM = 0xbaba;
// Words 0x03 to 0x0e point at the sections in the checksum; a section begins with its length.
const FIRST_SECTION = 0x03;
const LAST_SECTION = 0x0e;
const SECTIONS = 0x80;
const MAC_SECTIONS = [0x0b, 0x0c];
const MAC_SECTION_WORDS = 6;
// The bit that allows any SFP+ module (word 0x2c).
const DEVICE_CAPABILITIES = 0x2c;
const ALLOW_ANY_SFP = 1;
// The printed board assembly number, as text (word 0x15: guard, word 0x16: pointer).
const PBA_GUARD = 0xfafa;
// Firmware (word 0x0f). Word 4 of its section points at the patch; word 7 there is the version.
// Drivers take versions up to 5 for early samples.
const FIRMWARE = 0x0f, FIRMWARE_PATCH = 4, PATCH_VERSION = 7, VERSION = 6;
const FIRMWARE_AT = 0x100, PATCH_AT = 0x120;
// What a driver writes to CORECTL for a kind of SFP+ module: a list of kinds (word 0x2b), each with the
// place of its words. Kinds 3 and 4 are passive cables at the first and the second port, 5 and 6 all else.
const MODULES = 0x2b, MODULES_AT = 0x140, MODULE_AT = 0x150, CABLE_AT = 0x160;
const MODULE_KINDS = [[3, CABLE_AT], [4, CABLE_AT], [5, MODULE_AT], [6, MODULE_AT]], END = 0xffff;

/** What an EEPROM says about SFP+ modules. */
export interface AllowedModules {
  /** Whether it allows modules of all makers. */
  readonly anyModule: boolean;
  /** Whether it lists what to write to CORECTL. */
  readonly moduleList: boolean;
}

/**
 * Returns the words of an EEPROM.
 *
 * @param mac Station address of the port, 6 bytes; the other port's differs in the last bit.
 * @param port Number of the port: 0 or 1.
 * @param allowed What it says about SFP+ modules.
 * @param size Number of words.
 */
export function makeEeprom(
  mac: Uint8Array,
  port: number,
  allowed: AllowedModules,
  size: number,
): Uint16Array {
  const words = new Uint16Array(size);
  words.fill(0xffff, 0x01, 0x40);
  words[0x00] = 0x4000; // signature 01b in bits 15:14: valid
  words[0x02] = 0xffff; // no firmware module for link establishment
  words[DEVICE_CAPABILITIES] = allowed.anyModule ? ALLOW_ANY_SFP : 0;
  words[0x15] = PBA_GUARD;
  words[0x16] = 0x60;
  const pba = "SIM599-001";
  words[0x60] = 1 + pba.length / 2;
  for (let i = 0; i < pba.length; i += 2) {
    words[0x61 + i / 2] = pba.charCodeAt(i) << 8 | pba.charCodeAt(i + 1);
  }
  words[FIRMWARE] = FIRMWARE_AT;
  words.fill(0xffff, FIRMWARE_AT + 1, FIRMWARE_AT + FIRMWARE_PATCH);
  words[FIRMWARE_AT + FIRMWARE_PATCH] = PATCH_AT;
  words[PATCH_AT + PATCH_VERSION] = VERSION;
  words[MODULES] = MODULES_AT;
  const list = allowed.moduleList ? MODULE_KINDS.flat() : [];
  words.set([list.length + 1, ...list, END], MODULES_AT);
  for (const [setup, at] of [["module", MODULE_AT], ["passive-cable", CABLE_AT]] as const) {
    words.set([CORE_WORDS[setup].length + 1, ...CORE_WORDS[setup], END], at);
  }
  let next = SECTIONS;
  for (const pointer of MAC_SECTIONS) {
    const address = mac.slice();
    if (pointer !== MAC_SECTIONS[port]) address[5] ^= 1;
    words[pointer] = next;
    words[next] = MAC_SECTION_WORDS;
    for (let i = 0; i < 3; i++) words[next + 1 + i] = address[2 * i] | address[2 * i + 1] << 8;
    next += 1 + MAC_SECTION_WORDS;
  }
  words[CHECKSUM] = checksumOf(words);
  return words;
}

/** Returns EEC.EE_SIZE for an EEPROM: the binary logarithm of its words divided by 64. */
export function sizeField(words: Uint16Array): number {
  return Math.log2(words.length / SMALLEST) << 11;
}

/**
 * Returns word 0x3f, the checksum: with it, words 0 to 0x3f and the sections add up to 0xBABA
 * (section 6.3).
 *
 * The X540 omits the sections at 4 and 5, and the X550 adds words 0x40 and 0x41 and the section at
 * 2. All of them are empty here, so that one checksum is right for all.
 *
 * @param words Words of the EEPROM.
 */
function checksumOf(words: Uint16Array): number {
  let sum = 0;
  for (let i = 0; i < CHECKSUM; i++) sum += words[i];
  for (let pointer = FIRST_SECTION; pointer <= LAST_SECTION; pointer++) {
    const start = words[pointer];
    if (start === 0 || start === 0xffff) continue;
    const length = words[start];
    if (length === 0 || length === 0xffff) continue;
    for (let i = start + 1; i <= start + length; i++) sum += words[i];
  }
  return (SUM - sum) & 0xffff;
}
