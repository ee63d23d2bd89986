/**
 * Header split: where the header of a received packet ends, and which of its bytes go to the
 * descriptor's header buffer (X550 datasheet, section 7.1.6.1; 82599: 7.1.10).
 *
 * @module
 */

import { PSRTYPE } from "../../ixgbe/registers.ts";
import { RX_STATUS, RX_TYPE } from "../rings/descriptors.ts";
import type { ReceiveOffloads } from "./offloads.ts";

const { IPV4, IPV6, TCP, UDP } = RX_TYPE;
const { SPLIT_TCP, SPLIT_UDP, SPLIT_IPV4, SPLIT_IPV6, SPLIT_L2 } = PSRTYPE;
/** Longer headers are not split. */
const MAX_HEADER = 1023;
const UDP_BYTES = 8, TCP_OFFSET = 12;
const HEADER_SHIFT = 21, SPH = 1 << 31;

/** The result for the packet that was measured last. */
export class HeaderSplit {
  /** Bytes of the packet for the header buffer. */
  bytes = 0;
  /** Bits for word 0 of all descriptors (SPH), and of the first (HDR_LEN). */
  split = 0;
  length = 0;
  /** Bits of the last descriptor's status and errors. */
  status = 0;

  /**
   * Determines how a packet is split.
   *
   * @param frame The packet, and its length in bytes.
   * @param types PSRTYPE: the kinds of packets that are split.
   * @param queue Bytes of its header buffers, and whether they are always used.
   */
  measure(
    frame: { readonly bytes: Uint8Array; readonly length: number },
    types: number,
    offloads: ReceiveOffloads,
    queue: { readonly headerBytes: number; readonly alwaysSplits: boolean },
  ): void {
    const header = headerLength(frame.bytes, types, offloads);
    const unknown = header === 0 || header > MAX_HEADER, fits = header <= queue.headerBytes;
    const most = queue.alwaysSplits ? Math.min(frame.length, queue.headerBytes) : 0;
    this.bytes = unknown || !fits ? most : header;
    this.split = unknown ? 0 : SPH;
    this.length = (unknown ? most : header) << HEADER_SHIFT;
    this.status = unknown || fits ? 0 : RX_STATUS.ERROR_HBO;
  }
}

// Returns the length of the headers up to the innermost that is split, or 0.
function headerLength(
  bytes: Uint8Array,
  types: number,
  { type, network, payload, transport }: ReceiveOffloads,
): number {
  if (type & TCP && types & SPLIT_TCP) {
    return transport + (bytes[transport + TCP_OFFSET] >>> 4) * 4;
  }
  if (type & UDP && types & SPLIT_UDP) return transport + UDP_BYTES;
  if (type & IPV4 && types & SPLIT_IPV4 || type & IPV6 && types & SPLIT_IPV6) return payload;
  return types & SPLIT_L2 ? network : 0;
}
