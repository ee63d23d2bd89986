/**
 * Writes captures of several devices: pcapng files of Ethernet packets, with times in nanoseconds.
 * For each packet they contain the device and the direction, which classic pcap files do not.
 *
 * The names of blocks and options are those of the pcapng specification
 * (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3).
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { CaptureFile, MAX_SNAPLEN, openSink, type Sink, WallClock } from "./capture_file.ts";

/** Whether a packet was received or transmitted. */
export type PacketDirection = "receive" | "transmit";

const SECTION_HEADER = 0x0a0d0d0a, INTERFACE_DESCRIPTION = 1, ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
// Options: a code and a length, 16 bits each, then the value, padded to a multiple of 4 bytes.
const END_OF_OPTIONS = 0, IF_NAME = 2, IF_TSRESOL = 9, EPB_FLAGS = 2, OPTION_HEADER = 4;
const NANOSECONDS = 9; // if_tsresol: a power of 10
const FLAGS: Readonly<Record<PacketDirection, number>> = { receive: 1, transmit: 2 };
/** Bytes of an enhanced packet block before the packet, and of the options and length after it. */
const PACKET_HEADER = 28, PACKET_TRAILER = 16;
/** Longest name of an interface, in bytes. */
const MAX_NAME = 255;
const TWO_16 = 2 ** 16, TWO_32 = 2 ** 32;

/** Writes packets to a file through a buffer. Disposing it writes the rest and closes the file. */
export class PcapngWriter implements Disposable {
  readonly #name: string;
  readonly #sink: Sink & Disposable;
  readonly #file: CaptureFile;
  readonly #snaplen: number;
  readonly #clock = new WallClock();
  #interfaces = 0;
  #packets = 0;
  #closed = false;

  /**
   * Creates a writer, and opens or creates the file. The first write, of the header with the first packets,
   * empties it.
   *
   * @param name Name of the file; `-` is the standard output.
   * @param snaplen Most bytes to keep of a packet, 1 to 65535; default: 65535.
   * @param sink Destination to use instead of the file.
   * @throws {UsageError} if the file cannot be written, or `snaplen` is out of range.
   */
  constructor(name: string, snaplen: number = MAX_SNAPLEN, sink?: Sink & Disposable) {
    if (!(Number.isInteger(snaplen) && snaplen >= 1 && snaplen <= MAX_SNAPLEN)) {
      throw new UsageError(`${name}: a capture keeps 1 to ${MAX_SNAPLEN} bytes, not ${snaplen}`);
    }
    sink ??= openSink(name);
    this.#name = name;
    this.#sink = sink;
    this.#snaplen = snaplen;
    const file = this.#file = new CaptureFile(name, sink), { view } = file;
    view.setUint32(8, BYTE_ORDER_MAGIC, true);
    view.setUint16(12, 1, true); // version 1.0
    view.setBigInt64(16, -1n, true); // the length of the section is unknown
    this.#block(SECTION_HEADER, 24);
  }

  /** Packets written so far. */
  get packets(): number {
    return this.#packets;
  }

