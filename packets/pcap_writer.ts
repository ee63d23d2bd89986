/**
 * Writes captures: classic pcap files of Ethernet packets, with times in nanoseconds.
 *
 * @module
 */

import { CaptureFile, type Sink, WallClock } from "./capture_file.ts";

export { MAX_SNAPLEN, openSink, type Sink } from "./capture_file.ts";

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2, VERSION_MINOR = 4;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER = 24, RECORD_HEADER = 16;

/** Writes packets to a file through a buffer. */
export class PcapWriter {
  readonly #file: CaptureFile;
  readonly #snaplen: number;
  readonly #clock = new WallClock();

  /**
   * Creates a writer. The file's header is written with the first packets.
   *
   * @param name Name of the file, for messages.
   * @param snaplen Most bytes to keep of a packet, up to 65535.
   */
  constructor(name: string, sink: Sink, snaplen: number) {
    this.#file = new CaptureFile(name, sink);
    this.#snaplen = snaplen;
    const { view } = this.#file;
    view.setUint32(0, MAGIC_NANOSECONDS, true);
    view.setUint16(4, VERSION_MAJOR, true);
    view.setUint16(6, VERSION_MINOR, true);
    view.setUint32(16, snaplen, true);
    view.setUint32(20, LINKTYPE_ETHERNET, true);
    this.#file.append(FILE_HEADER);
  }

  /** Whether there is room for a packet: always, if the sink waits for its reader. */
  get hasRoom(): boolean {
    return this.#file.hasRoom;
  }

  /** Whether everything was written. */
  get isEmpty(): boolean {
    return this.#file.isEmpty;
  }

  /**
   * Appends a packet.
   *
   * @param packet The packet, up to 65535 bytes.
   * @param milliseconds Time of its arrival, from `performance.now()`.
   * @throws {DeviceError} if the file cannot be written.
   */
  write(packet: Uint8Array, milliseconds: number): void {
    const kept = Math.min(packet.length, this.#snaplen), clock = this.#clock;
    const { bytes, view, end: at } = this.#file;
    clock.set(milliseconds);
    view.setUint32(at, clock.seconds, true);
    view.setUint32(at + 4, clock.nanoseconds, true);
    view.setUint32(at + 8, kept, true);
    view.setUint32(at + 12, packet.length, true);
    bytes.set(kept < packet.length ? packet.subarray(0, kept) : packet, at + RECORD_HEADER);
    this.#file.append(at + RECORD_HEADER + kept);
  }

  /**
   * Writes the buffer to the file.
   *
   * @throws {DeviceError} if the file cannot be written.
   */
  flush(): void {
    this.#file.flush();
  }
}
