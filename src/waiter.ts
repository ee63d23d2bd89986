/**
 * Sleeping until packets arrive, on the receive queues of any number of devices at once: a silent queue
 * does not delay the others. A change of a link can end the sleep, too. The caller decides when to sleep.
 *
 * @module
 */

import { checkErrno, Errno, stubs } from "../native/stubs.ts";
import type { Device, Interrupt, RxQueue } from "./device.ts";
import { UsageError } from "./errors.ts";

const POLLIN = 1;
/** 32-bit words of a struct pollfd: the descriptor; then `events` (low half) and `revents` (high half). */
const POLLFD_WORDS = 2;
const SEEN_SHIFT = 16;
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Waits for receive queues of devices that were opened with `interrupts`.
 *
 * ```ts
 * import { open, PacketBatch, Waiter } from "../mod.ts";
 *
 * async function drop(address: string): Promise<void> {
 *   using device = await open(address, { interrupts: true });
 *   const [queue] = device.rxQueues, batch = new PacketBatch(device.pool);
 *   const waiter = new Waiter(device.rxQueues);
 *   const look = () => queue.receive(batch) > 0;
 *   while (look() || waiter.wait(look, 1000)) batch.free();
 * }
 * ```
 */
export class Waiter {
  /** The interrupts of queues, then those of links. */
  readonly #interrupts: readonly Interrupt[];
  /** Index in the array of pollfds at which the links begin. */
  readonly #links: number;
  #linkChanged = false;
  readonly #pollfds: Int32Array<ArrayBuffer>;

  /**
   * Creates a waiter for queues. A queue or device belongs to one waiter at a time.
   *
   * @param devices Devices; a change of their links also ends the sleep (default: none). After a change,
   * call `linkStatus()` of each: otherwise the next sleep ends at once.
   * @throws {UsageError} if a queue or device has no interrupt.
   */
  constructor(
    queues: readonly RxQueue[],
    devices: readonly Pick<Device, "linkInterrupt">[] = [],
  ) {
    const refuse = (what: string) =>
      new UsageError(
        `cannot wait for a ${what} without an interrupt: open its device with \`interrupts\``,
        { option: "interrupts" },
      );
    const ofQueues = queues.map(({ interrupt }) => {
      if (interrupt === undefined) throw refuse("receive queue");
      return interrupt;
    });
    const ofLinks = devices.map(({ linkInterrupt }) => {
      if (linkInterrupt === undefined) throw refuse("link");
      return linkInterrupt;
    });
    this.#interrupts = [...ofQueues, ...ofLinks];
    this.#links = queues.length * POLLFD_WORDS;
    this.#pollfds = new Int32Array(this.#interrupts.length * POLLFD_WORDS);
    this.#interrupts.forEach(({ fd }, i) => this.#pollfds.set([fd, POLLIN], i * POLLFD_WORDS));
  }

  /** Whether a link's interrupt ended the last sleep. */
  get linkChanged(): boolean {
    return this.#linkChanged;
  }

  /**
   * Sleeps until a packet arrives at any of the queues, a link changes, the time is over, or a signal
   * arrives. It arms the interrupts first, then polls the queues once, then sleeps. So no packet is
   * missed: one that arrives before its interrupt is armed is found by polling, and a later one ends the
   * sleep.
   *
   * @param look Polls every queue once, handles the packets, and returns whether there were any.
   * @param milliseconds The longest time to sleep, up to 2^31 - 1; 0 or less does not sleep.
   * @returns Whether there were packets or an interrupt. An interrupt does not always mean a packet.
   * @throws {Error} if a device is closed.
   * @throws {DeviceError} if a device is gone.
   * @throws {SystemError} if the kernel refuses to wait.
   * @throws whatever `look` throws.
   */
  wait(look: () => boolean, milliseconds: number): boolean {
    this.#linkChanged = false;
    for (const interrupt of this.#interrupts) interrupt.arm();
    if (look()) return true;
    const pollfds = this.#pollfds;
    const n = stubs.ixy_poll(
      pollfds,
      this.#interrupts.length,
      Math.max(0, Math.min(Math.ceil(milliseconds), LONGEST_MS)), // negative would be no timeout
    );
    if (n === -Errno.EINTR) return false;
    if (checkErrno("poll the interrupts of a device", n) === 0) return false;
    for (let i = 0; i < pollfds.length; i += POLLFD_WORDS) this.#empty(pollfds, i);
    return true;
  }

  /** Empties an eventfd that is readable; otherwise it would end every later sleep at once. */
  #empty(pollfds: Int32Array, i: number): void {
    const seen = pollfds[i + 1] >>> SEEN_SHIFT;
    if (seen === 0) return;
    if (i >= this.#links) this.#linkChanged = true;
    const n = stubs.ixy_empty(pollfds[i]);
    // The other side shares an eventfd, and may have emptied it.
    if (n !== -Errno.EAGAIN) checkErrno("read an eventfd", n);
  }
}
