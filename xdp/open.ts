/**
 * Opens a network interface of Linux: what is checked before anything changes, and in which order.
 *
 * @module
 */

import type { OpenOptions } from "../src/device.ts";
import { queueOptions } from "../src/driver.ts";
import { makeCalls, UsageError } from "../src/errors.ts";
import { refuseOptions } from "../src/options.ts";
import { HEADROOM } from "./abi.ts";
import { checkPorts } from "./attachment.ts";
import { checkFrames, checkQueues, checkUnused, modeOf } from "./checks.ts";
import { XdpDevice } from "./device.ts";
import { NetworkInterface } from "./interface.ts";
import { isBond } from "./kernel_use.ts";
import { parseSelection } from "./program.ts";

/** The most queues: far more than the channels of an interface. */
const LIMITS = { rx: 64, tx: 64, headroom: HEADROOM } as const;

/**
 * Opens a network interface.
 *
 * @param name The interface's name.
 * @throws {UsageError} if there is no such interface; the kernel uses it; its driver lacks the mode; it is a bond,
 * and a port of it has an XDP program; an option is out of range; or a permission or memory is missing. Nothing
 * has changed then.
 * @throws {DeviceError} if the kernel refuses for another reason.
 */
export async function openXdp(
  address: string,
  name: string,
  options: OpenOptions,
): Promise<XdpDevice> {
  refuseOptions(address, "AF_XDP", options, ["rssKey", "speeds", "virtio"]);
  const { rxQueues = 1, txQueues = 1, force = false, xdp = {} } = options;
  if (rxQueues !== txQueues) {
    throw new UsageError(
      `${address}: an AF_XDP socket receives and sends, so there are as many receive queues as transmit ` +
        `queues, not ${rxQueues} and ${txQueues}: set both numbers to the same value`,
      { option: "txQueues" },
    );
  }
  const { mode = "auto" } = xdp, selection = parseSelection(address, xdp);
  using opened = new DisposableStack();
  const at = opened.adopt(new NetworkInterface(address, name), (at) => at.close());
  const queues = queueOptions(address, options, LIMITS);
  if (queues.ownPool) opened.use(queues.pool);
  checkQueues(address, at, rxQueues);
  checkFrames(address, at, queues.pool);
  if (!force) checkUnused(address, at);
  const bond = makeCalls(address, () => isBond(at.index));
  const possible = modeOf(address, bond, mode);
  if (bond) await checkPorts(address, at);
  const device = new XdpDevice(address, at, queues);
  opened.move(); // the device owns the pool and the interface from here on
  using failed = new DisposableStack();
  failed.use(device);
  await device.start(possible, selection, options);
  failed.move();
  return device;
}
