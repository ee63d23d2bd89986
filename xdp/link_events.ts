/**
 * Events of links, as an interrupt: a netlink socket that becomes readable when the state of any interface
 * changes.
 *
 * @module
 */

import { Errno, stubs } from "../native/stubs.ts";
import { checkCall } from "../src/errors.ts";
import { AF, MSG_DONTWAIT, SOCK } from "./abi.ts";
import { Netlink } from "./netlink.ts";

/** The group of messages about interfaces (RTMGRP_LINK). */
const GROUP_LINK = 1;
/** The level of netlink's options, and the option that keeps lost messages from being errors. */
const SOL_NETLINK = 270, NETLINK_NO_ENOBUFS = 5;

/** A socket that is readable after a link has changed, until {@linkcode LinkEvents.prototype.clear}. */
export class LinkEvents {
  /** Its file descriptor. */
  readonly fd: number;
  readonly #message = new Uint8Array(64);
  readonly #nothing = new Int32Array(17);

  /**
   * @param address The device's address, for messages.
   * @throws {DeviceError} if the kernel refuses.
   */
  constructor(address: string) {
    const call = "listen to changes of links";
    const kind = SOCK.RAW | SOCK.NONBLOCK;
    const fd = this.fd = checkCall(
      address,
      call,
      stubs.ixy_socket(AF.NETLINK, kind, Netlink.ROUTE),
    );
    const sockaddr = Uint32Array.of(AF.NETLINK, 0, GROUP_LINK), on = Uint32Array.of(1);
    try {
      const { byteLength } = sockaddr;
      checkCall(address, call, stubs.ixy_bind_address(fd, sockaddr, byteLength));
      checkCall(address, call, stubs.ixy_setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, on, 4));
    } catch (error) {
      stubs.ixy_close(fd);
      throw error;
    }
  }

  /** Takes all events: it is not readable until the next one. */
  clear(): void {
    const message = this.#message;
    let n: number;
    do n = stubs.ixy_recv(this.fd, message, message.length, this.#nothing, MSG_DONTWAIT); while (
      n >= 0 || n === -Errno.EINTR
    );
  }

  /** Closes the socket. */
  close(): void {
    stubs.ixy_close(this.fd);
  }
}
