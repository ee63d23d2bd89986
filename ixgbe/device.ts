/**
 * The ixgbe driver and its device: what `open` returns for an 82599, X540 or X550.
 *
 * @module
 */

import {
  type Bar,
  checkReach,
  Config,
  type Doorbell,
  openInterrupts,
  type PciFunction,
} from "../src/pci/function.ts";
import type {
  Device,
  Interrupt,
  LinkStatus,
  OpenOptions,
  RxQueue,
  Statistics,
  TxQueue,
} from "../src/device.ts";
import {
  checkBuffers,
  type PciDriver,
  type QueueLimits,
  type QueueOptions,
  queueOptions,
  waitForLink,
} from "../src/driver.ts";
import { unstoppable } from "../native/stop.ts";
import { DmaMemory } from "../src/dma.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { QueueCounts, shareWords, type TransferredQueues } from "../src/transfer.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseOptions } from "../src/options.ts";
import { offsetOf, Registers } from "../src/registers.ts";
import { RSS_KEY } from "../src/toeplitz.ts";
import { BYTES, WORDS } from "./descriptors.ts";
import { checkEeprom, firmwareError, getMac } from "./eeprom.ts";
import { checkChecksum } from "./eeprom_words.ts";
import * as init from "./init.ts";
import {
  checkRssKey,
  initRss,
  RSS_QUEUES,
  setMac,
  setMulticast,
  setPromiscuous,
} from "./filters.ts";
import { checkLink, linkOf, linkStatus } from "./link.ts";
import { takeLinkDown } from "./link_down.ts";
import { MacLoopback } from "./loopback.ts";
import { INTEL, type Model, modelOf } from "./models.ts";
import { checkSpeeds, type PortLink } from "./port_link.ts";
import { RDT, STATUS, TDT } from "./registers.ts";
import { clearResidue } from "./residue.ts";
import { IxgbeRxQueue } from "./rx_queue.ts";
import { checkSemaphores } from "./semaphore.ts";
import { Counters } from "./statistics.ts";
import { IxgbeTxQueue } from "./tx_queue.ts";

/** Memory reserved for each ring, in bytes: the size of the largest ring. */
const RING_BYTES = 4096 * BYTES;

/** The smallest BAR 0 of the family, in bytes; all registers are in it. */
const MIN_BAR0 = 0x20000;

/** The most queues without virtualization and traffic classes (section 4.6.11.3.4). */
const LIMITS: QueueLimits = { rx: RSS_QUEUES, tx: 64, spread: true };

/** The driver of the ixgbe family. */
export const ixgbe: PciDriver = { name: "ixgbe", vendor: INTEL, spread: true, attach };

/** Opens a device on a PCI function and starts it. If that fails, it frees what it has allocated. */
async function attach(pci: PciFunction, options: OpenOptions): Promise<IxgbeDevice> {
  const model = modelOf(pci.address, pci.readConfig(Config.DEVICE_ID, 2));
  refuseOptions(pci.address, "ixgbe", options, ["virtio", "xdp"]);
  checkReach(pci);
  checkSpeeds(pci.address, model, options.speeds);
  if (options.rssKey) checkRssKey(pci.address, options.rssKey);
  const queues = queueOptions(pci.address, options, LIMITS);
  using opened = new DisposableStack();
  if (queues.ownPool) opened.use(queues.pool);
  const rings = DmaMemory.allocate((queues.rxQueues + queues.txQueues) * RING_BYTES);
  opened.defer(() => rings.free());
  const device = new IxgbeDevice(pci, model, queues, rings);
  opened.move(); // the device owns pool and rings now
  using failed = new DisposableStack();
  failed.defer(() => device.release());
  for (const pool of new Set(queues.pools)) pci.mapDma(pool.memory);
  pci.mapDma(rings);
  if (options.interrupts) device.openInterrupts(queues.rxQueues);
  pci.claim(options.force ?? false);
  await device.start(options);
  failed.move();
  return device;
}

/** An 82599, X540 or X550. `open` creates it. */
export class IxgbeDevice implements Device {
  readonly address: string;
  readonly driver = "ixgbe";
  readonly model: string;
  /** Its PCI device ID: 0x10fb for an 82599 SFP+. */
  readonly deviceId: number;
  readonly pool: Mempool;
  readonly #rx: IxgbeRxQueue[] = [];
  readonly #tx: IxgbeTxQueue[] = [];
  readonly rxQueues: readonly RxQueue[] = this.#rx;
  readonly txQueues: readonly TxQueue[] = this.#tx;
  readonly #pci: PciFunction;
  readonly #model: Model;
  readonly #rings: DmaMemory;
  readonly #queues: QueueOptions;
  /** Counts of the queues that were transferred, by number. */
  readonly #transferred: QueueCounts[] = [];
  /** Whether the NIC hashes packets. */
  #rss = false;
  /** The error that firmware reports, which may keep the link down. */
  #linkProblem: string | undefined;
  #regs: Registers | undefined;
  /** The part of the link that software sets up. */
  #link: PortLink | undefined;
  /** Undoes what has taken the link down. */
  #restoreLink: (() => Promise<void>) | undefined;
  #loopback: MacLoopback | undefined;
  #counters: Counters | undefined;
  /** The eventfds of interrupts: of each receive queue, then of the link; empty without interrupts. */
  #interruptFds: readonly number[] = [];
  #linkInterrupt: Interrupt | undefined;
  #closed = false;

