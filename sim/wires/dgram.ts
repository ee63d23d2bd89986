/**
 * A wire that ends in a Unix datagram socket, one frame a datagram: the format of QEMU's
 * `-netdev dgram`, and a way to join the ports of two models.
 *
 * @module
 */

import { path, stubs } from "../../native/stubs.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { bindSocket, removeSocket, SOCK } from "../system/paths.ts";
import { FileDescriptorWire } from "./file_descriptor.ts";

const MSG_DONTWAIT = 0x40;
/** Asks for the datagram's length even where it is longer than the buffer. */
const MSG_TRUNC = 0x20;

/** A socket here, and the path of the one that frames are sent to. */
export class DatagramWire extends FileDescriptorWire {
  /** What it is. */
  override readonly kind: string = "dgram";
  /** The socket: readable when frames wait. */
  override readonly fd: number;
  readonly #local: string;
  readonly #remote: Uint8Array<ArrayBuffer>;
  readonly #fds = new Int32Array(17);

  /**
   * Binds the local socket. The remote one need not be there: what is sent meanwhile is dropped.
   *
   * @param local Path to bind.
   * @param remote Path to send to.
   * @throws {UsageError} if a path will not do.
   */
  constructor(local: string, remote: string) {
    super();
    this.#local = local;
    this.#remote = path(remote);
    this.fd = bindSocket(local, SOCK.DGRAM);
  }

  /** Without a remote that has room the frame is dropped. */
  protected override write(frame: FrameBuffer, length: number): boolean {
    return stubs.ixy_sendto(this.fd, frame.bytes, length, this.#remote, MSG_DONTWAIT) === length;
  }

  /** Removes the local socket. */
  override close(): void {
    removeSocket(this.#local, this.fd);
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
    // File descriptors are not wanted here, but any sender can attach some.
    for (let i = 0; i < fds[16]; i++) stubs.ixy_close(fds[i]);
    return length;
  }
}
