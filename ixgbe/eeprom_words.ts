/**
 * Reads words of the EEPROM, and checks their checksum. On X540 and X550 these are words of the shadow
 * RAM, a copy of the Flash memory's first part. The X550 has no EERD: firmware reads the words, by a
 * command of the host interface. Where the datasheets say nothing, this follows Intel's drivers.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";
import { hex, offsetOf, type Registers } from "../src/registers.ts";
import { readWord } from "./core_words.ts";
import { COMMAND_MS, startCommand } from "./host_interface.ts";
import type { Mac } from "./models.ts";
import { EEC, EERD, FLEX_MNG, HICR, SW_FW_SYNC } from "./registers.ts";
import { withSemaphore } from "./semaphore.ts";

/** Words from 0 on that every EEPROM has. */
export const HEADER_WORDS = 0x42;
/** The word with the checksum, and the sum of this word and all that it covers (section 6.3). */
const CHECKSUM = 0x3f, SUM = 0xbaba;
/** Words that point at the sections that the checksum covers. A section begins with its length. */
const FIRST_SECTION = 0x03, LAST_SECTION = 0x0e;
/** Sections that the checksums of X540 and X550 leave out: the PHY's and the option ROM's. */
const PHY_SECTION = 0x04, OPTION_ROM = 0x05;
/** What the X550's checksum covers in addition: a section, and the header's last words. */
const X550_FIRST_SECTION = 0x02;
/** Sections of the X550 that have no length: their sizes in words. */
const X550_SIZES: Readonly<Record<number, number>> = { 0x06: 0x24, 0x07: 0x08, 0x08: 0x08 };
/** A pointer to nothing, and the length of a missing section. */
const NONE = 0xffff;

/** The unit of EEC.EE_SIZE: an EEPROM of size 0 has 64 words. */
const SIZE_SHIFT = 6;

/** The command that reads words: its code, the number of bytes behind its header, and 0xff: no checksum. */
const READ_SHADOW_RAM = 0x31 | 6 << 16 | 0xff << 24;
/** The first word of its answer that holds data. */
const DATA = 3;
/** The most words that a command reads. */
const MOST_WORDS = 512;

/** Reads consecutive words. */
export type ReadWords = (first: number, count: number) => Promise<Uint16Array>;

/** Returns the number of words in the EEPROM (EEC.EE_SIZE). */
export function eepromSize(regs: Registers): number {
  const size = (regs.read(EEC) & EEC.EE_SIZE) / (EEC.EE_SIZE & -EEC.EE_SIZE);
  return 1 << size + SIZE_SHIFT;
}

/**
 * Runs an action that reads words. X540 and X550 share the EEPROM with firmware: meanwhile, the driver
 * holds its semaphores there.
 *
 * @throws {UsageError} if firmware does not release it. Nothing has changed then.
 * @throws {DeviceError} if a word is not read in time, or the device is gone.
 */
export async function withEeprom<T>(
  regs: Registers,
  mac: Mac,
  device: string,
  action: (read: ReadWords) => Promise<T>,
): Promise<T> {
  if (mac === "82599") return await action((first, count) => readByRegister(regs, first, count));
  const read: ReadWords = mac === "X540"
    ? (first, count) => readByRegister(regs, first, count)
    : (first, count) => readByFirmware(regs, device, first, count);
  const held = (sync: number): never => {
    throw new UsageError(
      `${device}: firmware does not release the EEPROM, SW_FW_SYNC (${
        hex(offsetOf(SW_FW_SYNC))
      }) is ${hex(sync)}: wait for an update that is in progress, or power-cycle the device`,
    );
  };
  const resource = SW_FW_SYNC.SW_EEP_SM | (mac === "X550" ? SW_FW_SYNC.SW_MNG_SM : 0);
  return await withSemaphore(regs, mac, resource, () => action(read), held);
}

async function readByRegister(regs: Registers, first: number, count: number): Promise<Uint16Array> {
  const words = new Uint16Array(count);
  for (let i = 0; i < count; i++) words[i] = await readWord(regs, first + i);
  return words;
}

