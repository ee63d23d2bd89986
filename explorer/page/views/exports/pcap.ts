/**
 * A recording's frames as a pcap file.
 *
 * @module
 */

import type { Recording } from "../../../recording/recording.ts";
import type { Step } from "../../../recording/step.ts";

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2, VERSION_MINOR = 4, LINKTYPE_ETHERNET = 1;
const FILE_HEADER = 24, RECORD_HEADER = 16;
/** The longest frame that a reader has to expect, in bytes. */
const SNAPLEN = 65535;
const NANOSECONDS = 1e9;

/**
 * Returns the frames that arrive from the wire and are sent to it, as a pcap file. The time of a frame is
 * the number of its step in nanoseconds, since a recording knows the order of steps only.
 */
export function pcapOf(recording: Recording): Uint8Array<ArrayBuffer> {
  const frames = framesOf(recording);
  const size = frames.reduce((sum, { bytes }) => sum + RECORD_HEADER + bytes.length, FILE_HEADER);
  const file = new Uint8Array(size), view = new DataView(file.buffer);
  view.setUint32(0, MAGIC_NANOSECONDS, true);
  view.setUint16(4, VERSION_MAJOR, true);
  view.setUint16(6, VERSION_MINOR, true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  let at = FILE_HEADER;
  for (const { step, bytes } of frames) {
    view.setUint32(at, Math.floor(step / NANOSECONDS), true);
    view.setUint32(at + 4, step % NANOSECONDS, true);
    view.setUint32(at + 8, bytes.length, true);
    view.setUint32(at + 12, bytes.length, true);
    file.set(bytes, at + RECORD_HEADER);
    at += RECORD_HEADER + bytes.length;
  }
  return file;
}

interface Frame {
  readonly step: number;
  readonly bytes: Uint8Array;
}

function framesOf(recording: Recording): Frame[] {
  const frames: Frame[] = [];
  for (let step = recording.first; step < recording.end; step++) {
    const { kind, bytes }: Step = recording.at(step)!;
    if ((kind === "arrive" || kind === "send") && bytes !== undefined) frames.push({ step, bytes });
  }
  return frames;
}
