/**
 * Waiting for a link, the same for all drivers.
 *
 * @module
 */

import type { LinkStatus } from "./device.ts";
import { DeviceError } from "./errors.ts";

/**
 * Waits until a link is up.
 *
 * @param status Asks the device.
 * @throws {DeviceError} if the link is still down after so many milliseconds.
 */
export async function waitForLink(
  device: string,
  status: () => LinkStatus,
  milliseconds: number,
): Promise<LinkStatus> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const now = status();
    if (now.up) return now;
    if (performance.now() >= deadline) {
      throw new DeviceError(
        device,
        `no link after ${milliseconds} ms: check the cable, the module and the other end`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
