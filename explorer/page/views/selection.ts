/**
 * What the reader has selected in a picture: a descriptor or a buffer. Other pictures mark it.
 *
 * @module
 */

import type { RingName } from "../../recording/layout.ts";
import { Observable } from "../observable.ts";

/** A descriptor of a ring. */
export interface DescriptorName extends RingName {
  readonly index: number;
}

/** The selection of one page. */
class Selection extends Observable {
  #descriptor: DescriptorName | undefined;
  #buffer: number | undefined;

  /** The selected descriptor. */
  get descriptor(): DescriptorName | undefined {
    return this.#descriptor;
  }

  /** The selected buffer of the pool. */
  get buffer(): number | undefined {
    return this.#buffer;
  }

  /** Selects a descriptor and no buffer; or nothing. */
  selectDescriptor(descriptor: DescriptorName | undefined): void {
    this.#descriptor = descriptor;
    this.#buffer = undefined;
    this.changed();
  }

  /** Selects a buffer and no descriptor; or nothing. */
  selectBuffer(buffer: number | undefined): void {
    this.#buffer = buffer;
    this.#descriptor = undefined;
    this.changed();
  }
}

/** The selection. */
export const selection = new Selection();

/** Returns whether two names are of the same ring. */
export function isSameRing(a: RingName, b: RingName): boolean {
  return a.port === b.port && a.ring === b.ring && a.queue === b.queue;
}