  /**
   * Adds an interface.
   *
   * @param name Its name in the capture, up to 255 bytes of UTF-8.
   * @returns Its number, for {@linkcode PcapngWriter.prototype.write}.
   * @throws {RangeError} if the name is longer.
   * @throws {Error} if the capture is closed.
   * @throws {DeviceError} if the file cannot be written.
   */
  addInterface(name: string): number {
    this.#checkOpen();
    const text = new TextEncoder().encode(name);
    if (text.length > MAX_NAME) {
      throw new RangeError(`the name of an interface has ${MAX_NAME} bytes at most: ${name}`);
    }
    const { view, end: at } = this.#file;
    view.setUint16(at + 8, LINKTYPE_ETHERNET, true);
    view.setUint16(at + 10, 0, true);
    view.setUint32(at + 12, this.#snaplen, true);
    let end = this.#option(at + 16, IF_NAME, text);
    end = this.#option(end, IF_TSRESOL, Uint8Array.of(NANOSECONDS));
    this.#block(INTERFACE_DESCRIPTION, this.#option(end, END_OF_OPTIONS) - at);
    return this.#interfaces++;
  }

  /**
   * Appends a packet.
   *
   * @param packet The packet, up to 65535 bytes.
   * @param milliseconds Time of the packet, from `performance.now()`.
   * @param number Number of its interface.
   * @throws {RangeError} if the packet is longer, or there is no such interface.
   * @throws {Error} if the capture is closed.
   * @throws {DeviceError} if the file cannot be written.
   */
  write(
    packet: Uint8Array,
    milliseconds: number,
    number: number,
    direction: PacketDirection,
  ): void {
    this.#checkOpen();
    if (!(number >= 0 && number < this.#interfaces)) {
      throw new RangeError(`${this.#name}: the capture has no interface ${number}`);
    }
    if (packet.length > MAX_SNAPLEN) {
      throw new RangeError(`${this.#name}: a packet of a capture has ${MAX_SNAPLEN} bytes at most`);
    }
    const { bytes, view, end: at } = this.#file;
    const kept = Math.min(packet.length, this.#snaplen);
    view.setUint32(at + 8, number, true);
    this.#setTime(at + 12, milliseconds);
    view.setUint32(at + 20, kept, true);
    view.setUint32(at + 24, packet.length, true);
    bytes.set(kept < packet.length ? packet.subarray(0, kept) : packet, at + PACKET_HEADER);
    const end = pad(bytes, at + PACKET_HEADER + kept);
    view.setUint32(end, EPB_FLAGS | 4 << 16, true);
    view.setUint32(end + 4, FLAGS[direction], true);
    view.setUint32(end + 8, END_OF_OPTIONS, true);
    this.#block(ENHANCED_PACKET, end + PACKET_TRAILER - 4 - at);
    this.#packets++;
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.#name}: the capture is closed`);
  }

  /**
   * Writes nanoseconds since 1970 as two words, the high one first. A double cannot represent them
   * exactly.
   */
  #setTime(at: number, milliseconds: number): void {
    const { view } = this.#file, clock = this.#clock;
    clock.set(milliseconds);
    const upper = Math.floor(clock.seconds / TWO_16) * 1e9;
    const lower = (upper % TWO_16) * TWO_16 + (clock.seconds % TWO_16) * 1e9 + clock.nanoseconds;
    view.setUint32(at, Math.floor(upper / TWO_16) + Math.floor(lower / TWO_32), true);
    view.setUint32(at + 4, lower % TWO_32, true);
  }

  /** Writes an option; returns the offset after it. */
  #option(at: number, code: number, value: Uint8Array = new Uint8Array()): number {
    const { bytes, view } = this.#file;
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + OPTION_HEADER);
    return pad(bytes, at + OPTION_HEADER + value.length);
  }

  /** Appends a block; `bytes` is its length without the last 4 bytes, which repeat the length. */
  #block(type: number, bytes: number): void {
    const { view, end: at } = this.#file, length = bytes + 4;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, length, true);
    view.setUint32(at + bytes, length, true);
    this.#file.append(at + length);
  }

  /**
   * Writes the buffer to the file.
   *
   * @throws {DeviceError} if the file cannot be written.
   */
  flush(): void {
    this.#file.flush();
  }

  /**
   * Writes the buffer to the file and closes the file. Idempotent.
   *
   * @throws {DeviceError} if the file cannot be written. It is closed nevertheless.
   */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    using _sink = this.#sink;
    this.flush();
  }
}

/** Pads with zeros to a multiple of 4, at which every block begins; returns that offset. */
function pad(bytes: Uint8Array, at: number): number {
  const end = (at + 3) & ~3;
  bytes.fill(0, at, end);
  return end;
}
