/**
 * A wire to a TAP device: the port's peer is the network stack of this machine.
 *
 * @module
 */

import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { FileDescriptorWire } from "./file_descriptor.ts";

const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Bytes of struct ifreq, and of the name at its start, NUL included. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** A TAP device. If the wire has created it, it ends with the wire. */
export class TapWire extends FileDescriptorWire {
  /** Kind of wire. */
  override readonly kind: string = "tap";
  /** The kernel at the other end counts pause frames, and does not obey them. */
  readonly ignoresPause: boolean = true;
  /** The device's descriptor: readable when the machine has sent a frame. */
  override readonly fd: number;

  /**
   * Creates the device, or opens a persistent one.
   *
   * @param name The interface's name, 1 to 15 bytes.
   * @throws {UsageError} if the name is not valid, the device is in use, or permission is missing.
   */
  constructor(name: string) {
    super();
    const encoded = new TextEncoder().encode(name);
    if (encoded.length === 0 || encoded.length >= NAME_BYTES || /[\s/%\0]/.test(name)) {
      throw new UsageError(
        `"${name}" is not an interface name: give 1 to 15 bytes without space, NUL, "/" and "%"`,
      );
    }
    const request = new Uint8Array(IFREQ_BYTES);
    request.set(encoded);
    new DataView(request.buffer).setUint16(NAME_BYTES, IFF_TAP | IFF_NO_PI, true);
    this.fd = stubs.ixy_open(path("/dev/net/tun"), O_RDWR | O_NONBLOCK, 0);
    if (this.fd < 0) throw refusal(name, -this.fd);
    const result = stubs.ixy_ioctl(this.fd, TUNSETIFF, request);
    if (result >= 0) return;
    stubs.ixy_close(this.fd);
    throw refusal(name, -result);
  }

  /** Writes a frame; returns false if the interface is down. */
  protected override write(frame: FrameBuffer, length: number): boolean {
    return stubs.ixy_write(this.fd, frame.bytes, length) === length;
  }

  protected override read(): number {
    return stubs.ixy_read(this.fd, this.frame.bytes, FrameBuffer.CAPACITY);
  }

  /** Closes the device; it is removed if it is not persistent. */
  override close(): void {
    stubs.ixy_close(this.fd);
  }
}

function refusal(name: string, errno: number): UsageError {
  switch (errno) {
    case Errno.EPERM:
    case Errno.EACCES:
      return new UsageError(
        `no permission to make TAP device ${name}: run as root, in a container with ` +
          "`--cap-add NET_ADMIN --device /dev/net/tun`",
      );
    case Errno.EBUSY:
      return new UsageError(`TAP device ${name} is in use by another process: choose another name`);
    case Errno.EINVAL:
      return new UsageError(
        `${name} is another kind of interface, not a TAP device: choose another name`,
      );
    case Errno.ENOENT:
    case Errno.ENODEV:
      return new UsageError(
        "/dev/net/tun does not exist: load the module tun, in a container use " +
          "`--cap-add NET_ADMIN --device /dev/net/tun`",
      );
    default:
      return new UsageError(`cannot make ${new SystemError(`TAP device ${name}`, errno).message}`);
  }
}
