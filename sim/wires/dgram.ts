/**
 * A wire to a Unix datagram socket, with one frame in each datagram. It is the format of QEMU's
 * `-netdev dgram`, and can connect the ports of two models.
 *
 * @module
 */

import { path, stubs } from "../../native/stubs.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { BoundSocket, SOCK } from "../../src/bound_socket.ts";
import { FileDescriptorWire } from "./file_descriptor.ts";

const MSG_DONTWAIT = 0x40;
/** Makes recv() return a datagram's full length, even if it exceeds the buffer. */
const MSG_TRUNC = 0x20;

/** A local socket, and the path of the remote one that takes frames. */
export class DatagramWire extends FileDescriptorWire {
  /** Kind of wire. */
  override readonly kind: string = "dgram";
  /** The socket: readable when frames wait. */
  override readonly fd: number;
  readonly #socket: BoundSocket;
  readonly #remote: Uint8Array<ArrayBuffer>;
  readonly #fds = new Int32Array(17);

  /**
   * Binds the local socket. Frames are dropped while the remote one does not exist.
   *
   * @param local Path to bind.
   * @param remote Path to send to.
   * @throws {UsageError} if the local path cannot be bound.
   */
  constructor(local: string, remote: string) {
    super();
    this.#remote = path(remote);
    this.#socket = new BoundSocket(local, SOCK.DGRAM);
    this.fd = this.#socket.fd;
  }

  /** Sends a frame; returns false if the remote socket does not exist or has no room. */
  protected override write(frame: FrameBuffer, length: number): boolean {
    return stubs.ixy_sendto(this.fd, frame.bytes, length, this.#remote, MSG_DONTWAIT) === length;
  }

  /** Removes the local socket. */
  override close(): void {
    this.#socket.close();
  }

  protected override read(): number {
    const fds = this.#fds;
    const length = stubs.ixy_recv(
      this.fd,
      this.frame.bytes,
      FrameBuffer.CAPACITY,
      fds,
      MSG_DONTWAIT | MSG_TRUNC,
    );
    // Any sender can attach file descriptors, which have no use here.
    for (let i = 0; i < fds[16]; i++) stubs.ixy_close(fds[i]);
    return length;
  }
}
