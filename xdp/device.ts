/**
 * Network interfaces of Linux as devices: what `open` returns for `xdp:NAME`.
 *
 * @module
 */

import { spinUntil, waitUntil } from "../native/clock.ts";
import { unstoppable } from "../native/stop.ts";
import type {
  Device,
  Interrupt,
  LinkStatus,
  OpenOptions,
  RxQueue,
  Statistics,
  TxQueue,
} from "../src/device.ts";
import { type QueueOptions, waitForLink } from "../src/driver.ts";
import { DeviceError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { MAX_CHUNK } from "./abi.ts";
import type { TransferredXdpQueues } from "./adopt.ts";
import { Attachment } from "./attachment.ts";
import { checkServed, checkZeroCopyFrames } from "./checks.ts";
import { Filters } from "./filters.ts";
import type { NetworkInterface } from "./interface.ts";
import { LinkEvents } from "./link_events.ts";
import type { Selection } from "./program.ts";
import { QueuePair } from "./queue_pair.ts";
import type { XdpMode } from "./socket.ts";
import { countersOf, missedBy, statisticsOf } from "./statistics.ts";

/**
 * How long opening waits for a link that was up, in milliseconds: some drivers reset the NIC to attach a
 * program.
 */
const LINK_MS = 2000;
/** How long closing waits for the kernel to take the packets in the transmit rings, in milliseconds. */
const SEND_MS = 100;

/** A network interface of Linux, through AF_XDP. `open` creates it. */
export class XdpDevice implements Device {
  readonly address: string;
  readonly driver = "xdp";
  readonly pool: Mempool;
  readonly #rx: RxQueue[] = [];
  readonly #tx: TxQueue[] = [];
  readonly rxQueues: readonly RxQueue[] = this.#rx;
  readonly txQueues: readonly TxQueue[] = this.#tx;
  readonly #interface: NetworkInterface;
  readonly #filters: Filters;
  readonly #queues: QueueOptions;
  readonly #pairs: QueuePair[] = [];
  #attachment: Attachment | undefined;
  #linkEvents: LinkEvents | undefined;
  #linkInterrupt: Interrupt | undefined;
  #missed = 0;
  #closed = false;

  /** @ignore For `openXdp`. Changes nothing: {@linkcode XdpDevice.prototype.start} does. */
  constructor(address: string, at: NetworkInterface, queues: QueueOptions) {
    this.address = address;
    this.#interface = at;
    this.#filters = new Filters(address, at);
    this.#queues = queues;
    this.pool = queues.pool;
  }

  /** `AF_XDP, zero-copy`, or `AF_XDP, copy`; with `, generic` if not the driver runs the XDP program. */
  get model(): string {
    const copy = this.#pairs.every(({ socket }) => socket.zeroCopy) ? "zero-copy" : "copy";
    return `AF_XDP, ${copy}${this.#attachment?.generic ? ", generic" : ""}`;
  }

  /** @ignore For `openXdp`. Makes sockets and queues, attaches the program, and connects them. */
  async start(
    mode: XdpMode,
    selection: Selection,
    { promiscuous = false, interrupts = false }: OpenOptions,
  ): Promise<void> {
    const { rxEntries, txEntries, rxQueues, pools } = this.#queues;
    const entries = { rx: rxEntries, tx: txEntries };
    for (let i = 0; i < rxQueues; i++) {
      const pair = new QueuePair(this.address, i, pools[i], entries);
      this.#pairs.push(pair);
      this.#rx.push(pair.rx);
      this.#tx.push(pair.tx);
    }
    const at = this.#interface, pieces = this.pool.bufferSize > MAX_CHUNK;
    const { up } = at.linkStatus();
    this.#attachment = await Attachment.attach(this.address, at, rxQueues, mode, selection, pieces);
    for (const { socket } of this.#pairs) {
      await socket.bind(at, mode);
      if (socket.zeroCopy) checkZeroCopyFrames(this.address, at, pools[socket.queue].bufferSize);
      this.#attachment.redirect(socket);
    }
    if (interrupts) this.#startInterrupts();
    this.setPromiscuous(promiscuous);
    if (up) await waitUntil(LINK_MS, () => at.linkStatus().up);
  }

  #startInterrupts(): void {
    const arm = () => this.#checkOpen();
    for (const { rx, socket: { fd } } of this.#pairs) {
      rx.interrupt = { fd, arm }; // the socket itself is readable while its receive ring holds frames
    }
    const events = this.#linkEvents = new LinkEvents(this.address);
    this.#linkInterrupt = { fd: events.fd, arm };
  }

  get linkInterrupt(): Interrupt | undefined {
    return this.#linkInterrupt;
  }

  linkStatus(): LinkStatus {
    this.#checkOpen();
    this.#linkEvents?.clear();
    return this.#interface.linkStatus();
  }

  waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    return waitForLink(this.address, () => this.linkStatus(), milliseconds);
  }

  macAddress(): Uint8Array {
    this.#checkOpen();
    return this.#filters.mac;
  }

  /**
   * Receives another unicast address as well. The interface keeps its own, so that nothing has to be
   * restored.
   */
  setMacAddress(mac: Uint8Array): void {
    this.#checkOpen();
    this.#filters.setMac(mac);
  }

  /** A virtual interface such as veth has no filter: it receives every packet in any case. */
  setPromiscuous(on: boolean): void {
    this.#checkOpen();
    this.#filters.setPromiscuous(on);
  }

  /** A virtual interface such as veth has no filter: it receives every packet in any case. */
  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#checkOpen();
    this.#filters.setMulticast(addresses);
  }

  /**
   * `rxMissed` includes packets that did not fit a buffer: the kernel counts both together. Packets that
   * the interface itself drops are counted there, see `ip -s link`.
   */
  statistics(refresh = true): Statistics {
    this.#checkOpen();
    if (refresh) this.#missed = missedBy(countersOf(this.#pairs));
    return statisticsOf(this.#pairs, this.#missed);
  }

  /** Returns the counts of all sockets, by their names in linux/if_xdp.h. */
  counters(): Readonly<Record<string, number>> {
    this.#checkOpen();
    return countersOf(this.#pairs);
  }

  /**
   * Transfers the receive and the transmit queue of one number to a worker, which adopts them with
   * {@linkcode AdoptedXdpQueues}. Transfer their pool to the same worker with `pool.transfer()`. This thread
   * can no longer use the queues or the pool; {@linkcode XdpDevice.prototype.statistics} includes what the
   * worker counts. Close the device only after the worker's thread has ended.
   *
   * @param number The number of the queues. Neither may have received or sent anything.
   * @throws {RangeError} if the device has no queues of this number.
   * @throws {Error} if the queues were used or transferred before, or the device is closed.
   */
  transferQueues(number: number): TransferredXdpQueues {
    this.#checkOpen();
    const pair = this.#pairs[number];
    if (pair === undefined) throw new RangeError(`${this.address} has no queues ${number}`);
    return pair.transfer();
  }

  checkAlive(): void {
    this.#checkOpen();
    this.#interface.checkPresent();
    checkServed(this.address, this.#interface, this.#pairs.length);
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
  }

  /**
   * Waits a moment until the kernel has taken the packets in the transmit rings, detaches the program, and
   * closes the sockets. The interface then is as it was. Idempotent.
   *
   * @throws {DeviceError} if the interface's driver does not stop a queue in zero-copy mode.
   * @throws {SuppressedError} if several steps fail. All others are done.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    using closed = new DisposableStack(); // runs the last step first
    closed.defer(() => unstoppable(() => this.#release()));
    unstoppable(() => this.#sendRest());
  }

  #sendRest(): void {
    const zeroCopy = this.#pairs.some(({ socket }) => socket.zeroCopy);
    try {
      if (!this.#interface.linkStatus().up) return;
      spinUntil(SEND_MS, () => this.#pairs.every(({ tx }) => tx.isAtRest(zeroCopy)));
    } catch (error) {
      // An interface that is gone sends nothing, and all other calls report that it is gone.
      if (!(error instanceof DeviceError)) throw error;
    }
  }

  #release(): void {
    const busy: number[] = [];
    using released = new DisposableStack(); // runs the last step first
    released.defer(() => this.#checkStopped(busy));
    if (this.#queues.ownPool) released.use(this.pool);
    released.defer(() => this.#interface.close());
    released.defer(() => this.#linkEvents?.close());
    for (const pair of this.#pairs.toReversed()) {
      released.defer(() => {
        if (!pair.close(this.#interface.index)) busy.push(pair.rx.number);
      });
    }
    released.defer(() => this.#attachment?.close());
  }

  #checkStopped(busy: readonly number[]): void {
    if (busy.length === 0) return;
    throw new DeviceError(
      this.address,
      `the interface's driver did not stop queues ${
        busy.join(", ")
      } while closing, so their buffers never ` +
        "return to the pool: see what dmesg says",
    );
  }

  /** Closes the device. */
  [Symbol.dispose](): void {
    this.close();
  }
}
