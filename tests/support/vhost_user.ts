/**
 * What the tests against vhost-user back-ends share: devices opened with options that `open` does
 * not have, and frames to send through them. Not a test itself.
 *
 * @module
 */

import { type Device, type OpenOptions, PacketBatch } from "../../mod.ts";
import { openVirtio, type VirtioDevice } from "../../virtio/device.ts";
import { type VhostUserOptions, VhostUserTransport } from "../../virtio/vhost_user.ts";
import { VhostUserSocket } from "../../virtio/vhost_user_socket.ts";
import { Program, PROJECT, type TemporaryDirectory, until } from "./processes.ts";
import type { StrictOptions, StrictReport } from "./strict_backend.ts";

/** Sizes of Ethernet frames without CRC. */
export const SHORTEST = 60, LONGEST = 1514;

/** The process of `strict_backend.ts`. */
export class StrictBackend implements AsyncDisposable {
  private constructor(readonly socket: string, readonly program: Program) {}

  /** Starts it with one pair of queues of 256 descriptors and all features, for one connection. */
  static async start(
    directory: TemporaryDirectory,
    options: Partial<StrictOptions> = {},
  ): Promise<StrictBackend> {
    const socket = directory.file("strict.sock");
    const all: StrictOptions = {
      ...{ features: (1n << 32n).toString(16), protocol: "9", queues: 2, size: 256 },
      ...{ connections: 1, client: false, ...options },
    };
    const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi"];
    const file = `${PROJECT}tests/support/strict_backend.ts`;
    const program = Program.start([...deno, file, socket, JSON.stringify(all)]);
    const backend = new StrictBackend(socket, program);
    try {
      await program.line((line) => line === "ready");
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return backend;
  }

  /** Returns the report on the next connection that has ended. */
  async report(): Promise<StrictReport> {
    return JSON.parse(await this.program.line(() => true));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/** How to open a device: options that `open` does not have. */
export interface VhostHow extends VhostUserOptions {
  /** Longest that the back-end may take to answer, in milliseconds. */
  readonly milliseconds?: number;
}

/** Opens the device behind a socket. */
export function openVhost(
  socket: string,
  { milliseconds, ...how }: VhostHow,
  options: OpenOptions,
): Promise<VirtioDevice> {
  const address = `vhost-user:${socket}`;
  return openVirtio(address, options, () => {
    return new VhostUserTransport(VhostUserSocket.connect(address, socket, milliseconds), how);
  });
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
