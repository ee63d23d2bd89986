/**
 * The host interface of the modelled X540 and X550: a driver writes a command to the memory
 * FLEX_MNG, and firmware answers there (82599 datasheet, section 10.5.3.2; X550 datasheet for the
 * commands). The 82599 of this model has no such firmware.
 *
 * Commands other than those named here are not modelled: they get no status.
 *
 * @module
 */

import { FLEX_MNG, HICR, RXCTRL, SW_FW_SYNC } from "../../ixgbe/registers.ts";
import { hex, offsetOf } from "../../src/registers.ts";
import type { DeviceState } from "./device_state.ts";

// The header: command, bytes behind the header, status (in the answer), checksum.
const COMMAND = 0, LENGTH = 1, STATUS = 2, CHECKSUM = 3, HEADER_BYTES = 4;
/** Stands for a checksum that is not checked. */
const NO_CHECKSUM = 0xff;
const SUCCESS = 1;

/** Tells the firmware the driver's version. */
const DRIVER_INFO = 0xdd;
/** Disables a port's receiver. */
const DISABLE_RXEN = 0xde;
/** Reads the copy of the EEPROM: address and length in bytes, big-endian; the answer has data. */
const READ_SHADOW_RAM = 0x31;
const ADDRESS = 4, BYTES = 8, DATA = 12, MAX_DATA = 1024;

/** Installs the effects of HICR and its memory. */
export function installHostInterface(state: DeviceState): void {
  const { file, rules } = state;
  const memory = new DataView(file.words.buffer, offsetOf(FLEX_MNG), FLEX_MNG.count * 4);
  /** Whether the driver has not seen the end of the command yet. */
  let pending = false;
  file.onWrite(HICR, (value, old) => {
    const kept = old & HICR.EN | value & ~(HICR.EN | HICR.SV | HICR.C);
    if ((value & HICR.C) === 0) return kept | old & (HICR.SV | HICR.C);
    if ((old & HICR.EN) === 0) {
      rules.violate("HICR", "10.5.3.2", "a command comes while EN is set", hex(value));
      return kept;
    }
    if ((file.get(SW_FW_SYNC) & SW_FW_SYNC.SW_MNG_SM) === 0) {
      const detail = `SW_FW_SYNC ${hex(file.get(SW_FW_SYNC))}`;
      rules.violate("HICR", "10.5.4", "a command comes while SW_MNG_SM is held", detail);
    }
    pending = true;
    state.timing.after("firmware", "HICR", () => {});
    return kept | HICR.C | (carryOut(state, memory) ? HICR.SV : 0);
  });
  // The first read shows the firmware at work.
  const shown = (value: number) => value & HICR.C ? value & ~HICR.SV : value;
  file.onRead(HICR, (value) => {
    if (value & HICR.C && state.timing.isPending("HICR")) return shown(value);
    if (value & HICR.C) file.set(HICR, value & ~HICR.C);
    else pending = false;
    return shown(value);
  }, shown);
  file.onRead(FLEX_MNG, (value) => {
    if (pending && file.get(HICR) & (HICR.C | HICR.SV)) {
      const rule = "the answer is read after HICR.C was seen clear";
      rules.violate("FLEX_MNG", "10.5.3.2", rule, `HICR ${hex(file.get(HICR))}`);
    }
    return value;
  }, (value) => value);
}

/** Executes the command in memory, and writes the answer there; returns whether it could. */
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
    const rule = "a command reads at most 512 words, inside the EEPROM";
    rules.violate("FLEX_MNG", "10.5.3.2", rule, `${words} words from word ${first} on`);
    return false;
  }
  for (let i = 0; i < words; i++) memory.setUint16(DATA + 2 * i, eeprom[first + i], true);
  return true;
}
