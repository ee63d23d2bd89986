/**
 * A slave of the Precision Time Protocol at the other end of a cable: it asks the master for the
 * time of its requests, and records the times that the master sends, which are time stamps of the
 * master's card. Not a test itself.
 *
 * @module
 */

import { FrameBuffer } from "../../sim/frames/frame.ts";
import { DatagramWire } from "../../sim/wires/dgram.ts";
import type { WirePort } from "../../sim/wires/wire.ts";

const GROUP = [0x01, 0x1b, 0x19, 0, 0, 0], MAC = [2, 0, 0, 0, 0x97, 1], ETHERTYPE = 0x88f7;
const FOLLOW_UP = 8, DELAY_RESPONSE = 9, REQUEST_BYTES = 44;
/** Offsets in a frame: message, sequence number, time (seconds and nanoseconds). */
const MESSAGE = 14, SEQUENCE = MESSAGE + 30, SECONDS = MESSAGE + 36, NANOSECONDS = MESSAGE + 40;
const POLL_MS = 2, BUDGET = 64, SHORTEST = 60;

/** Requests a time stamp for each that it receives. */
export class PtpPeer implements WirePort, Disposable {
  readonly receiving = true;
  /** Times in seconds at which the master's card has sent Sync messages, by sequence number. */
  readonly sent: Map<number, number> = new Map();
  /** Times at which it has received the requests that answered them. */
  readonly received: Map<number, number> = new Map();
  readonly #wire: DatagramWire;
  readonly #frame = new FrameBuffer();
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * Creates a slave and opens its socket.
   *
   * @param local Path of its socket.
   * @param remote Path of the software NIC's socket.
   */
  constructor(local: string, remote: string) {
    this.#wire = new DatagramWire(local, remote);
    this.#timer = setInterval(() => this.#wire.poll(this, BUDGET), POLL_MS);
  }

  /** Handles a frame from the wire. */
  receive({ bytes }: FrameBuffer, _length: number): boolean {
    const view = new DataView(bytes.buffer);
    if (view.getUint16(12) !== ETHERTYPE) return true;
    const type = bytes[MESSAGE] & 0xf, sequence = view.getUint16(SEQUENCE);
    const time = view.getUint32(SECONDS) + view.getUint32(NANOSECONDS) / 1e9;
    if (type === DELAY_RESPONSE) this.received.set(sequence, time);
    if (type === FOLLOW_UP) {
      this.sent.set(sequence, time);
      this.#request(sequence);
    }
    return true;
  }

  // Sends a request with the sequence number of the Sync message that it answers.
  #request(sequence: number): void {
    const { bytes } = this.#frame, view = new DataView(bytes.buffer);
    bytes.fill(0, 0, SHORTEST).set([...GROUP, ...MAC]);
    view.setUint16(12, ETHERTYPE);
    bytes.set([1, 2, 0, REQUEST_BYTES], MESSAGE); // Delay_Req, version 2
    bytes.set([...MAC, 0, 0, 0, 1], MESSAGE + 20); // the port's identity
    view.setUint16(SEQUENCE, sequence);
    bytes.set([1, 0x7f], MESSAGE + 32);
    this.#wire.transmit(this.#frame, SHORTEST);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#wire.close();
  }
}
