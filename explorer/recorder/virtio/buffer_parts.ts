/**
 * The parts of buffers in words, and why the device moves them.
 *
 * @module
 */

import type { Part } from "./device/events.ts";

/** What a part of a buffer is called. */
export const PARTS: Readonly<Record<Part, string>> = {
  header: "virtio_net_hdr",
  frame: "the frame",
  command: "a part of the command",
  acknowledgement: "the acknowledgement",
};
/** Why the device moves a part of a buffer. */
export const WHY: Readonly<Record<string, string>> = {
  "dma-write header":
    "The header comes before the frame. num_buffers says over how many chains the " +
    "device has spread the frame (MRG_RXBUF).",
  "dma-write frame": "The frame follows the header.",
  "dma-read header":
    "The header says what the device should do for the driver, such as checksums. Here it " +
    "should do nothing, so the header is all zeros.",
  "dma-read frame": "The device reads the frame from the driver's memory.",
  "dma-read command": "The device reads the command: its class and number, then its data.",
  "dma-write acknowledgement":
    "This byte tells the driver whether the device has executed the command: 0 is OK.",
};
