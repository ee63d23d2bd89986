/**
 * A driver's requests for offloads: context descriptors, and the rules for them (datasheet sections
 * 7.2.3.2.3, 7.2.4 and 7.2.5). The offloads themselves are in `offloads.ts`.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { nameOf } from "../../src/registers.ts";
import { FRAME } from "../frames/frame.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { Rules } from "../registers/rules.ts";
import { TX_COMMAND, TX_OPTIONS } from "../rings/descriptors.ts";
import {
  type Emit,
  headerLength,
  readContext,
  type TransmitContext,
  TransmitOffloads,
} from "./offloads.ts";
import type { TransmitQueue } from "./queue.ts";

/** Serves the offload requests of descriptors, and records violations in them. */
export class OffloadRequests {
  readonly #rules: Rules;
  readonly #offloads: TransmitOffloads;

  constructor({ file, rules }: RegisterCore) {
    this.#rules = rules;
    this.#offloads = new TransmitOffloads(file);
  }

  /** Keeps the context descriptor at word `at` of the ring's memory. */
  keepContext(queue: TransmitQueue, at: number): void {
    const index = queue.words[at + 3] >>> TX_OPTIONS.IDX_SHIFT & 1;
    queue.contexts.set(queue.words.subarray(at, at + 4), index * 4);
    queue.hasContext[index] = true;
  }

  /**
   * Makes the frame to send from the one that a queue has gathered. A transmission to segment becomes
   * the queue's `cut`, whose segments follow by {@linkcode OffloadRequests.prototype.segment}.
   *
   * @param length Bytes gathered.
   * @param emit Sends the frame.
   */
  serve(queue: TransmitQueue, length: number, emit: Emit): void {
    const { command, options } = queue;
    const index = options >>> TX_OPTIONS.IDX_SHIFT & 1;
    if (!queue.hasContext[index]) {
      const detail = `IDX ${index}`;
      this.#violate(queue, "7.2.3.2.3", "a context descriptor comes before its use", detail);
      return;
    }
    const context = readContext(queue.contexts, index * 4);
    if (context.l4 === "other" && options & TX_OPTIONS.TXSM) {
      this.#violate(queue, "7.2.5", "checksums are of TCP, UDP or SCTP", "L4T 3");
      return;
    }
    if (command & TX_COMMAND.TSE && context.l4 !== "tcp" && context.l4 !== "udp") {
      this.#violate(queue, "7.2.4", "segments are of TCP or UDP", `L4T is ${context.l4}`);
      return;
    }
    if (command & TX_COMMAND.TSE) {
      this.#begin(queue, context, length);
    } else {
      this.checkPayload(queue, length);
      this.#offloads.insertChecksums(queue.frame, length, context, options);
      this.#tagging(queue, context.tag, emit)(queue.frame, length);
    }
  }

  /**
   * Sends segments of a queue's transmission; `cut` is undefined after the last.
   *
   * @param most Maximum number of segments.
   * @param emit Sends each.
   * @returns Number of segments sent.
   */
  segment(queue: TransmitQueue, most: number, emit: Emit): number {
    const cut = queue.cut!;
    const send = this.#tagging(queue, cut.context.tag, emit);
    const sent = this.#offloads.segment(queue.large!, cut, most, send);
    if (cut.at >= cut.length) queue.cut = undefined;
    return sent;
  }

  /** Returns `emit`, with the tag inserted before if the queue's frame requests that. */
  #tagging(queue: TransmitQueue, tag: number, emit: Emit): Emit {
    if ((queue.command & TX_COMMAND.VLE) === 0) return emit;
    return (frame, bytes) => emit(frame, this.#offloads.insertTag(frame, bytes, tag));
  }

  /**
   * Inserts the checksum and the VLAN tag that a frame's first legacy descriptor requests (7.2.3.2.2).
   *
   * @returns The new length of the frame.
   */
  serveLegacy(queue: TransmitQueue, length: number): number {
    const { command, options, frame: { bytes } } = queue;
    const at = command >>> TX_COMMAND.CSO_SHIFT & 0xff,
      from = options >>> TX_OPTIONS.CSS_SHIFT & 0xff;
    if (command & TX_COMMAND.IC && (from >= length || at + 2 > length)) {
      const detail = `CSS ${from}, CSO ${at}, ${length} bytes`;
      this.#violate(queue, "7.2.3.2.2", "CSS and CSO are inside the frame", detail);
    } else if (command & TX_COMMAND.IC) {
      const sum = checksum(bytes, from, length);
      bytes[at] = sum >>> 8;
      bytes[at + 1] = sum;
    }
    if ((command & TX_COMMAND.VLE) === 0) return length;
    return this.#offloads.insertTag(queue.frame, length, options >>> TX_OPTIONS.VLAN_SHIFT);
  }

  #begin(queue: TransmitQueue, context: TransmitContext, length: number): void {
    const header = headerLength(context);
    this.checkPayload(queue, length - header);
    if (context.mss === 0 || header >= length || header + context.mss > FRAME.MAX) {
      const detail = `MSS ${context.mss}, header ${header}, in all ${length} bytes`;
      this.#violate(queue, "7.2.4.3", "MSS and header lengths fit the transmission", detail);
      return;
    }
    queue.cut = { context, length, options: queue.options, at: header, number: 0 };
  }

  /** Records a violation if PAYLEN of the frame's first descriptor is not `length`. */
  checkPayload(queue: TransmitQueue, length: number): void {
    const payload = queue.options >>> TX_OPTIONS.PAYLEN_SHIFT;
    if (payload === length) return;
    const detail = `PAYLEN ${payload}, descriptors ${length} bytes`;
    this.#violate(queue, "7.2.3.2.4", "PAYLEN is the frame's length", detail);
  }

  /**
   * Returns whether `bytes` bytes are too many for a frame or transmission; records a violation if
   * so.
   */
  isTooLong(queue: TransmitQueue, bytes: number): boolean {
    const segmented = (queue.command & TX_COMMAND.TSE) !== 0;
    if (segmented && bytes <= queue.large!.bytes.length) return false;
    if (segmented) {
      this.#violate(queue, "7.2.3.2.2", "PAYLEN is less than 256 KB", `${bytes} bytes`);
    } else this.refuseLength(queue, bytes);
    return true;
  }

  /** Records that a frame is too long. */
  refuseLength(queue: TransmitQueue, bytes: number): void {
    this.#violate(queue, "7.2.3.2.2", "a frame is at most 15.5 KB", `${bytes} bytes`);
  }

  #violate(queue: TransmitQueue, section: string, rule: string, detail: string): void {
    this.#rules.violate(nameOf(REGISTERS.TDT, queue.index), section, rule, detail);
  }
}
