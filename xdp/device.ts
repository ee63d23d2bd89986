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
import { checkBuffers, type QueueOptions, queueOptions, waitForLink } from "../src/driver.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseOptions } from "../src/options.ts";
import { QueueCounts } from "../src/transfer.ts";
import type { TransferredXdpQueues } from "./adopt.ts";
import { MAX_CHUNK, STATISTICS } from "./abi.ts";
import { Attachment } from "./attachment.ts";
import {
  checkFrames,
  checkQueues,
  checkServed,
  checkUnused,
  checkZeroCopyFrames,
} from "./checks.ts";
import { Filters } from "./filters.ts";
import { NetworkInterface } from "./interface.ts";
import { LinkEvents } from "./link_events.ts";
import { parsePass, type Passed } from "./program.ts";
import { isReleased } from "./release.ts";
import { XdpRxQueue } from "./rx_queue.ts";
import { type XdpMode, XdpSocket } from "./socket.ts";
import { XdpTxQueue } from "./tx_queue.ts";
import { Wakeup } from "./wakeup.ts";

/** The most queues: far more than the channels of an interface. */
const LIMITS = { rx: 64, tx: 64 } as const;
/**
 * How long opening waits for a link that was up, in milliseconds: some drivers reset the NIC to attach a
 * program.
 */
const LINK_MS = 2000;
/** How long closing waits for the kernel to take the packets in the transmit rings, in milliseconds. */
const SEND_MS = 100;
/** How long closing waits for a driver to stop a queue in zero-copy mode, in milliseconds. */
const STOP_MS = 1000;

/**
 * Opens a network interface.
 *
 * @param name The interface's name.
 * @throws {UsageError} if there is no such interface, the kernel uses it, its driver lacks the mode, an
 * option is out of range, or a permission or memory is missing. Nothing has changed then.
 * @throws {DeviceError} if the kernel refuses for another reason.
 */
export async function openXdp(
  address: string,
  name: string,
  options: OpenOptions,
): Promise<XdpDevice> {
  refuseOptions(address, "AF_XDP", options, ["rssKey", "speeds", "virtio"]);
  const { rxQueues = 1, txQueues = 1, force = false, xdp: { mode = "auto", pass = [] } = {} } =
    options;
  if (rxQueues !== txQueues) {
    throw new UsageError(
      `${address}: an AF_XDP socket receives and sends, so there are as many receive queues as transmit ` +
        `queues, not ${rxQueues} and ${txQueues}: set both numbers to the same value`,
      { option: "txQueues" },
    );
  }
  const passed = parsePass(address, pass);
  using opened = new DisposableStack();
  const at = opened.adopt(new NetworkInterface(address, name), (at) => at.close());
  const queues = queueOptions(address, options, LIMITS);
  if (queues.ownPool) opened.use(queues.pool);
  checkQueues(address, at, rxQueues);
  checkFrames(address, at, queues.pool);
  if (!force) checkUnused(address, at);
  const device = new XdpDevice(address, at, queues);
  opened.move(); // the device owns the pool and the interface from here on
  using failed = new DisposableStack();
  failed.use(device);
  await device.start(mode, passed, options);
  failed.move();
  return device;
}

