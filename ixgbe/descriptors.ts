/**
 * Advanced descriptors: 16 bytes, accessed as four 32-bit words (82599: sections 7.1.6 and 7.2.3).
 *
 * In a descriptor that software writes, words 0 and 1 are the low and high half of the buffer's bus
 * address. The NIC overwrites them when it writes a receive descriptor back.
 *
 * @module
 */

/** Size of a descriptor in 32-bit words. */
export const WORDS = 4;
/** Size of a descriptor in bytes. */
export const BYTES = 16;

/** Size of a frame's CRC, in bytes. */
export const CRC = 4;
/** Largest frame, in bytes with CRC: 15.5 KB (sections 7.2.3.2.2 and 8.2.3.22.13). */
export const MAX_FRAME = 15872;

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
/** Transmit, word 2, DCMD: report status: write DD back when the packet has been sent. */
export const TX_RS: number = 1 << 27;
/** Transmit, word 2, DCMD: an advanced descriptor. */
export const TX_DEXT: number = 1 << 29;
/** Transmit, word 3: the lowest bit of PAYLEN, the length of the whole frame in bytes. */
export const TX_PAYLEN_SHIFT = 14;
/** Transmit, word 3, written back: descriptor done. */
export const TX_DD: number = 1 << 0;
