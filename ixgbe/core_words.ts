/**
 * What an 82599's EEPROM says about SFP+ modules: whether it allows those of all vendors, and the words
 * that set up the analog core for a kind of module. The form of both is known from Intel's drivers for
 * Linux, FreeBSD and DPDK.
 *
 * @module
 */

import type { Registers } from "../src/registers.ts";
import { EERD, STATUS } from "./registers.ts";

/** Words of the EEPROM: a pointer to the list of modules, and what the device is capable of. */
const MODULE_LIST = 0x2b, CAPABILITIES = 0x2c;
const ALLOWS_ANY_MODULE = 1 << 0;
/** Numbers in the list: passive cables and all other modules, at the first port; at the second, one more. */
const PASSIVE_CABLE = 3, OTHER_MODULE = 5;
/** The end of a list, and what an empty word holds. */
const END = 0xffff;
/** Longest lists that are believed, in words: the EEPROM may be damaged. */
const MAX_LIST = 64, MAX_WORDS = 256;
/** Deadline for a word, in milliseconds: that of Intel's drivers. A word takes some 10 microseconds. */
const WORD_MS = 500;

/**
 * Reads a word of the EEPROM.
 *
 * @param word Its number, 0 to 0x3fff.
 * @throws {DeviceError} if it does not come in time.
 */
export async function readWord(regs: Registers, word: number): Promise<number> {
  regs.write(EERD, EERD.START | word << 2 & EERD.ADDR);
  // Without a pause, since hundreds of words are read.
  if (!regs.spin(EERD, EERD.DONE, EERD.DONE, WORD_MS)) {
    await regs.wait(EERD, EERD.DONE, EERD.DONE, WORD_MS);
  }
  return (regs.read(EERD) & EERD.DATA) >>> 16;
}

/** Returns whether the EEPROM allows modules of all vendors. */
export async function allowsAnyModule(regs: Registers): Promise<boolean> {
  const word = await readWord(regs, CAPABILITIES);
  return word !== END && (word & ALLOWS_ANY_MODULE) !== 0;
}

/**
 * Returns the words for CORECTL that set up the analog core for a module; undefined if the EEPROM does
 * not list the module's kind.
 *
 * @param passive Whether it is a passive cable. Active cables, modules for 1 Gbit/s and unknown ones are
 * set up as those for fibre.
 */
export async function coreWords(
  regs: Registers,
  passive: boolean,
): Promise<readonly number[] | undefined> {
  const port = (regs.read(STATUS) & STATUS.LAN_ID) === 0 ? 0 : 1;
  const wanted = (passive ? PASSIVE_CABLE : OTHER_MODULE) + port;
  const list = await readWord(regs, MODULE_LIST);
  if (list === 0 || list === END) return undefined;
  // Both lists begin with a word about themselves, which is skipped.
  for (let at = list + 1; at < list + MAX_LIST; at += 2) {
    const kind = await readWord(regs, at);
    if (kind === END) return undefined;
    if (kind !== wanted) continue;
    const start = await readWord(regs, at + 1);
    return start === 0 || start === END ? undefined : await wordsAt(regs, start + 1);
  }
}

async function wordsAt(regs: Registers, start: number): Promise<number[] | undefined> {
  const words: number[] = [];
  for (let at = start; words.length < MAX_WORDS; at++) {
    const word = await readWord(regs, at);
    if (word === END) return words;
    words.push(word);
  }
}
