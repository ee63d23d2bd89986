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
  "dma-read header": "The header says which work of the driver the device should do, such as " +
    "checksums: none, so it is all zeros.",
  "dma-read frame": "The device reads the frame from the driver's memory.",
  "dma-read command": "Class and command, then data.",
  "dma-write acknowledgement":
    "The driver reads in this byte whether the device has done it: 0 is OK.",
};
