/**
 * Reads and writes capture files, for tests that replay frames. Not a test itself.
 *
 * @module
 */

import { PcapReader } from "../../sim/wires/pcap_file.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { MAX_SNAPLEN, openSink, PcapWriter } from "../../packets/pcap_writer.ts";
import { tool } from "./processes.ts";

/** Writes frames to a capture file. */
export function writeCapture(file: string, frames: readonly Uint8Array[]): void {
  using sink = openSink(file);
  const writer = new PcapWriter(file, sink, MAX_SNAPLEN);
  for (const frame of frames) writer.write(frame, performance.now());
  writer.flush();
}

/** Returns the frames of a capture file. */
export function readCapture(file: string): Uint8Array[] {
  const reader = new PcapReader(file), buffer = new FrameBuffer(), frames: Uint8Array[] = [];
  for (let length; (length = reader.next(buffer)) >= 0;) frames.push(buffer.bytes.slice(0, length));
  reader.close();
  return frames;
}

/** A packet of a pcapng file. */
export interface CapturedPacket {
  /** The name of its interface. */
  readonly device: string;
  readonly direction: "receive" | "transmit";
  /** Seconds since 1970. */
  readonly time: number;
  readonly bytes: Uint8Array;
}

/** Returns the packets of a pcapng file, as tshark reads them. */
export async function readPcapng(file: string): Promise<CapturedPacket[]> {
  const names = ["frame.interface_name", "frame.packet_flags_direction", "frame.time_epoch"];
  const fields = ["-T", "fields", ...names.flatMap((name) => ["-e", name])];
  const lines = await tool("tshark", "-n", "-r", file, ...fields);
  // The bytes of all packets: lines of hexadecimal digits, with an empty line after each packet.
  const dumps = (await tool("tshark", "-n", "-r", file, "-x")).trimEnd().split("\n\n");
  return lines.trimEnd().split("\n").map((line, i) => {
    const [device, direction, time] = line.split("\t");
    const digits = dumps[i].split("\n").map((row) => row.slice(6, 53).replaceAll(" ", ""));
    return {
      device,
      direction: Number(direction) === 1 ? "receive" : "transmit",
      time: Number(time),
      bytes: Uint8Array.fromHex(digits.join("")),
    };
  });
}
