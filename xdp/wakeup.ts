/**
 * Calls that make the kernel look at a socket's rings. In copy mode, the kernel sends packets only during
 * such a call; it is the call that costs most. In zero-copy mode, the driver asks for one by a flag when it
 * has gone to sleep.
 *
 * @module
 */

import { Errno, stubs, SystemError } from "../native/stubs.ts";
import { DeviceError } from "../src/errors.ts";
import { specialise } from "../src/specialise.ts";
import { RING_NEED_WAKEUP } from "./abi.ts";
import type { Ring, Rings } from "./rings.ts";

/** Answers after which the kernel may go on with the next call. */
const TRY_AGAIN: readonly number[] = [Errno.EAGAIN, Errno.EBUSY, Errno.ENOBUFS];

/**
 * Creates the functions of a socket.
 *
 * @param wake Makes the kernel look at the fill ring, if its second argument is 1, or at the transmit ring.
 * @param received Deals with an error of the former, a negative error number.
 * @param sent Deals with an error of the latter, with the consumer index of the ring before.
 */
const makeLook = specialise(
  import.meta.url,
  { RING_NEED_WAKEUP },
  function looker(
    fd: number,
    fill: Ring,
    tx: Ring,
    wake: (fd: number, receive: number) => number,
    received: (result: number) => void,
    sent: (result: number, before: number) => void,
  ) {
    const { flags: fillFlags } = fill, { flags, producer, consumer } = tx;

    const lookAtTransmit = (): void => {
      if ((flags[0] & RING_NEED_WAKEUP) === 0 || producer[0] === consumer[0]) return;
      const before = consumer[0], result = wake(fd, 0);
      if (result < 0) sent(result, before);
    };

    const look = (): void => {
      if ((fillFlags[0] & RING_NEED_WAKEUP) !== 0) {
        const result = wake(fd, 1);
        if (result < 0) received(result);
      }
      lookAtTransmit();
    };

    return { look, lookAtTransmit };
  },
);

/** Wakes the kernel for one socket. */
export class Wakeup {
  /**
   * Wakes the kernel if it asks for that, for either ring. Each call of a receive queue looks, even if it has
   * nothing else to do.
   *
   * @throws {DeviceError} if the interface is gone.
   */
  readonly look: () => void;
  /**
   * The same for the transmit ring only, for each call of a transmit queue: the other flag is in a line of the
   * cache that the core of the NIC's driver writes.
   *
   * @throws {DeviceError} if the interface is gone.
   */
  readonly lookAtTransmit: () => void;
  readonly #address: string;
  readonly #fd: number;
  readonly #tx: Ring;

  /** @param fd The socket. */
  constructor(address: string, fd: number, { fill, tx }: Rings) {
    this.#address = address;
    this.#fd = fd;
    this.#tx = tx;
    const { ixy_wake: wake } = stubs;
    const made = makeLook(
      fd,
      fill,
      tx,
      wake,
      (result) => this.#received(result),
      (result, before) => this.#sent(result, before),
    );
    this.look = made.look;
    this.lookAtTransmit = made.lookAtTransmit;
  }

  #received(result: number): void {
    if (result === -Errno.ENETDOWN || TRY_AGAIN.includes(-result)) return;
    throw this.#failed("receive", result);
  }

  /**
   * Calls again until the kernel has taken all packets, or takes no more: a call sends 32 packets at most
   * (EAGAIN), and ends early when the interface drops one (EBUSY).
   *
   * @param before The consumer index of the transmit ring before the first call.
   */
  #sent(result: number, before: number): void {
    const { producer, consumer } = this.#tx;
    while (result < 0) {
      if (result === -Errno.ENETDOWN) return; // a later call sends them when the interface is up
      if (!TRY_AGAIN.includes(-result)) throw this.#failed("send", result);
      if (consumer[0] === before || consumer[0] === producer[0]) return;
      before = consumer[0];
      result = stubs.ixy_wake(this.#fd, 0);
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
