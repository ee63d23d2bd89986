/**
 * What becomes of a frame that arrives now, and why: an explanation of the receive side for who looks
 * on. It changes nothing. `receiver.ts` decides; where a decision is more than a comparison, this asks
 * the same code.
 *
 * @module
 */

import {
  HLREG0,
  LINKS,
  MAXFRS,
  MFLCN,
  RXCTRL,
  SECRXCTRL,
  VFTA,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import { nameOf } from "../../src/registers.ts";
import { FRAME, FrameBuffer } from "../frames/frame.ts";
import { Rules } from "../registers/rules.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { KIND } from "./address_filters.ts";
import { explainQueue, type QueueChoice } from "./choice.ts";
import { isPause } from "./flow_control.ts";
import { ReceiveOffloads } from "./offloads.ts";
import type { Reason } from "./reason.ts";
import type { Receiver } from "./receiver.ts";
import { descriptorsFor, type NoRoom, refusal, reshapes } from "./room.ts";
import { STAMP_BYTES } from "./time_stamps.ts";

export type { QueueChoice, Reason };

/** Bytes of a VLAN tag. */
const VLAN_TAG = 4;

/**
 * What becomes of a frame.
 *
 * - `accepted`: it is written to descriptors of its queue.
 * - `waits`: it waits in the packet buffer until it can be.
 * - `missed`: it was for the host, and found no room.
 * - `lost`: it was for the host, and a buffer of the driver's is not in memory that can be written.
 * - `filtered`: it was not for the host.
 * - `too short`, `too long`: its length is not allowed.
 * - `pause`: it is a pause frame that ends in the device.
 * - `ignored`: the receiver is off, or the link down.
 */
export type Verdict =
  | "accepted"
  | NoRoom
  | "filtered"
  | "too short"
  | "too long"
  | "pause"
  | "ignored";

/** What becomes of a frame, with the reason for that. */
export interface Fate extends Reason {
  readonly verdict: Verdict;
  /** Why the address filters accept it, if they do. */
  readonly filter?: Reason;
  /** Its queue, and what chose it, if the filters accept it. */
  readonly choice?: QueueChoice;
  /** How many descriptors it takes, if it is accepted by a queue that does not split or coalesce. */
  readonly descriptors?: number;
}

/** Explains the fates of frames at one port. */
export class Fates {
  readonly #core: DeviceCore;
  readonly #receiver: Receiver;
  /** An inspection of its own, since the receiver needs the results of its last frame. */
  readonly #offloads: ReceiveOffloads;
  readonly #frame = new FrameBuffer();

  /** @param large Whether the redirection table is the X550's. */
  constructor(core: DeviceCore, receiver: Receiver, large: boolean) {
    const rules = new Rules();
    rules.suspended = true; // the receiver has recorded what its settings break
    this.#core = core;
    this.#receiver = receiver;
    this.#offloads = new ReceiveOffloads({ file: core.file, rules }, large, receiver.director);
  }

  /**
   * Explains what would become of a frame.
   *
   * @param bytes The frame, without CRC.
   * @param link Whether the link is up.
   */
  explain(bytes: Uint8Array, link: boolean): Fate {
    const frame = this.#frame, { length } = bytes;
    frame.bytes.fill(0);
    frame.bytes.set(bytes.subarray(0, FrameBuffer.CAPACITY));
    return this.#ignored(link) ?? this.#wrongLength(frame, length) ?? this.#pause(frame) ??
      this.#filtered(frame, length) ?? this.#delivered(frame, length);
  }

  #ignored(link: boolean): Fate | undefined {
    const { file } = this.#core, verdict = "ignored";
    if (file.get(HLREG0) & HLREG0.LPBK) {
      const reason = "HLREG0.LPBK is 1: the port is in loopback, and the wire is cut off.";
      return { verdict, by: "HLREG0.LPBK", reason, section: HLREG0.section };
    }
    if (!link) {
      return { verdict, by: "LINKS.UP", reason: "The link is down.", section: LINKS.section };
    }
    if ((file.get(RXCTRL) & RXCTRL.RXEN) === 0) {
      const reason = "RXCTRL.RXEN is 0: the receiver is off.";
      return { verdict, by: "RXCTRL.RXEN", reason, section: RXCTRL.section };
    }
    if (this.#receiver.receiving) return undefined;
    const reason = "SECRXCTRL.RX_DIS is 1: the receive path is closed.";
    return { verdict, by: "SECRXCTRL.RX_DIS", reason, section: SECRXCTRL.section };
  }

  #wrongLength(frame: FrameBuffer, length: number): Fate | undefined {
    const wireBytes = length + FRAME.CRC;
    if (length < FRAME.MIN) {
      const reason = `The frame has ${wireBytes} bytes with its CRC, and a frame has at least 64.`;
      return { verdict: "too short", by: "RUC", reason, section: "8.2.3.23" };
    }
    const longest = this.#receiver.longest(frame) + FRAME.CRC;
    if (wireBytes <= longest) return undefined;
    const jumbo = (this.#core.file.get(HLREG0) & HLREG0.JUMBOEN) !== 0;
    const by = jumbo ? "MAXFRS" : "HLREG0.JUMBOEN";
    const limit = jumbo
      ? `MAXFRS allows ${longest}`
      : `HLREG0.JUMBOEN is 0, which allows ${longest}`;
    const reason = `The frame has ${wireBytes} bytes with its CRC, and ${limit}.`;
    return { verdict: "too long", by, reason, section: (jumbo ? MAXFRS : HLREG0).section };
  }

  #pause(frame: FrameBuffer): Fate | undefined {
    if (!this.#receiver.flow.discards || !isPause(frame)) return undefined;
    const reason = "The frame is a pause frame, and MFLCN.DPF is 1: it ends in the device.";
    return { verdict: "pause", by: "MFLCN.DPF", reason, section: MFLCN.section };
  }

  #filtered({ words, bytes }: FrameBuffer, length: number): Fate | undefined {
    const { filters } = this.#receiver, verdict = "filtered";
    if (filters.classify(words[0], words[1]) === KIND.REJECTED) {
      return { verdict, ...filters.explain(words[0], words[1]) };
    }
    const offloads = this.#offloads;
    offloads.load();
    offloads.rss.type = 0; // as for a packet that is not hashed
    offloads.inspect(bytes, length, true);
    return offloads.refused ? { verdict, ...this.#wrongVlan(offloads.tag) } : undefined;
  }

  #wrongVlan(tag: number): Reason {
    const { file } = this.#core, id = tag & 0xfff, table = nameOf(VFTA, id >>> 5), bit = id & 31;
    if (file.get(VLNCTRL) & VLNCTRL.VFE && (file.get(VFTA, id >>> 5) >>> bit & 1) === 0) {
      const reason = `VLNCTRL.VFE is 1, and bit ${bit} of ${table}, for VLAN ${id}, is 0.`;
      return { by: table, reason, section: VFTA.section };
    }
    const reason = "VLNCTRL.CFIEN is 1, and the CFI bit of the VLAN tag differs from VLNCTRL.CFI.";
    return { by: "VLNCTRL.CFI", reason, section: VLNCTRL.section };
  }

  // The frame was inspected, and the filters accept it.
  #delivered(frame: FrameBuffer, length: number): Fate {
    const receiver = this.#receiver, offloads = this.#offloads, { dma, file } = this.#core;
    const filter = receiver.filters.explain(frame.words[0], frame.words[1]);
    const choice = explainQueue(offloads, receiver.director, file);
    const queue = receiver.queueAt(choice.queue);
    const buffer = receiver.bufferOf(offloads.trafficClass);
    if (receiver.stamps.appends(frame, length, offloads)) length += STAMP_BYTES;
    if (!receiver.stripsCrc) length += FRAME.CRC;
    const written = queue.strips && offloads.tag >= 0 ? length - VLAN_TAG : length;
    const { busMaster, dmaAllowed } = receiver;
    const refused = refusal({ queue, buffer, dma, busMaster, dmaAllowed }, length, written);
    if (refused) return { ...refused, filter, choice };
    const accepted = { verdict: "accepted", ...filter, filter, choice } as const;
    return reshapes(queue)
      ? accepted
      : { ...accepted, descriptors: descriptorsFor(queue, written) };
  }
}
