/**
 * One queue of an interface: its socket, and the receive and the transmit queue over the socket's rings.
 *
 * @module
 */

import { spinUntil } from "../native/clock.ts";
import { checkBuffers } from "../src/driver.ts";
import type { Mempool } from "../src/mempool.ts";
import { QueueCounts } from "../src/transfer.ts";
import type { TransferredXdpQueues } from "./adopt.ts";
import { isReleased } from "./release.ts";
import { XdpRxQueue } from "./rx_queue.ts";
import { XdpSocket } from "./socket.ts";
import { XdpTxQueue } from "./tx_queue.ts";
import { Wakeup } from "./wakeup.ts";

/** How long closing waits for a driver to stop a queue in zero-copy mode, in milliseconds. */
const STOP_MS = 1000;

/** The receive and the transmit queue of one number, with their socket. */
export class QueuePair {
  /** The socket of both. */
  readonly socket: XdpSocket;
  /** The receive queue. */
  readonly rx: XdpRxQueue;
  /** The transmit queue. */
  readonly tx: XdpTxQueue;
  readonly #address: string;
  readonly #pool: Mempool;
  /** Counts of the thread that has adopted the queues. */
  #adopted: QueueCounts | undefined;

  /**
   * Makes a socket that is not connected yet, and its queues. The fill ring is full then: some drivers take
   * its buffers when the socket is connected, and do not ask again.
   *
   * @param address The device's address, for messages.
   * @param entries Entries of the receive and of the transmit ring.
   * @throws {UsageError} if the pool has too few buffers, or as the socket's constructor does.
   * @throws {DeviceError} as the socket's constructor does.
   */
  constructor(
    address: string,
    number: number,
    pool: Mempool,
    entries: { readonly rx: number; readonly tx: number },
  ) {
    this.#address = address;
    this.#pool = pool;
    checkBuffers(address, [pool], entries.rx); // again: another device may have taken some
    this.socket = new XdpSocket(address, number, pool, entries);
    try {
      const { fd, rings: { rings } } = this.socket, wakeup = new Wakeup(address, fd, rings);
      this.rx = new XdpRxQueue(address, number, pool, rings, wakeup);
      this.tx = new XdpTxQueue(address, number, pool, rings, wakeup);
    } catch (error) {
      this.socket.close();
      throw error;
    }
  }

  /** What was received, in whichever thread. */
  get received(): Pick<XdpRxQueue, "packets" | "bytes" | "tooLong" | "noBuffer"> {
    return this.#adopted?.rx ?? this.rx;
  }

  /** What was sent, in whichever thread. */
  get sent(): Pick<XdpTxQueue, "packets" | "bytes"> {
    return this.#adopted?.tx ?? this.tx;
  }

  /** As {@linkcode XdpDevice.transferQueues}. */
  transfer(): TransferredXdpQueues {
    const { rx, tx, socket: { fd, rings: { places } } } = this, { number } = rx;
    if (this.#adopted) throw new Error(`queues ${number} are transferred twice`);
    if (rx.used || tx.used) {
      const what = rx.used ? "receive" : "transmit";
      throw new Error(`${this.#address}: ${what} queue ${number} is transferred after use`);
    }
    const counts = this.#adopted = new QueueCounts();
    const held = rx.transfer();
    tx.detach();
    return {
      ...{ number, address: this.#address, socket: fd, rings: places },
      ...{ pool: this.#pool.memory.address, held, counts: counts.memory },
    };
  }

  /**
   * Closes socket and queues. Buffers return to the pool, unless the NIC may still write to them.
   *
   * @param index The interface's number.
   * @returns Whether the interface's driver has stopped the queue.
   */
  close(index: number): boolean {
    const { socket, rx, tx } = this, stopped = () => isReleased(index, rx.number);
    let released = false;
    try {
      socket.close();
      released = !socket.zeroCopy || spinUntil(STOP_MS, stopped);
    } finally {
      if (!released) this.#pool.memory.keep();
      for (const queue of [rx, tx]) {
        if (released) queue.close();
        else queue.detach();
      }
    }
    return released;
  }
}
