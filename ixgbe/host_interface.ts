/**
 * Commands to the firmware of an X550, through its host interface (82599: section 10.5.3.2). Codes and
 * layouts of the commands are those of Intel's drivers.
 *
 * @module
 */

import type { Registers } from "../src/registers.ts";
import { FLEX_MNG, FWSTS, HICR } from "./registers.ts";

/** Deadline for a command, in milliseconds. */
export const COMMAND_MS = 500;

/** The command that disables a port's receiver: its code, the bytes behind its header, 0xff: no checksum. */
const DISABLE_RXEN = 0xde | 1 << 8 | 0xff << 24;

/**
 * Starts a command, which ends when HICR.C clears. The caller holds SW_FW_SYNC.SW_MNG_SM until it has
 * read the answer.
 *
 * @param words The command, from its header on.
 * @returns Whether firmware takes commands. If not, nothing is started.
 */
export function startCommand(regs: Registers, words: readonly number[]): boolean {
  regs.write(FWSTS, FWSTS.FWRI); // clears the sign of an earlier firmware reset
  const control = regs.read(HICR);
  if ((control & HICR.EN) === 0) return false;
  words.forEach((word, i) => regs.write(FLEX_MNG, word, i));
  regs.write(HICR, control | HICR.C);
  return true;
}

/**
 * Has firmware disable the receiver of a port, and waits for it without awaiting. It does not report
 * failure: RXCTRL.RXEN is then still set.
 */
export function disableReceiverByFirmware(regs: Registers, port: number): void {
  if (startCommand(regs, [DISABLE_RXEN, port])) regs.spin(HICR, HICR.C, 0, COMMAND_MS);
}
