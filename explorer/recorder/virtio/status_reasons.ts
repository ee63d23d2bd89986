/**
 * Why the driver sets each bit of the device status (VirtIO 1.3, section 2.1).
 *
 * @module
 */

import { Status } from "../../../virtio/transport.ts";

/** A sentence for each bit. */
export const STATUS_REASONS: Readonly<Record<number, string>> = {
  [Status.ACKNOWLEDGE]: "The driver's system has noticed the device.",
  [Status.DRIVER]: "The system has a driver for the device.",
  [Status.FEATURES_OK]: "The driver has chosen its features, and will not change them any more.",
  [Status.DRIVER_OK]:
    "The driver has set up everything. From here on the device may use the queues, " +
    "and the driver may send notifications.",
};
