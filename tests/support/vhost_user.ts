/**
 * What the tests against vhost-user back-ends share: devices opened with options that `open` does
 * not have, and frames to send through them. Not a test itself.
 *
 * @module
 */

import { type Device, type OpenOptions, PacketBatch } from "../../mod.ts";
import { openVirtio, type VirtioDevice } from "../../virtio/device.ts";
import { type VhostUserOptions, VhostUserTransport } from "../../virtio/vhost_user.ts";
import { until } from "./processes.ts";

/** Sizes of Ethernet frames without CRC. */
export const SHORTEST = 60, LONGEST = 1514;

/** Opens the device behind a socket. */
export function openVhost(
  socket: string,
  how: VhostUserOptions,
  options: OpenOptions,
): Promise<VirtioDevice> {
  const address = `vhost-user:${socket}`;
  return openVirtio(address, options, () => new VhostUserTransport(address, socket, how));
}

/** Returns a frame of each size, no two alike. */
export function everySize(): Uint8Array[] {
  return Array.from({ length: LONGEST - SHORTEST + 1 }, (_, n) => {
    const frame = Uint8Array.from({ length: SHORTEST + n }, (_, i) => 31 * i + 7 * n + (i >> 8));
    frame[0] &= ~1; // unicast
    return frame;
  });
}

/** Returns copies of the packets that have arrived on a pair of queues. */
export function receiveAll(device: Device, pair = 0): Uint8Array[] {
  const queue = device.rxQueues[pair];
  const batch = new PacketBatch(queue.pool), frames: Uint8Array[] = [];
  try {
    while (queue.receive(batch) > 0) {
      for (const packet of batch) frames.push(packet.slice());
      batch.free();
    }
  } finally {
    batch.free(); // packets received before an error
  }
  return frames;
}

/** Sends frames in order on a pair of queues, and waits for room in the ring. */
export async function sendAll(
  device: Device,
  frames: readonly Uint8Array[],
  pair = 0,
): Promise<void> {
  const queue = device.txQueues[pair];
  const batch = new PacketBatch(queue.pool);
  let next = 0;
  await until("all frames to be sent", () => {
    while (next < frames.length && batch.add(frames[next])) next++;
    queue.transmit(batch);
    return next === frames.length && batch.length === 0;
  });
}
