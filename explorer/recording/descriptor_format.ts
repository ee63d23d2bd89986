/**
 * Which format the words of a descriptor are in (82599 datasheet, sections 7.1.5, 7.1.6 and 7.2.3).
 *
 * @module
 */

import { RX_DD, TX_DD, TX_DEXT } from "../../ixgbe/descriptors.ts";
import type { DescriptorAccess } from "./step.ts";

/** The field DTYP of an advanced transmit descriptor, and its value for a context. */
const DTYP = 0xf << 20, CONTEXT = 2 << 20;

/**
 * Returns the format of a descriptor of a ring of the 82599 by its words.
 *
 * Receive descriptors count as advanced: SRRCTL has their format, not the descriptor, and the driver uses
 * no other. A transmit descriptor without a command was never written, or has only DD left after its
 * write-back: it counts as advanced, too.
 */
export function descriptorFormat(
  ring: "rx" | "tx",
  words: ArrayLike<number>,
): DescriptorAccess["format"] {
  const command = words[2];
  if (ring === "rx" || command === 0) return "advanced";
  if ((command & TX_DEXT) === 0) return "legacy";
  return (command & DTYP) === CONTEXT ? "context" : "advanced";
}

/** Returns whether a descriptor's words have DD, so are in the write-back format. */
export function isWrittenBack(
  { ring, format }: Pick<DescriptorAccess, "ring" | "format">,
  words: ArrayLike<number>,
): boolean {
  switch (format) {
    case "advanced":
      return (ring === "rx" ? words[2] & RX_DD : words[3] & TX_DD) !== 0;
    case "legacy":
      return (words[3] & TX_DD) !== 0; // bit 0 of word 3 in both rings
    default:
      return false;
  }
}
