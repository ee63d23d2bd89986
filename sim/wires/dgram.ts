/**
 * A wire that ends in a Unix datagram socket, one frame a datagram: the format of QEMU's
 * `-netdev dgram`, and a way to join the ports of two models.
 *
 * @module
 */

import { path, stubs, SystemError } from "../../native/native.ts";
import { UsageError } from "../../src/errors.ts";
import { freeSocketPath } from "../socket_path.ts";
import { FrameBuffer, type Wire, type WirePort } from "../wire.ts";
import { pad } from "./pad.ts";
import { SIZE_MAX } from "./stream.ts";

const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
/** Asks for the datagram's length even where it is longer than the buffer. */
const MSG_TRUNC = 0x20;
const HEADER_BYTES = 14;

/** A socket here, and the path of the one that frames are sent to. */
export class DatagramWire implements Wire {
  /** What it is. */
  readonly kind: string = "dgram";
  /** The socket: readable when frames wait. */
  readonly fd: number;
  readonly #local: string;
  readonly #remote: Uint8Array<ArrayBuffer>;
  readonly #frame = new FrameBuffer();
  readonly #fds = new Int32Array(17);
  #received = 0;
  #sent = 0;
  #dropped = 0;
  #missed = 0;

  /**
   * Binds the local socket. The remote one need not be there: what is sent meanwhile is dropped.
   *
   * @param local Path to bind.
   * @param remote Path to send to.
   * @throws {UsageError} if a path will not do.
   */
  constructor(local: string, remote: string) {
    freeSocketPath(local, SOCK_DGRAM);
    this.#local = local;
    this.#remote = path(remote);
    this.fd = stubs.ixy_bind(path(local), SOCK_DGRAM);
    if (this.fd < 0) {
      throw new UsageError(`cannot receive at ${new SystemError(local, -this.fd).message}`);
    }
  }

  /** Sends a frame; without a remote that has room it is dropped. */
  transmit(frame: FrameBuffer, length: number): void {
    const n = stubs.ixy_sendto(this.fd, frame.bytes, length, this.#remote, MSG_DONTWAIT);
    if (n === length) this.#sent++;
    else this.#dropped++;
  }

  /** Hands over the datagrams that wait. */
  poll(port: WirePort, budget: number): number {
    if (!port.receiving) return 0;
    const frame = this.#frame;
    let done = 0;
    while (done < budget) {
      const length = this.#receive();
      if (length < 0) break;
      done++;
      if (length < HEADER_BYTES || length > SIZE_MAX) this.#dropped++;
      else if (!port.receive(frame, pad(frame, length))) this.#missed++;
    }
    this.#received += done;
    return done;
  }

  /** Frames sent, received, dropped, and of those received missed by the port. */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      received: this.#received,
      dropped: this.#dropped,
      missed: this.#missed,
    };
  }

  /** Removes the local socket. */
  close(): void {
    stubs.ixy_close(this.fd);
    stubs.ixy_unlink(path(this.#local));
  }

  #receive(): number {
    const fds = this.#fds;
    const length = stubs.ixy_recv(
      this.fd,
      this.#frame.bytes,
      FrameBuffer.CAPACITY,
      fds,
      MSG_DONTWAIT | MSG_TRUNC,
    );
    // Nobody asked for descriptors, but whoever may send datagrams may send some.
    for (let i = 0; i < fds[16]; i++) stubs.ixy_close(fds[i]);
    return length;
  }
}