/** Reads words through the host interface (82599: section 10.5.3.2). */
async function readByFirmware(
  regs: Registers,
  device: string,
  first: number,
  count: number,
): Promise<Uint16Array> {
  const words = new Uint16Array(count);
  for (let done = 0; done < count;) {
    const most = Math.min(count - done, MOST_WORDS);
    await command(regs, device, first + done, most);
    for (let i = 0; i < most; i += 2) {
      const pair = regs.read(FLEX_MNG, DATA + i / 2);
      words[done + i] = pair;
      if (i + 1 < most) words[done + i + 1] = pair >>> 16;
    }
    done += most;
  }
  return words;
}

async function command(
  regs: Registers,
  device: string,
  first: number,
  count: number,
): Promise<void> {
  // Address and length in bytes, the most significant byte first.
  const words = [READ_SHADOW_RAM, swap32(2 * first), swap32(2 * count) >>> 16];
  if (!startCommand(regs, words)) {
    throw new DeviceError(device, `firmware accepts no commands, ${inHicr(regs.read(HICR))}`);
  }
  await regs.reaches(HICR, HICR.C, 0, COMMAND_MS);
  const status = regs.read(HICR);
  if ((status & (HICR.C | HICR.SV)) === HICR.SV) return;
  throw new DeviceError(device, `firmware does not read the EEPROM, ${inHicr(status)}`);
}

function inHicr(value: number): string {
  return `HICR (${hex(offsetOf(HICR))}) is ${
    hex(value)
  }: power-cycle the device, and update its firmware if that does not help`;
}

/** Returns a number with its four bytes in the opposite order. */
function swap32(value: number): number {
  return value >>> 24 | value >>> 8 & 0xff00 | value << 8 & 0xff0000 | value << 24;
}

/** The checksum of an EEPROM. */
export interface Checksum {
  /** What its word 0x3f holds. */
  readonly stored: number;
  /** What the words that it covers give. */
  readonly computed: number;
}

/**
 * Computes the checksum of what the hardware loads (section 6.3).
 *
 * @param size Number of words in the EEPROM.
 */
export async function checksumOf(read: ReadWords, mac: Mac, size: number): Promise<Checksum> {
  const header = await read(0, HEADER_WORDS);
  const covered = mac === "X550" ? HEADER_WORDS : CHECKSUM;
  let sum = 0;
  for (let i = 0; i < covered; i++) if (i !== CHECKSUM) sum += header[i];
  const from = mac === "X550" ? X550_FIRST_SECTION : FIRST_SECTION;
  for (let pointer = from; pointer <= LAST_SECTION; pointer++) {
    if (mac !== "82599" && (pointer === PHY_SECTION || pointer === OPTION_ROM)) continue;
    const start = header[pointer];
    if (start === 0 || start >= size) continue;
    const fixed = mac === "X550" ? X550_SIZES[pointer] : undefined;
    const length = fixed ?? (await read(start, 1))[0];
    const first = fixed === undefined ? start + 1 : start;
    if (length === 0 || length === NONE || first + length > size) continue;
    for (const word of await read(first, length)) sum += word;
  }
  return { stored: header[CHECKSUM], computed: SUM - sum & 0xffff };
}

/**
 * Checks the EEPROM's checksum. Changes nothing.
 *
 * @throws {UsageError} if it is wrong, or firmware does not release the EEPROM.
 * @throws {DeviceError} if the EEPROM cannot be read.
 */
export async function checkChecksum(regs: Registers, mac: Mac, device: string): Promise<void> {
  const { stored, computed } = await withEeprom(regs, mac, device, (read) => {
    return checksumOf(read, mac, eepromSize(regs));
  });
  if (stored === computed) return;
  const by = mac === "X550" ? `HICR, ${hex(offsetOf(HICR))}` : `EERD, ${hex(offsetOf(EERD))}`;
  throw new UsageError(
    `${device}: the checksum in its EEPROM (word 0x3f, read by ${by}) is ${hex16(stored)}, not ` +
      `${hex16(computed)}: restore its EEPROM with the manufacturer's tool`,
  );
}

function hex16(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}
