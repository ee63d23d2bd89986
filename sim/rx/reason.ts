/**
 * Why the device does something with a frame.
 *
 * @module
 */

/** A reason as data. */
export interface Reason {
  /** The register, field or copy of a register that decides: `FCTRL.UPE`, `RAL[0]`, `MTA[12]`. */
  readonly by: string;
  /** A sentence. */
  readonly reason: string;
  /** Section of the 82599 datasheet, or of the one that it names. */
  readonly section: string;
}
