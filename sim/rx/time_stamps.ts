/**
 * Which received packets get a time stamp, and where: in RXSTMPL and RXSTMPH, or on the X550 also
 * behind the packet in its buffer (82599 datasheet, section 7.9; X550: 7.1.6.2 and 7.7). The clock
 * is in `registers/system_time.ts`.
 *
 * @module
 */

import { ETQF, HLREG0, RXMTRL, TSAUXC, TSYNCRXCTL } from "../../ixgbe/registers.ts";
import { FrameBuffer } from "../frames/frame.ts";
import type { RegisterCore } from "../registers/core.ts";
import { RX_STATUS, RX_TYPE } from "../rings/descriptors.ts";
import type { ReceiveOffloads } from "./offloads.ts";

const { TS, TSIP } = RX_STATUS;
/** TSYNCRXCTL.TYPE (X550 datasheet, section 8.2.2.21.3). */
const TYPE = { L2_V2: 0, L4_V1: 1, V2: 2, ALL: 4, EVENT_V2: 5 } as const;
const TYPE_SHIFT = 1;
const UDP_DESTINATION = 2, UDP_BYTES = 8;
// Offsets in messages, and messages of V2: 2 and 3 are of path delay, 0 to 7 are events.
const VERSION = 1, SOURCE = 22, SEQUENCE = 30, CONTROL = 32, MESSAGE_BYTES = 34;
const PATH_DELAY_REQUEST = 2, PATH_DELAY_RESPONSE = 3, GENERAL = 8;
/** Bytes of a stamp in the buffer. */
export const STAMP_BYTES = 8;

/** Stamps received packets. */
export class ReceiveStamps {
  /** Whether any packets are stamped. */
  enabled = false;
  /** The frame with its stamp, if {@linkcode ReceiveStamps.prototype.take} returns TSIP. */
  readonly frame: FrameBuffer = new FrameBuffer();
  readonly #core: RegisterCore;
  readonly #inBuffer: boolean;
  /** The EtherTypes of messages without IP. */
  #ethertypes: readonly number[] = [];
  #type = 0;
  /** Whether TSYNCRXCTL.EN is set: packets are stamped in the registers. */
  #inRegisters = false;
  /** User priorities whose packets get a stamp in the buffer; bit 8 is for untagged packets. */
  #priorities = 0;

  /**
   * Creates the stamps, which are off until {@linkcode ReceiveStamps.prototype.load}.
   *
   * @param inBuffer Whether the device can put stamps behind packets, as the X550 does.
   */
  constructor(core: RegisterCore, inBuffer: boolean) {
    this.#core = core;
    this.#inBuffer = inBuffer;
  }

  /** Loads the settings from the registers. */
  load(): void {
    const { file, rules } = this.#core, control = file.get(TSYNCRXCTL);
    this.#type = (control & TSYNCRXCTL.TYPE) >>> TYPE_SHIFT;
    this.#inRegisters = (control & TSYNCRXCTL.EN) !== 0;
    this.#priorities = !this.#inBuffer ? 0 : (control & TSYNCRXCTL.TSIP_UP_EN) >>> 24 |
      (control & TSYNCRXCTL.TSIP_UT_EN ? 1 << 8 : 0);
    this.enabled = this.#inRegisters || this.#priorities !== 0;
    if (!this.enabled) return;
    const filters = Array.from({ length: ETQF.count }, (_, i) => file.get(ETQF, i));
    const messages = (filter: number) => filter & ETQF.FILTER_ENABLE && filter & ETQF.IEEE_1588;
    this.#ethertypes = filters.filter(messages).map((filter) => filter & ETQF.ETYPE);
    if (this.#priorities !== 0 && (file.get(HLREG0) & HLREG0.RXCRCSTRP) === 0) {
      const rule = "HLREG0.RXCRCSTRP is set while stamps are put behind packets";
      rules.violate("TSYNCRXCTL", "7.1.1.2 (X550)", rule, "RXCRCSTRP is 0");
    }
  }

