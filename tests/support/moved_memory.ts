/**
 * Memory that the kernel seems to have moved to other physical addresses. Not a test itself.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { HUGEPAGE } from "../../src/dma.ts";

/** Where the first page of all memory seems to be. */
export const MOVED: number = 0x123456 * HUGEPAGE;

/** Makes the kernel seem to have moved all memory, until it is disposed. */
export function moved(): Disposable {
  const { physicalAddresses } = Mapping.prototype;
  Mapping.prototype.physicalAddresses = () => [MOVED];
  return {
    [Symbol.dispose]() {
      Mapping.prototype.physicalAddresses = physicalAddresses;
    },
  };
}
