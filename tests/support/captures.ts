/**
 * Frames from and to capture files, for tests that replay some. Not a test itself.
 *
 * @module
 */

import { PcapReader } from "../../sim/wires/pcap_file.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { MAX_SNAPLEN, openSink, PcapWriter } from "../../packets/pcap_writer.ts";

/** Writes frames to a capture file. */
export function writeCapture(file: string, frames: readonly Uint8Array[]): void {
  using sink = openSink(file);
  const writer = new PcapWriter(file, sink, MAX_SNAPLEN);
  for (const frame of frames) writer.write(frame, performance.now());
  writer.flush();
}

/** The frames of a capture file. */
export function readCapture(file: string): Uint8Array[] {
  const reader = new PcapReader(file), buffer = new FrameBuffer(), frames: Uint8Array[] = [];
  for (let length; (length = reader.next(buffer)) >= 0;) frames.push(buffer.bytes.slice(0, length));
  reader.close();
  return frames;
}
