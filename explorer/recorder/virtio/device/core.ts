/**
 * What the parts of a VirtIO network device share: its queues, what was negotiated, and its observer.
 *
 * @module
 */

import type { DeviceQueue } from "./device_queue.ts";
import type { Observe } from "./events.ts";
import type { FrameFilter } from "./frame_filter.ts";
import type { BrokenRule } from "./rules.ts";

/** Bytes of the header before a packet, struct virtio_net_hdr. */
export const HEADER = 12;

/** A device as its parts see it. */
export interface DeviceCore {
  /** Takes an event. */
  readonly observe: Observe;
  /** The queues that the driver has started, by index: pairs first, then the control queue. */
  readonly queues: readonly DeviceQueue[];
  /** Features that the driver has accepted. */
  readonly taken: bigint;
  /** Whether the driver has finished the initialisation, and the device has no error. */
  readonly running: boolean;
  readonly filter: FrameFilter;
  /** Pairs of queues in use. */
  activePairs: number;
  /** Sets the device's address. */
  setMac(mac: Uint8Array): void;
  /** Records that the driver has broken a rule. */
  report(broken: BrokenRule): void;
}

/** Turns notifications of a queue off or on. The driver sees it in the used ring's flags. */
export function suppressNotifications(device: DeviceCore, index: number, on: boolean): void {
  const queue = device.queues[index];
  if (queue.noNotify === on) return;
  queue.noNotify = on;
  device.observe({ what: "flags", queue: index, noNotify: on });
}

/** Moves the used index of a queue, and sends an interrupt unless the driver needs none. */
export function publishUsed(device: DeviceCore, index: number): void {
  const queue = device.queues[index];
  queue.publish();
  device.observe({ what: "publish", queue: index });
  device.observe({ what: "interrupt", queue: index, suppressed: queue.noInterrupt });
}

/** Takes the next chain of a queue; returns its id. */
export function takeChain(device: DeviceCore, index: number): number {
  const queue = device.queues[index], position = queue.taken, id = queue.take();
  device.observe({ what: "take", queue: index, position, id });
  return id;
}

/** Puts a chain into the used ring. The driver does not see it before the used index moves. */
export function returnChain(device: DeviceCore, index: number, id: number, length: number): void {
  const place = device.queues[index].write(id, length);
  device.observe({ what: "used", queue: index, place, id, length });
}
