/**
 * Advanced descriptors: 16 bytes, here four 32-bit words (82599: sections 7.1.6 and 7.2.3).
 *
 * Words 0 and 1 of a descriptor that software hands over are the low and high half of the buffer's
 * bus address.
 *
 * @module
 */

/** Words of a descriptor. */
export const WORDS = 4;
/** Bytes of a descriptor. */
export const BYTES = 16;

/** Receive, word 2, written back: descriptor done. */
export const RX_DD: number = 1 << 0;
/** Receive, word 2, written back: the frame ends in this buffer. */
export const RX_EOP: number = 1 << 1;
/** Receive, word 2, written back: the frame has a MAC error (RXE, extended error bit 9). */
export const RX_RXE: number = 1 << 29;

/** Transmit, word 2: DTYP, an advanced data descriptor. */
export const TX_DTYP_DATA: number = 3 << 20;
/** Transmit, word 2, DCMD: the frame ends in this buffer. */
export const TX_EOP: number = 1 << 24;
/** Transmit, word 2, DCMD: insert the CRC. */
export const TX_IFCS: number = 1 << 25;
/** Transmit, word 2, DCMD: report status, that is write back when done. */
export const TX_RS: number = 1 << 27;
/** Transmit, word 2, DCMD: an advanced descriptor. */
export const TX_DEXT: number = 1 << 29;
/** Transmit, word 3: bit at which PAYLEN, the bytes of the whole frame, begins. */
export const TX_PAYLEN_SHIFT = 14;
/** Transmit, word 3, written back: descriptor done. */
export const TX_DD: number = 1 << 0;
