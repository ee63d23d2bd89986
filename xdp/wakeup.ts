/**
 * Calls that make the kernel look at a socket's rings. In copy mode, the kernel sends packets only during
 * such a call; it is the call that costs most. In zero-copy mode, the driver asks for one by a flag when it
 * has gone to sleep.
 *
 * @module
 */

import { Errno, stubs, SystemError } from "../native/stubs.ts";
import { DeviceError } from "../src/errors.ts";
import { MSG_DONTWAIT, RING_NEED_WAKEUP } from "./abi.ts";
import type { Ring, Rings } from "./rings.ts";

/** Answers after which the kernel may go on with the next call. */
const TRY_AGAIN: readonly number[] = [Errno.EAGAIN, Errno.EBUSY, Errno.ENOBUFS];

/** Wakes the kernel for one socket. */
export class Wakeup {
  readonly #address: string;
  readonly #fd: number;
  readonly #fill: Ring;
  readonly #tx: Ring;
  /** Arguments for calls that send and receive nothing. */
  readonly #nothing = new Int32Array(17);

  /** @param fd The socket. */
  constructor(address: string, fd: number, { fill, tx }: Rings) {
    this.#address = address;
    this.#fd = fd;
    this.#fill = fill;
    this.#tx = tx;
  }

  /**
   * Wakes the kernel if it asks for that: the flags are looked at in each call of a queue, even if the
   * call has nothing else to do.
   *
   * @throws {DeviceError} if the interface is gone.
   */
  look(): void {
    if ((this.#fill.flags[0] & RING_NEED_WAKEUP) !== 0) this.#receive();
    const { flags, producer, consumer } = this.#tx;
    if ((flags[0] & RING_NEED_WAKEUP) !== 0 && producer[0] !== consumer[0]) this.#send();
  }

  #receive(): void {
    const nothing = this.#nothing;
    const n = stubs.ixy_recv(this.#fd, nothing, 0, nothing, MSG_DONTWAIT);
    if (n < 0 && n !== -Errno.ENETDOWN && !TRY_AGAIN.includes(-n)) throw this.#failed("receive", n);
  }

  /**
   * Calls until the kernel has taken all packets, or takes no more: a call sends 32 packets at most
   * (EAGAIN), and ends early when the interface drops one (EBUSY).
   */
  #send(): void {
    const nothing = this.#nothing, { producer, consumer } = this.#tx;
    for (;;) {
      const before = consumer[0];
      const n = stubs.ixy_send(this.#fd, nothing, 0, nothing, 0, MSG_DONTWAIT);
      if (n >= 0 || n === -Errno.ENETDOWN) return; // a later call sends them when the interface is up
      if (!TRY_AGAIN.includes(-n)) throw this.#failed("send", n);
      if (consumer[0] === before || consumer[0] === producer[0]) return;
    }
  }

  #failed(what: string, n: number): DeviceError {
    const cause = new SystemError(`${what} through the socket`, -n);
    const remedy = n === -Errno.ENXIO
      ? "the interface was deleted or moved to another network namespace: see `ip link`"
      : "see what dmesg says";
    return new DeviceError(this.#address, `${cause.message}: ${remedy}`, { cause });
  }
}