/** A network interface of Linux, through AF_XDP. `open` creates it. */
export class XdpDevice implements Device {
  readonly address: string;
  readonly driver = "xdp";
  readonly pool: Mempool;
  readonly #rx: XdpRxQueue[] = [];
  readonly #tx: XdpTxQueue[] = [];
  readonly rxQueues: readonly RxQueue[] = this.#rx;
  readonly txQueues: readonly TxQueue[] = this.#tx;
  readonly #interface: NetworkInterface;
  readonly #filters: Filters;
  readonly #queues: QueueOptions;
  readonly #sockets: XdpSocket[] = [];
  /** Counts of the queues that were transferred, by number. */
  readonly #transferred: QueueCounts[] = [];
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
    const copy = this.#sockets.every(({ zeroCopy }) => zeroCopy) ? "zero-copy" : "copy";
    return `AF_XDP, ${copy}${this.#attachment?.generic ? ", generic" : ""}`;
  }

  /** @ignore For `openXdp`. Makes the sockets, attaches the program, and connects them. */
  async start(
    mode: XdpMode,
    passed: Passed,
    { promiscuous = false, interrupts = false }: OpenOptions,
  ): Promise<void> {
    const { rxEntries, txEntries, rxQueues, pools } = this.#queues;
    const entries = { rx: rxEntries, tx: txEntries };
    for (let i = 0; i < rxQueues; i++) {
      checkBuffers(this.address, [pools[i]], rxEntries); // again: another device may have taken some
      const socket = new XdpSocket(this.address, i, pools[i], entries);
      this.#sockets.push(socket);
      const { rings } = socket.rings, wakeup = new Wakeup(this.address, socket.fd, rings);
      // Some drivers take buffers from the fill ring when the socket is bound, and do not ask again.
      this.#rx.push(new XdpRxQueue(this.address, i, pools[i], rings, wakeup));
      this.#tx.push(new XdpTxQueue(this.address, i, pools[i], rings, wakeup));
    }
    const at = this.#interface, pieces = this.pool.bufferSize > MAX_CHUNK;
    const { up } = at.linkStatus();
    this.#attachment = await Attachment.attach(this.address, at, rxQueues, mode, passed, pieces);
    for (const socket of this.#sockets) {
      await socket.bind(at, mode);
      if (socket.zeroCopy) checkZeroCopyFrames(this.address, at, pools[socket.queue]);
      this.#attachment.redirect(socket);
    }
    if (interrupts) this.#startInterrupts();
    this.setPromiscuous(promiscuous);
    if (up) await waitUntil(LINK_MS, () => at.linkStatus().up);
  }

  #startInterrupts(): void {
    const arm = () => this.#checkOpen();
    this.#rx.forEach((queue, i) => {
      // The socket itself is readable while its receive ring holds frames.
      queue.interrupt = { fd: this.#sockets[i].fd, arm };
    });
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
    if (refresh) {
      const { rx_dropped = 0, rx_ring_full = 0 } = this.counters();
      this.#missed = rx_dropped + rx_ring_full;
    }
    const rx = this.#rx.map((queue, i) => this.#transferred[i]?.rx ?? queue);
    const tx = this.#tx.map((queue, i) => this.#transferred[i]?.tx ?? queue);
    return {
      rxPackets: total(rx, (queue) => queue.packets),
      rxBytes: total(rx, (queue) => queue.bytes),
      txPackets: total(tx, (queue) => queue.packets),
      txBytes: total(tx, (queue) => queue.bytes),
      rxMissed: this.#missed,
      rxErrors: 0,
      rxTooLong: total(rx, (queue) => queue.tooLong),
      rxNoBuffer: total(rx, (queue) => queue.noBuffer),
    };
  }

  /** Returns the counts of all sockets, by their names in linux/if_xdp.h. */
  counters(): Readonly<Record<string, number>> {
    this.#checkOpen();
    const all = this.#sockets.map((socket) => socket.statistics());
    const entries = STATISTICS.map((name) => [name, total(all, (counts) => counts[name])]);
    return Object.fromEntries(entries);
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
    const rx = this.#rx[number], tx = this.#tx[number];
    if (rx === undefined) throw new RangeError(`${this.address} has no queues ${number}`);
    if (this.#transferred[number]) throw new Error(`queues ${number} are transferred twice`);
    if (rx.used || tx.used) {
      const what = rx.used ? "receive" : "transmit";
      throw new Error(`${this.address}: ${what} queue ${number} is transferred after use`);
    }
    const counts = this.#transferred[number] = new QueueCounts();
    const { fd, rings: { places } } = this.#sockets[number];
    const held = rx.transfer();
    tx.detach();
    return {
      ...{ number, address: this.address, socket: fd, rings: places },
      ...{ pool: rx.pool.memory.address, held, counts: counts.memory },
    };
  }

  checkAlive(): void {
    this.#checkOpen();
    this.#interface.checkPresent();
    checkServed(this.address, this.#interface, this.#rx.length);
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
  }

  /**
   * Waits a moment until the kernel has taken the packets in the transmit rings, detaches the program, and
   * closes the sockets. The interface then is as it was. Idempotent.
   *
   * @throws {DeviceError} if the interface's driver does not stop a queue in zero-copy mode.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    using closed = new DisposableStack(); // runs the last step first
    closed.defer(() => unstoppable(() => this.#release()));
    unstoppable(() => this.#sendRest());
  }

  #sendRest(): void {
    const zeroCopy = this.#sockets.some((socket) => socket.zeroCopy);
    try {
      if (!this.#interface.linkStatus().up) return;
      spinUntil(SEND_MS, () => this.#tx.every((queue) => queue.isAtRest(zeroCopy)));
    } catch (error) {
      // An interface that is gone sends nothing, and all other calls report that it is gone.
      if (!(error instanceof DeviceError)) throw error;
    }
  }

  #release(): void {
    this.#attachment?.close();
    const busy = this.#sockets.flatMap((_, number) => this.#closeSocket(number) ? [] : [number]);
    this.#linkEvents?.close();
    this.#interface.close();
    if (this.#queues.ownPool) this.pool[Symbol.dispose]();
    if (busy.length === 0) return;
    throw new DeviceError(
      this.address,
      `the interface's driver did not stop queues ${
        busy.join(", ")
      } while closing, so their buffers never ` +
        "return to the pool: see what dmesg says",
    );
  }

  /** Closes a socket and returns the buffers of its queues; returns whether its driver has stopped. */
  #closeSocket(number: number): boolean {
    const socket = this.#sockets[number];
    // Opening may have failed before it made them.
    const queues = [this.#rx[number], this.#tx[number]].filter((queue) => queue !== undefined);
    socket.close();
    const stopped = () => isReleased(this.#interface.index, number);
    if (!socket.zeroCopy || spinUntil(STOP_MS, stopped)) {
      for (const queue of queues) queue.close();
      return true;
    }
    this.#queues.pools[number].memory.keep(); // the NIC may still write to it
    for (const queue of queues) queue.detach();
    return false;
  }

  /** Closes the device. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Returns the sum of a count. */
function total<Item>(items: readonly Item[], count: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + count(item), 0);
}
