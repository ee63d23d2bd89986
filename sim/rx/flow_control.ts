/**
 * Pause frames of IEEE 802.3x (datasheet section 3.7.7): those that arrive pause the transmitter, and
 * the fill level of the first packet buffer sends them. There are none by priority (802.1Qbb).
 *
 * @module
 */

import {
  FCCFG,
  FCRTH,
  FCRTL,
  FCRTV,
  FCTTV,
  GOTCL,
  GPTC,
  LXOFFRXCNT,
  LXOFFTXC,
  LXONRXCNT,
  LXONTXC,
  MFLCN,
  MPTC,
  PTC64,
  RAH,
  RAL,
  TPT,
} from "../../ixgbe/registers.ts";
import { FRAME, FrameBuffer } from "../frames/frame.ts";
import type { DeviceCore } from "../rings/ring.ts";

/** The first four bytes of the address of pause frames, 01:80:c2:00:00:01, as a word. */
export const PAUSE_ADDRESS = 0x00c28001;
/** The last two bytes of the address; EtherType and opcode, behind both addresses. */
const ADDRESS_END = 0x0100, TYPE_AND_OPCODE = 0x01000888;
const ADDRESS = [0x01, 0x80, 0xc2, 0, 0, 1], TYPE = [0x88, 0x08, 0, 1];
/** Bit times of a unit of pause times. */
const QUANTUM = 512;

/** Sends and obeys pause frames. */
export class FlowControl {
  /** Whether fill levels send frames. */
  sends = false;
  /** Whether the partner was paused. */
  stopped = false;
  /** Speed of the link in Mb/s. */
  megabits = 10_000;
  /** Pauses the transmitter for a time in milliseconds. */
  onPause: ((milliseconds: number) => void) | undefined;
  /** Sends a frame to the wire. */
  onSend: ((frame: FrameBuffer, length: number) => void) | undefined;
  readonly #core: DeviceCore;
  readonly #frame = new FrameBuffer();
  /** Whether pause frames end here, and do not come to the filters (MFLCN.DPF). */
  discards = false;
  #obeys = false;
  /** Fill levels in bytes above which to pause the partner, and below which to let it go on. */
  #high = 0;
  #low = 0;
  #sendsXon = false;
  #refreshAt = 0;

  constructor(core: DeviceCore) {
    this.#core = core;
  }

  /** Forgets that the partner was paused, and loads the settings. */
  reset(): void {
    this.stopped = false;
    this.load();
  }

  /** Loads the settings from the registers. */
  load(): void {
    const { file } = this.#core, control = file.get(MFLCN);
    this.#obeys = (control & MFLCN.RFCE) !== 0;
    this.discards = (control & MFLCN.DPF) !== 0;
    const high = file.get(FCRTH), low = file.get(FCRTL);
    this.#high = high & FCRTH.RTH;
    this.#low = low & FCRTL.RTL;
    this.#sendsXon = (low & FCRTL.XONE) !== 0;
    this.sends = (file.get(FCCFG) & FCCFG.TFCE_LINK) !== 0 && (high & FCRTH.FCEN) !== 0;
  }

  /**
   * Takes a frame that begins with {@linkcode PAUSE_ADDRESS}.
   *
   * @returns Whether it is a pause frame that ends here; filters decide on others.
   */
  takes(frame: FrameBuffer): boolean {
    const { bytes } = frame;
    if (!isPause(frame)) return false;
    const quanta = bytes[16] << 8 | bytes[17];
    this.#core.statistics.add(quanta === 0 ? LXONRXCNT : LXOFFRXCNT, 1);
    if (this.#obeys) this.onPause?.(this.#milliseconds(quanta));
    return this.discards;
  }

  /** Pauses the partner, or lets it go on, by the bytes in the packet buffer. */
  level(bytes: number): void {
    if (!this.stopped && bytes > this.#high) this.#stop();
    else if (this.stopped && bytes < this.#low) {
      this.stopped = false;
      if (this.#sendsXon) this.#send(0);
    }
  }

  /** Looks again after the partner was paused: it is paused anew before its time is over (FCRTV). */
  look(bytes: number): void {
    if (!this.sends) this.stopped = false;
    else this.level(bytes);
    if (this.stopped && performance.now() >= this.#refreshAt) this.#stop();
  }

  #stop(): void {
    const { file } = this.#core, time = file.get(FCTTV) & 0xffff;
    this.stopped = true;
    this.#refreshAt = performance.now() + this.#milliseconds(time - (file.get(FCRTV) & 0xffff));
    this.#send(time);
  }

  #milliseconds(quanta: number): number {
    return Math.max(0, quanta) * QUANTUM / (this.megabits * 1000);
  }

  #send(quanta: number): void {
    const { file, statistics } = this.#core, { bytes } = this.#frame;
    const low = file.get(RAL), high = file.get(RAH);
    const source = [low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8];
    bytes.fill(0, 0, FRAME.MIN);
    bytes.set([...ADDRESS, ...source, ...TYPE, quanta >> 8, quanta]);
    statistics.add(quanta === 0 ? LXONTXC : LXOFFTXC, 1);
    // They count as packets, too: Intel's drivers subtract them.
    for (const count of [GPTC, TPT, MPTC, PTC64]) statistics.add(count, 1);
    statistics.add(GOTCL, FRAME.MIN + FRAME.CRC);
    this.onSend?.(this.#frame, FRAME.MIN);
  }
}

/** Returns whether a frame is a pause frame. */
export function isPause({ words }: FrameBuffer): boolean {
  return words[0] === PAUSE_ADDRESS && (words[1] & 0xffff) === ADDRESS_END &&
    words[3] === TYPE_AND_OPCODE;
}
