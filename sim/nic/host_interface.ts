/**
 * The host interface of the modelled X540 and X550: a driver leaves a command in the memory
 * FLEX_MNG, and firmware answers in the same place (82599 datasheet, section 10.5.3.2, and the X550's
 * for its commands). The 82599 of this model has no such firmware.
 *
 * Not modelled: commands beyond those that are named here. They find no status.
 *
 * @module
 */

import { FLEX_MNG, HICR, RXCTRL, SW_FW_SYNC } from "../../ixgbe/registers.ts";
import { hex, offsetOf } from "../../src/registers.ts";
import type { DeviceState } from "./device_state.ts";

// The header: command, bytes that follow it, status (once answered), checksum.
const COMMAND = 0, LENGTH = 1, STATUS = 2, CHECKSUM = 3, HEADER_BYTES = 4;
/** A checksum that is not looked at. */
const NO_CHECKSUM = 0xff;
const SUCCESS = 1;

/** The driver tells its version. */
const DRIVER_INFO = 0xdd;
/** Switches a port's receiver off. */
const DISABLE_RXEN = 0xde;
/** Reads the EEPROM's copy: address and bytes, most significant byte first; data follow. */
const READ_SHADOW_RAM = 0x31;
const ADDRESS = 4, BYTES = 8, DATA = 12, MAX_DATA = 1024;

/** Says what accesses to HICR and its memory do. */
export function installHostInterface(state: DeviceState): void {
  const { file, rules } = state;
  const memory = new DataView(file.words.buffer, offsetOf(FLEX_MNG), FLEX_MNG.count * 4);
  /** Whether the driver has yet to see that the command was carried out. */
  let pending = false;
  file.onWrite(HICR, (value, old) => {
    const kept = old & HICR.EN | value & ~(HICR.EN | HICR.SV | HICR.C);
    if ((value & HICR.C) === 0) return kept | old & (HICR.SV | HICR.C);
    if ((old & HICR.EN) === 0) {
      rules.violate("HICR", "10.5.3.2", "a command is given while EN is set", hex(value));
      return kept;
    }
    if ((file.get(SW_FW_SYNC) & SW_FW_SYNC.SW_MNG_SM) === 0) {
      const detail = `SW_FW_SYNC ${hex(file.get(SW_FW_SYNC))}`;
      rules.violate("HICR", "10.5.4", "a command is given while SW_MNG_SM is held", detail);
    }
    pending = true;
    return kept | HICR.C | (carryOut(state, memory) ? HICR.SV : 0);
  });
  // Who looks once sees that the firmware is at work.
  file.onRead(HICR, (value) => {
    if (value & HICR.C) file.set(HICR, value & ~HICR.C);
    else pending = false;
    return value & HICR.C ? value & ~HICR.SV : value;
  });
  file.onRead(FLEX_MNG, (value) => {
    if (pending && file.get(HICR) & (HICR.C | HICR.SV)) {
      const rule = "the answer is read after HICR.C was seen clear";
      rules.violate("FLEX_MNG", "10.5.3.2", rule, `HICR ${hex(file.get(HICR))}`);
    }
    return value;
  });
}

/** Carries out the command in memory, and puts the answer there; returns whether it could. */
function carryOut(state: DeviceState, memory: DataView): boolean {
  checkSum(state, memory);
  const command = memory.getUint8(COMMAND);
  switch (command) {
    case DRIVER_INFO:
      memory.setUint8(LENGTH, 0);
      break;
    case DISABLE_RXEN:
      state.file.set(RXCTRL, state.file.get(RXCTRL) & ~RXCTRL.RXEN);
      state.update();
      memory.setUint8(LENGTH, 0);
      break;
    case READ_SHADOW_RAM:
      if (!readShadowRam(state, memory)) return false;
      break;
    default:
      return false;
  }
  memory.setUint8(STATUS, SUCCESS);
  return true;
}

function checkSum({ rules }: DeviceState, memory: DataView): void {
  if (memory.getUint8(CHECKSUM) === NO_CHECKSUM) return;
  const bytes = HEADER_BYTES + memory.getUint8(LENGTH);
  let sum = 0;
  for (let i = 0; i < bytes; i++) sum = sum + memory.getUint8(i) & 0xff;
  if (sum === 0) return;
  const detail = `command ${hex(memory.getUint8(COMMAND))}: ${bytes} bytes add up to ${hex(sum)}`;
  rules.violate("FLEX_MNG", "10.5.3.2", "a command's bytes add up to 0", detail);
}

function readShadowRam({ eeprom, rules }: DeviceState, memory: DataView): boolean {
  const first = memory.getUint32(ADDRESS) / 2, words = memory.getUint16(BYTES) / 2;
  if (first % 1 || words % 1 || words > MAX_DATA / 2 || first + words > eeprom.length) {
    const rule = "words inside the EEPROM are read, 512 at most";
    rules.violate("FLEX_MNG", "10.5.3.2", rule, `${words} words from word ${first} on`);
    return false;
  }
  for (let i = 0; i < words; i++) memory.setUint16(DATA + 2 * i, eeprom[first + i], true);
  return true;
}