  /**
   * Stamps an inspected packet if the settings select it.
   *
   * @returns The bits of the descriptor's status: TS if the registers hold its stamp, TSIP if
   * {@linkcode ReceiveStamps.prototype.frame} has the packet and its stamp.
   */
  take({ bytes }: FrameBuffer, length: number, offloads: ReceiveOffloads): number {
    const all = this.#type === TYPE.ALL;
    const message = all ? -1 : this.#find(bytes, length, offloads);
    if (!all && message < 0) return 0;
    let status = 0;
    // A stamp of any packet is not locked, and not reported in the descriptor.
    if (this.#inRegisters && this.#core.time.stampReceive(!all) && !all) {
      this.#keepSource(bytes, message);
      status = TS;
    }
    if (!this.#hasPlace(offloads)) return status;
    this.#append(bytes, length);
    return status | TSIP;
  }

  /** Returns whether a packet would get a stamp behind it; changes nothing. */
  appends({ bytes }: FrameBuffer, length: number, offloads: ReceiveOffloads): boolean {
    if (!this.enabled || !this.#hasPlace(offloads)) return false;
    return this.#type === TYPE.ALL || this.#find(bytes, length, offloads) >= 0;
  }

  // Whether packets of this priority have a place for the stamp behind them.
  #hasPlace({ tag }: ReceiveOffloads): boolean {
    return (this.#priorities >>> (tag < 0 ? 8 : tag >>> 13) & 1) !== 0 && !this.#stopped;
  }

  // Whether the clock stands still: packets get no stamps in the buffer then.
  get #stopped(): boolean {
    return (this.#core.file.get(TSAUXC) & TSAUXC.DISABLE_SYSTIME) !== 0;
  }

  // Returns the offset of the message to stamp, or -1.
  #find(bytes: Uint8Array, length: number, offloads: ReceiveOffloads): number {
    const { network, transport } = offloads, type = this.#type;
    const ethertype = read16(bytes, network - 2);
    if (type !== TYPE.L4_V1 && this.#ethertypes.includes(ethertype)) {
      return this.#isMeant(bytes, network, length) ? network : -1;
    }
    if (type === TYPE.L2_V2 || transport < 0 || (offloads.type & RX_TYPE.UDP) === 0) return -1;
    const port = this.#core.file.get(RXMTRL) >>> 16;
    if (read16(bytes, transport + UDP_DESTINATION) !== port) return -1;
    const message = transport + UDP_BYTES;
    return this.#isMeant(bytes, message, length) ? message : -1;
  }

  // Whether the message has the version and the type to stamp.
  #isMeant(bytes: Uint8Array, message: number, length: number): boolean {
    if (message + MESSAGE_BYTES > length) return false;
    const wanted = this.#core.file.get(RXMTRL), version = bytes[message + VERSION] & 0xf;
    if (this.#type === TYPE.L4_V1) {
      return version === 1 && bytes[message + CONTROL] === (wanted & RXMTRL.CTRLT);
    }
    if (version !== 2) return false;
    const id = bytes[message] & 0xf;
    if (this.#type === TYPE.EVENT_V2) return id < GENERAL;
    return id === (wanted & RXMTRL.MSGT) >>> 8 || id === PATH_DELAY_REQUEST ||
      id === PATH_DELAY_RESPONSE;
  }

  #keepSource(bytes: Uint8Array, message: number): void {
    const read32 = (at: number) => (read16(bytes, at) << 16 | read16(bytes, at + 2)) >>> 0;
    const low = read32(message + SOURCE), sequence = read16(bytes, message + SEQUENCE);
    this.#core.time.keepSource(low, (sequence << 16 | read16(bytes, message + SOURCE + 4)) >>> 0);
  }

  // Intel's driver for Linux reads the 64 bits as one little-endian number.
  #append(bytes: Uint8Array, length: number): void {
    const to = this.frame.bytes, { high, low } = this.#core.time.read();
    to.set(bytes.subarray(0, length));
    for (let i = 0; i < 4; i++) {
      to[length + i] = low >>> (8 * i);
      to[length + 4 + i] = high >>> (8 * i);
    }
  }
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}