  /** @ignore For `attach`. The NIC is not accessed before {@linkcode IxgbeDevice.prototype.start}. */
  constructor(pci: PciFunction, model: Model, queues: QueueOptions, rings: DmaMemory) {
    this.address = pci.address;
    this.model = model.name;
    this.deviceId = pci.readConfig(Config.DEVICE_ID, 2);
    this.pool = queues.pool;
    this.#pci = pci;
    this.#model = model;
    this.#rings = rings;
    this.#queues = queues;
  }

  /**
   * The device's registers. Reading can have side effects (`readEffect`), and writing can break the
   * driver.
   *
   * @throws {Error} if the device is closed.
   */
  get registers(): Registers {
    if (this.#regs === undefined) throw new Error(`${this.address} is closed`);
    return this.#regs;
  }

  /**
   * @ignore Connects one MSI-X vector for each receive queue, and one for the link, each to an eventfd of
   * its own. Call it before `start`.
   */
  openInterrupts(rxQueues: number): void {
    this.#interruptFds = openInterrupts(this.#pci, rxQueues + 1);
  }

  /** @ignore For `attach`. Initialises the NIC in the order of section 4.6.3. */
  async start(
    { promiscuous = false, standby = false, rssKey, speeds }: OpenOptions,
  ): Promise<void> {
    const bar = this.#pci.bar(0);
    if (bar.size < MIN_BAR0) {
      throw new DeviceError(
        this.address,
        `BAR 0 has ${bar.size} bytes, fewer than the ${MIN_BAR0} of the registers: use another device`,
      );
    }
    const regs = this.#regs = new Registers(bar, this.address, STATUS);
    const { rxQueues, txQueues } = this.#queues;
    const { bufferSize } = this.pool;

    const { mac } = this.#model;
    checkEeprom(regs, this.address, mac);
    await checkSemaphores(regs, mac, this.address);
    await checkChecksum(regs, mac, this.address);
    const link = this.#link = linkOf(regs, this.address, this.#model, speeds);
    await checkLink(regs, this.address, link, speeds);
    // 4.6.3, steps 1 to 5 - interrupts off, global reset, EEPROM, DMA
    await init.reset(regs, this.address, this.#model);
    clearResidue(regs, this.#model.mac);
    // 4.6.4 - PHY and link
    await link.setUp();
    this.#linkProblem = firmwareError(regs);
    // The reset has stopped queues that a previous driver left running: DMA is safe from here on.
    this.#pci.setBusMaster(true);

    // 4.6.5 - statistics: reading the counters clears them
    this.#counters = new Counters(regs);

    // 4.6.7 - receive: filters (7.1.1), receive side scaling (7.1.2.8), rings (4.6.7.1)
    init.initReceive(regs, this.#model, bufferSize);
    setPromiscuous(regs, promiscuous);
    this.#rss = rxQueues > 1 || rssKey !== undefined;
    if (this.#rss) initRss(regs, this.#model, rxQueues, rssKey ?? RSS_KEY);
    for (let i = 0; i < rxQueues; i++) await this.#startRxQueue(regs, bar, i, standby);

    // 4.6.8 - transmit: one traffic class (4.6.11.3.4), rings (4.6.8.1), and only then the path
    init.initTransmit(regs);
    for (let i = 0; i < txQueues; i++) this.#setUpTxQueue(regs, bar, i);
    await init.enableTransmit(regs, txQueues);

    // 4.6.6 - interrupts: a vector for each receive queue and one for the link; none if the device only polls
    if (this.#interruptFds.length > 0) this.#startInterrupts(regs, this.#interruptFds);

    // 4.6.7 - the receiver is enabled last, after all other settings
    init.enableReceiver(regs);
    await link.settle();
  }

  #startInterrupts(regs: Registers, fds: readonly number[]): void {
    const queues = this.#rx.length;
    init.initInterrupts(regs, queues);
    this.#rx.forEach((queue, i) => {
      queue.interrupt = { fd: fds[i], arm: () => init.armInterrupt(this.registers, i) };
    });
    this.#linkInterrupt = { fd: fds[queues], arm: () => init.armLinkInterrupt(this.registers) };
  }

  async #startRxQueue(
    regs: Registers,
    bar: Bar,
    number: number,
    standby: boolean,
  ): Promise<void> {
    const { rxEntries, pools } = this.#queues, pool = pools[number];
    const { addressing } = this.#pci;
    const ring = this.#ring(number, rxEntries);
    const doorbell = bar.doorbell(offsetOf(RDT, number));
    checkBuffers(this.address, [pool], rxEntries); // again: buffers may have been used meanwhile
    const queue = new IxgbeRxQueue(number, pool, addressing, ring.words, doorbell, this.#rss);
    this.#rx.push(queue);
    await init.enableRxQueue(regs, number, ring, pool.bufferSize);
    if (!standby) queue.start();
  }

  endStandby(): void {
    this.#checkOpen();
    for (const queue of this.#rx) queue.start();
  }

  #setUpTxQueue(regs: Registers, bar: Bar, number: number): void {
    const { rxQueues, txEntries, pools } = this.#queues;
    const ring = this.#ring(rxQueues + number, txEntries);
    const doorbell = bar.doorbell(offsetOf(TDT, number));
    const { addressing } = this.#pci;
    this.#tx.push(
      new IxgbeTxQueue(number, pools[number], addressing, ring.words, doorbell),
    );
    init.setUpTxQueue(regs, number, ring);
  }

  /** Returns the memory and bus address of a ring; receive rings come first. */
  #ring(number: number, entries: number): init.Ring & { words: Uint32Array } {
    const offset = number * RING_BYTES;
    const words = new Uint32Array(this.#rings.buffer, offset, entries * WORDS);
    return { words, entries, busAddress: this.#rings.busAddress(offset, this.#pci.addressing) };
  }

  get linkInterrupt(): Interrupt | undefined {
    return this.#linkInterrupt;
  }

  linkStatus(): LinkStatus {
    if (this.#linkInterrupt) init.clearLinkInterrupt(this.registers);
    const status = linkStatus(this.registers, this.#model);
    const described = this.#link?.describe(status) ?? status;
    if (status.up || this.#linkProblem === undefined) return described;
    return { ...described, reason: this.#linkProblem };
  }

  waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    const next = async () => {
      this.#checkOpen();
      await this.#link?.advance();
      return this.linkStatus();
    };
    return waitForLink(this.address, next, milliseconds);
  }

  /**
   * Takes the link down, so that the partner loses it too, or sets it up again; wait for it with
   * {@linkcode IxgbeDevice.prototype.waitForLink}. Idempotent. Set it up again before you close the device:
   * the PHY of an X540 or X550 would stay in low power mode.
   *
   * @throws {DeviceError} if the PHY of an X540 or X550 cannot be accessed.
   */
  async setLink(up: boolean): Promise<void> {
    if (!up) {
      this.#restoreLink ??= await takeLinkDown(this.registers, this.address, this.#model.mac);
      return;
    }
    const restore = this.#restoreLink;
    this.#restoreLink = undefined;
    if (restore === undefined) return;
    await restore();
    await this.#link?.setUp();
  }

  /**
   * Connects the transmitter to the receiver inside the MAC, until the device is closed: for tests. The
   * cable is cut off, also for a management controller that shares the port. Idempotent.
   */
  async startLoopback(): Promise<void> {
    this.#loopback ??= await MacLoopback.start(this.registers, this.#model.mac);
  }

  macAddress(): Uint8Array {
    return getMac(this.registers);
  }

  setMacAddress(mac: Uint8Array): void {
    setMac(this.registers, this.address, mac);
  }

  setPromiscuous(on: boolean): void {
    setPromiscuous(this.registers, on);
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    setMulticast(this.registers, this.address, addresses);
  }

  statistics(refresh = true): Statistics {
    if (this.#counters === undefined) throw new Error(`${this.address} is closed`);
    const { missed, errors } = this.#counters.failures(refresh);
    const rx = this.#rx.map((queue, i) => this.#transferred[i]?.rx ?? queue);
    const tx = this.#tx.map((queue, i) => this.#transferred[i]?.tx ?? queue);
    const sum = <Q>(queues: readonly Q[], of: (queue: Q) => number): number =>
      queues.reduce((total, queue) => total + of(queue), 0);
    return {
      rxPackets: sum(rx, (q) => q.packets),
      rxBytes: sum(rx, (q) => q.bytes),
      txPackets: sum(tx, (q) => q.packets),
      txBytes: sum(tx, (q) => q.bytes),
      rxMissed: missed,
      rxErrors: errors + sum(rx, (q) => q.damaged),
      rxTooLong: sum(rx, (q) => q.tooLong),
      rxNoBuffer: sum(rx, (q) => q.noBuffer),
    };
  }

  counters(): Readonly<Record<string, number>> {
    if (this.#counters === undefined) throw new Error(`${this.address} is closed`);
    return this.#counters.all();
  }

  checkAlive(): void {
    this.#checkOpen();
    this.#pci.checkAlive();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
  }

  /**
   * Transfers the receive and the transmit queue of one number to a worker, which adopts them with
   * {@linkcode AdoptedQueues}. Transfer their pool to the same worker with `pool.transfer()`. This thread
   * can no longer use the queues or the pool; {@linkcode IxgbeDevice.prototype.statistics} includes what
   * the worker counts. Close the device only after the worker's thread has ended.
   *
   * @param number The number of the queues. Neither may have received or sent anything.
   * @throws {UsageError} if the device's doorbells are not mapped, so that a worker cannot write them.
   * @throws {RangeError} if the device has no receive and transmit queue of this number.
   * @throws {Error} if the queues were used or transferred before, or the device is closed.
   */
  transferQueues(number: number): TransferredQueues {
    this.#checkOpen();
    const rx = this.#rx[number], tx = this.#tx[number];
    if (rx === undefined || tx === undefined) {
      throw new RangeError(`${this.address} has no receive and transmit queue ${number}`);
    }
    for (const register of [RDT, TDT]) {
      if (this.#pci.bar(0).doorbell(offsetOf(register, number)).write === undefined) continue;
      throw new UsageError(
        `${this.address}: its doorbells are messages, which workers cannot send: use no workers, or a ` +
          "server that shares its doorbells as memory",
      );
    }
    if (this.#transferred[number]) throw new Error(`queues ${number} are transferred twice`);
    if (rx.used || tx.used) {
      const what = rx.used ? "receive" : "transmit";
      throw new Error(`${this.address}: ${what} queue ${number} is transferred after use`);
    }
    const counts = new QueueCounts();
    const share = (
      { ring, doorbell: { words, index } }: { ring: Uint32Array; doorbell: Doorbell },
    ) => {
      return { ring: shareWords(ring), doorbell: shareWords(words.subarray(index, index + 1)) };
    };
    const received = rx.transfer(), sent = tx.transfer();
    this.#transferred[number] = counts;
    return {
      number,
      addressing: this.#pci.addressing,
      rss: this.#rss,
      pool: rx.pool.memory.address,
      rx: { ...share(received), slots: received.slots, started: rx.started },
      tx: share(sent),
      counts: counts.memory,
    };
  }

  /**
   * Stops the NIC after it has sent the packets in its rings, resets it, turns bus mastering off, and then
   * frees buffers and rings. If the link is down, packets in the rings are discarded. Idempotent.
   *
   * @throws {DeviceError} if the NIC did not stop in time: its memory is freed nevertheless, because bus
   * mastering is off. Or if bus mastering cannot be turned off: rings and the buffers in them then stay
   * allocated until the process ends. Or if the kernel driver does not take the device back (`rebind`).
   * @throws {SuppressedError} if several of these happen.
   * @throws {SystemError} if the kernel refuses to unmap memory.
   */
  close(): void {
    if (!this.#closed) unstoppable(() => this.#stop());
  }

  #stop(): void {
    let late: string[] = [];
    try {
      if (this.#regs) {
        late = init.shutDown(this.#regs, this.#model, this.#rx.length, this.#tx.length);
        this.#loopback?.end();
      }
    } catch (error) {
      // A device that is gone does no DMA, and all other calls report that it is gone. A failed system call
      // (with a cause) does not mean that the device is gone.
      if (!(error instanceof DeviceError) || error.cause !== undefined) throw error;
    } finally {
      this.release();
    }
    if (late.length > 0) {
      throw new DeviceError(
        this.address,
        `${late.join(", ")} did not come to rest while closing: DMA is off, but reset the device`,
      );
    }
  }

  /**
   * For `attach` and {@linkcode IxgbeDevice.prototype.close}: closes the function, which turns DMA off,
   * and releases all memory that the NIC no longer reaches, even if closing fails.
   *
   * @ignore
   * @throws as {@linkcode PciFunction.close} does.
   */
  release(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#regs = undefined;
    this.#counters = undefined;
    using closed = new DisposableStack();
    closed.defer(() => this.#giveBack());
    unstoppable(() => this.#pci.close());
  }

  #giveBack(): void {
    const queues = [...this.#rx, ...this.#tx];
    if (this.#rings.pinned) { // unpinned last: the NIC may still use the rings and their buffers
      for (const queue of queues) queue.detach();
      return;
    }
    for (const queue of queues) queue.close(this.#pci.peer);
    this.#rings.free();
    if (this.#queues.ownPool) this.pool[Symbol.dispose]();
  }

  /** Closes the device, see {@linkcode IxgbeDevice.prototype.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
