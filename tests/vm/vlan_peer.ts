/**
 * A host in a VLAN at the other end of a cable, which receives frames with their tags. Not every
 * kernel that runs the tests supports VLANs. Not a test itself.
 *
 * @module
 */

import { Responder } from "../../packets/responder.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import type { WirePort } from "../../sim/wires/wire.ts";
import { DatagramWire } from "../../sim/wires/dgram.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0x98, 1);
/** Bytes of both Ethernet addresses, which precede the tag, and of the tag. */
const ADDRESSES = 12, TAG_BYTES = 4, TYPE_VLAN = [0x81, 0x00];
const SHORTEST = 60, POLL_MS = 2, BUDGET = 64;

/** Answers ARP and ping in one VLAN, and records what it receives. */
export class VlanPeer implements WirePort, Disposable {
  readonly receiving = true;
  /** The tag of each frame received, or -1 for an untagged frame. */
  readonly tags: number[] = [];
  /** Bytes of all frames received. */
  bytes = 0;
  readonly #wire: DatagramWire;
  readonly #id: number;
  readonly #ip: Uint8Array;
  readonly #responder: Responder;
  readonly #frame = new FrameBuffer();
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * Creates a host and opens its socket.
   *
   * @param local Path of its socket.
   * @param remote Path of the software NIC's socket.
   * @param id The VLAN.
   * @param address Its IPv4 address.
   */
  constructor(local: string, remote: string, id: number, address: string) {
    this.#wire = new DatagramWire(local, remote);
    this.#id = id;
    this.#ip = Uint8Array.from(address.split("."), Number);
    this.#responder = new Responder(MAC, this.#ip);
    this.#timer = setInterval(() => this.#wire.poll(this, BUDGET), POLL_MS);
  }

  /** Handles a frame from the wire, and answers if it has the tag of this VLAN. */
  receive({ bytes }: FrameBuffer, length: number): boolean {
    const tagged = TYPE_VLAN.every((byte, i) => bytes[ADDRESSES + i] === byte);
    this.tags.push(tagged ? bytes[ADDRESSES + 2] << 8 | bytes[ADDRESSES + 3] : -1);
    this.bytes += length;
    if (this.tags.at(-1) !== this.#id) return true;
    const frame = this.#frame.bytes;
    frame.set(bytes.subarray(0, ADDRESSES));
    frame.set(bytes.subarray(ADDRESSES + TAG_BYTES, length), ADDRESSES);
    if (this.#responder.answer(frame, length - TAG_BYTES) !== "ignored") {
      this.#send(this.#id, this.#responder.length);
    }
    return true;
  }

  /** Sends an ARP request for an address, in any VLAN. */
  ask(id: number, address: string): void {
    const wanted = Uint8Array.from(address.split("."), Number);
    const frame = this.#frame.bytes.fill(0, 0, SHORTEST);
    frame.fill(0xff, 0, 6);
    frame.set(MAC, 6);
    frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...MAC, ...this.#ip], ADDRESSES);
    frame.set(wanted, 38);
    this.#send(id, SHORTEST);
  }

  #send(id: number, length: number): void {
    const frame = this.#frame.bytes;
    frame.copyWithin(ADDRESSES + TAG_BYTES, ADDRESSES, length);
    frame.set([...TYPE_VLAN, id >> 8, id & 0xff], ADDRESSES);
    this.#wire.transmit(this.#frame, length + TAG_BYTES);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#wire.close();
  }
}
