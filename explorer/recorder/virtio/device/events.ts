/**
 * What a VirtIO device tells its observer: everything that it does with frames and virtqueues, at once
 * after it has done it.
 *
 * @module
 */

import type { Decision } from "../../../recording/step.ts";
import type { BrokenRule } from "./rules.ts";

/** A frame on its way into a device. */
export interface Frame {
  /** Its number from 1, in the order of arrival. */
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** What a part of a buffer holds: the header before a packet, the packet, or parts of a command. */
export type Part = "header" | "frame" | "command" | "acknowledgement";

/** Something that the device has done. `queue` is the virtqueue's index on the device. */
export type DeviceEvent =
  /** A frame came from the wire; events about receive queues up to the next frame are about it. */
  | { readonly what: "arrive"; readonly frame: Frame }
  /** The device has accepted it for a queue, or dropped it. */
  | { readonly what: "decide"; readonly queue: number; readonly decision: Decision }
  | { readonly what: "drop"; readonly decision: Decision }
  /** The device keeps it until chains are available; later it goes on with it. */
  | { readonly what: "wait"; readonly queue: number }
  | { readonly what: "resume"; readonly frame: Frame }
  /** The device has read an entry of the available ring. */
  | {
    readonly what: "take";
    readonly queue: number;
    readonly position: number;
    readonly id: number;
  }
  /** The device has read a descriptor. */
  | { readonly what: "fetch"; readonly queue: number; readonly index: number }
  /** The device has written to, or read from, a descriptor's buffer. */
  | {
    readonly what: "dma-write" | "dma-read";
    readonly queue: number;
    readonly index: number;
    readonly address: number;
    readonly part: Part;
    readonly bytes: Uint8Array;
  }
  /** The device has written an entry of the used ring; then, the used index. */
  | {
    readonly what: "used";
    readonly queue: number;
    readonly place: number;
    readonly id: number;
    readonly length: number;
  }
  | { readonly what: "publish"; readonly queue: number }
  /** The device would send an interrupt, and has looked at the flags of the available ring. */
  | { readonly what: "interrupt"; readonly queue: number; readonly suppressed: boolean }
  /** The device has changed its flags of the used ring. */
  | { readonly what: "flags"; readonly queue: number; readonly noNotify: boolean }
  /** The device has sent a frame to the wire. */
  | { readonly what: "send"; readonly queue: number; readonly bytes: Uint8Array }
  /** The device has executed a command of the control queue, or refused it: its class and number. */
  | {
    readonly what: "command";
    readonly group: number;
    readonly number: number;
    readonly accepted: boolean;
  }
  /** The device has found a broken rule. */
  | { readonly what: "violation"; readonly broken: BrokenRule };

/** Takes the events of a device. */
export type Observe = (event: DeviceEvent) => void;
