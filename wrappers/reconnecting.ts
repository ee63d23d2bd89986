/**
 * Reconnection: a device that survives the end of the process that serves it. It then looks like a
 * device whose link is down, opens the device again with the same pool, and goes on with the same
 * queues and counts.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Device, Interrupt, LinkStatus, RxQueue, Statistics, TxQueue } from "../src/device.ts";
import { checkMulticast, checkUnicast, refuseBatch } from "../src/driver.ts";
import { causes, DeviceError, StopError, SystemError, UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";

/** Pauses between attempts in milliseconds: the first, which doubles each time, and the longest. */
const FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 1000;
/** Milliseconds between two looks of a longer wait for the link. */
const LOOK_MS = 10;

/** What a queue tells its device. */
interface Owner {
  readonly closed: boolean;
  /** Whether the connection works, as far as is known. */
  readonly connected: boolean;
  /**
   * Takes note of an error of the device.
   *
   * @throws the error if it is not the device's.
   */
  failed(error: unknown): void;
}

/** Returns an interrupt that passes errors to its device. */
function reporting(interrupt: Interrupt | undefined, owner: Owner): Interrupt | undefined {
  if (interrupt === undefined) return undefined;
  return {
    fd: interrupt.fd,
    arm() {
      try {
        interrupt.arm();
      } catch (error) {
        owner.failed(error);
      }
    },
  };
}

/** A receive queue that outlives connections. Without one, no packet arrives. */
class ReconnectingRxQueue implements RxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly #owner: Owner;
  #queue: RxQueue | undefined;
  /** Packets of earlier connections. */
  #before = 0;

  constructor(queue: RxQueue, owner: Owner) {
    this.number = queue.number;
    this.pool = queue.pool;
    this.#owner = owner;
    this.#queue = queue;
  }

  get packets(): number {
    return this.#before + (this.#queue?.packets ?? 0);
  }

  get interrupt(): Interrupt | undefined {
    return reporting(this.#queue?.interrupt, this.#owner);
  }

  /** Uses another queue; undefined for none. */
  replace(queue: RxQueue | undefined): void {
    this.#before = this.packets;
    this.#queue = queue;
  }

  receive(batch: PacketBatch): number {
    const queue = this.#queue;
    if (queue === undefined) {
      if (this.#owner.closed) refuseBatch("receive", batch, this.pool, true);
      return 0;
    }
    try {
      return queue.receive(batch); // also what the server delivered before it ended
    } catch (error) {
      this.#owner.failed(error);
      return batch.length;
    }
  }
}

/** A transmit queue that outlives connections. Without one, it takes no packets. */
class ReconnectingTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly #owner: Owner;
  #queue: TxQueue | undefined;

  constructor(queue: TxQueue, owner: Owner) {
    this.number = queue.number;
    this.pool = queue.pool;
    this.#owner = owner;
    this.#queue = queue;
  }

  get pending(): number {
    return this.#queue?.pending ?? 0;
  }

  /** Uses another queue; undefined for none. */
  replace(queue: TxQueue | undefined): void {
    this.#queue = queue;
  }

  transmit(batch: PacketBatch): number {
    const queue = this.#queue;
    if (queue === undefined || !this.#owner.connected) {
      if (this.#owner.closed) refuseBatch("transmit", batch, this.pool, true);
      return 0;
    }
    try {
      return queue.transmit(batch);
    } catch (error) {
      this.#owner.failed(error);
      return removeTaken(batch);
    }
  }

  reclaim(): number {
    try {
      return this.#queue?.reclaim() ?? 0;
    } catch (error) {
      this.#owner.failed(error);
      return 0;
    }
  }
}

/** Removes the packets from a batch that a ring took before it failed: the program no longer owns them. */
function removeTaken(batch: PacketBatch): number {
  const { lengths } = batch.pool;
  let taken = 0;
  while (taken < batch.length && lengths[batch.buffers[taken]] === 0) taken++;
  batch.buffers.copyWithin(0, taken, batch.length);
  batch.length -= taken;
  return taken;
}

/**
 * A device that connects again when the process that serves it ends. While there is no connection,
 * its link is down, no packet arrives, and transmit queues take none. Only `waitForLink` starts an
 * attempt to connect, so call it from time to time while the link is down. A loop that serves other
 * devices calls it with 0 ms: the attempt goes on in the background.
 *
 * ```ts
 * import { Mempool, open } from "../mod.ts";
 * import { ReconnectingDevice } from "./mod.ts";
 *
 * using pool = new Mempool();
 * await using device = await ReconnectingDevice.open(() => open(Deno.args[0], { pool }));
 * ```
 */
export class ReconnectingDevice implements Device {
  readonly address: string;
  readonly pool: Mempool;
  readonly rxQueues: readonly RxQueue[];
  readonly txQueues: readonly TxQueue[];
  readonly #connect: (signal: AbortSignal) => Promise<Device>;
  readonly #rx: readonly ReconnectingRxQueue[];
  readonly #tx: readonly ReconnectingTxQueue[];
  /** The device of the last connection. */
  #device: Device;
  /** Whether that device is open. */
  #open = true;
  /** Why the connection has failed; undefined while it works. */
  #failure: string | undefined;
  /** An error that no attempt can cure. */
  #fatal: unknown;
  /** The error of an attempt that a signal has ended. */
  #stopped: StopError | undefined;
  readonly #abort: AbortController;
  #attempt: Promise<void> | undefined;
  #pause = FIRST_PAUSE_MS;
  /** When to make the next attempt, and when the last one has succeeded. */
  #due = 0;
  #since = -Infinity;
  /** Counts of earlier connections. */
  #before: Statistics | undefined;
  #lost = 0;
  #mac: Uint8Array;
  /** Whether a device that is opened again leaves standby at once. */
  #standbyEnded = false;
  #promiscuous: boolean | undefined;
  #multicast: readonly Uint8Array[] | undefined;
  #closed = false;

  /**
   * Opens a device.
   *
   * @param connect Opens it, now and after each end of a connection, always with the same `pool` or
   * `pools`, and the same number of queues. The signal is aborted when this device is closed.
   * @throws whatever `connect` throws the first time.
   */
  static async open(
    connect: (signal: AbortSignal) => Promise<Device>,
  ): Promise<ReconnectingDevice> {
    using opened = new DisposableStack();
    const abort = new AbortController();
    const device = opened.use(await connect(abort.signal));
    const reconnecting = new ReconnectingDevice(device, connect, abort);
    opened.move();
    return reconnecting;
  }

  private constructor(
    device: Device,
    connect: (signal: AbortSignal) => Promise<Device>,
    abort: AbortController,
  ) {
    this.#abort = abort;
    this.#device = device;
    this.#connect = connect;
    this.#mac = device.macAddress();
    this.address = device.address;
    this.pool = device.pool;
    this.rxQueues = this.#rx = device.rxQueues.map((queue) => new ReconnectingRxQueue(queue, this));
    this.txQueues = this.#tx = device.txQueues.map((queue) => new ReconnectingTxQueue(queue, this));
  }

  get driver(): string {
    return this.#device.driver;
  }

  get model(): string {
    return this.#device.model;
  }

  /** Whether there is a connection. */
  get connected(): boolean {
    return this.#failure === undefined;
  }

  /** Whether the device is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  get linkInterrupt(): Interrupt | undefined {
    return this.#open ? reporting(this.#device.linkInterrupt, this) : undefined;
  }

  /** @ignore For its queues. */
  failed(error: unknown): void {
    if (!(error instanceof DeviceError) || error.device !== this.address) throw error;
    this.#note(error);
  }

  #note({ message }: Error): void {
    const prefix = `${this.address}: `;
    this.#failure = message.startsWith(prefix) ? message.slice(prefix.length) : message;
  }

  /** Calls a method of the device; returns undefined if there is no connection, or it fails now. */
  #try<Result>(call: (device: Device) => Result): Result | undefined {
    this.#checkOpen();
    if (this.#failure !== undefined) return undefined;
    try {
      return call(this.#device);
    } catch (error) {
      this.failed(error);
      return undefined;
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** Returns the state of the link; without a connection it is down, and the reason is why. */
  linkStatus(): LinkStatus {
    const status = this.#try((device) => device.linkStatus());
    if (status !== undefined) return status;
    const reason = `${this.#failure}; this program reconnects`;
    return { up: false, megabits: 0, reason, retrying: true };
  }

  /**
   * Waits until the link is up. Without a connection, it makes attempts to connect, with pauses that
   * grow to a second.
   *
   * @param milliseconds The longest time to wait (default: 10,000). 0 starts an attempt if one is due,
   * and returns before it has ended.
   * @throws {DeviceError} if the link is still down after that time.
   * @throws {UsageError} if the time is negative or NaN.
   * @throws {StopError} if a StopFlag has caught a signal.
   */
  async waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    if (!(milliseconds >= 0)) return await this.#device.waitForLink(milliseconds); // refuses it
    const deadline = performance.now() + milliseconds;
    for (;;) {
      this.#checkOpen();
      if (this.#stopped) throw this.#stopped;
      const left = deadline - performance.now();
      if (this.connected) {
        try {
          return await this.#device.waitForLink(Math.max(left, 0));
        } catch (error) {
          if (!(error instanceof DeviceError)) throw error;
          this.checkAlive();
          if (this.connected) throw error;
        }
      }
      await this.#advance(left > 0 ? LOOK_MS : 0);
      if (left <= 0 && !this.connected) {
        throw new DeviceError(this.address, `no link after ${milliseconds} ms: ${this.#failure}`);
      }
    }
  }

  /** Starts an attempt if one is due, and lets it go on for some milliseconds. */
  async #advance(milliseconds: number): Promise<void> {
    if (this.#open) this.#end();
    if (performance.now() >= this.#due) this.#attempt ??= this.#reopen();
    // Not delay(): a signal would end it instead of the attempt.
    const pause = new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
    await (this.#attempt ? Promise.race([this.#attempt, pause]) : pause);
  }

  /** Closes the device of a connection that has failed, and adds up its counts. */
  #end(): void {
    const device = this.#device;
    for (const queue of this.#tx) queue.reclaim(); // what the server has reported before it ended
    this.#lost += this.#tx.reduce((sum, { pending }) => sum + pending, 0);
    this.#before = sum(this.#before, device.statistics(false));
    for (const queue of [...this.#rx, ...this.#tx]) queue.replace(undefined);
    this.#open = false;
    // A device that fails at once each time is opened again only after a pause.
    const now = performance.now(), lasted = now - this.#since > LONGEST_PAUSE_MS;
    if (lasted) this.#pause = FIRST_PAUSE_MS;
    this.#due = lasted ? 0 : this.#next(now);
    try {
      device.close();
    } catch (error) {
      // That the device does not stop is part of the failure that was reported.
      if (!causes(error).every((cause) => cause instanceof DeviceError)) throw error;
    }
  }

  /** Returns when to make the next attempt. */
  #next(now: number): number {
    const due = now + this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    return due;
  }

  /** Makes an attempt. */
  async #reopen(): Promise<void> {
    let opened = false;
    try {
      using device = new DisposableStack();
      const next = device.use(await this.#connect(this.#abort.signal));
      opened = true;
      if (this.#closed) return; // and close it
      this.#adopt(next);
      device.move();
    } catch (error) {
      if (this.#closed && !opened) return; // nothing is left to close
      if (this.#closed) throw error;
      const all = causes(error);
      if (error instanceof StopError) {
        this.#stopped = error;
      } else if (
        all.every((cause) => cause instanceof DeviceError || cause instanceof UsageError)
      ) {
        // That no server listens yet is not a new reason.
        const waits = all.every((cause) => (cause as Error).cause instanceof SystemError);
        if (!waits) this.#note(all[0] as Error);
      } else {
        this.#fatal = error;
      }
      this.#due = this.#next(performance.now());
    } finally {
      this.#attempt = undefined;
    }
  }

  /** Goes on with a device that was opened again. */
  #adopt(device: Device): void {
    const queues = [...device.rxQueues, ...device.txQueues], own = [...this.#rx, ...this.#tx];
    if (queues.length !== own.length || queues.some(({ pool }, i) => pool !== own[i].pool)) {
      throw new UsageError(
        `${this.address}: the device was opened again with other queues or pools: use the same ones`,
      );
    }
    const mac = device.macAddress();
    if (mac.some((byte, i) => byte !== this.#mac[i])) device.setMacAddress(this.#mac);
    if (this.#promiscuous !== undefined) device.setPromiscuous(this.#promiscuous);
    if (this.#multicast !== undefined) device.setMulticast(this.#multicast);
    this.#rx.forEach((queue, i) => queue.replace(device.rxQueues[i]));
    this.#tx.forEach((queue, i) => queue.replace(device.txQueues[i]));
    if (this.#standbyEnded) device.endStandby?.();
    this.#device = device;
    this.#open = true;
    this.#since = performance.now();
    this.#failure = undefined;
  }

  /** Returns the MAC address, which stays the same over connections. */
  macAddress(): Uint8Array {
    this.#checkOpen();
    return this.#mac.slice();
  }

  setMacAddress(mac: Uint8Array): void {
    checkUnicast(this.address, mac); // also without a connection: each attempt would fail with it
    this.#try((device) => device.setMacAddress(mac));
    this.#mac = mac.slice();
  }

  endStandby(): void {
    this.#try((device) => device.endStandby?.());
    this.#standbyEnded = true;
  }

  setPromiscuous(on: boolean): void {
    this.#try((device) => device.setPromiscuous(on));
    this.#promiscuous = on;
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    checkMulticast(this.address, addresses); // as above
    this.#try((device) => device.setMulticast(addresses));
    this.#multicast = addresses.map((mac) => mac.slice());
  }

  /**
   * Returns the counts of all connections. If a device counts in registers, the counts between the last
   * call and the end of a connection are missing.
   */
  statistics(refresh = true): Statistics {
    const now = this.#try((device) => device.statistics(refresh)) ??
      (this.#open ? this.#device.statistics(false) : undefined);
    return { ...sum(this.#before, now), txLost: this.#lost };
  }

  /** Returns the counters of this connection; none without one. */
  counters(): Readonly<Record<string, number>> {
    return this.#try((device) => device.counters()) ?? {};
  }

  /** Checks whether the connection still works. A connection that has ended is not an error. */
  checkAlive(): void {
    this.#try((device) => device.checkAlive());
  }

  /** Closes the device. `await using` also waits for an attempt in the background. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort.abort(); // first: closing the device may fail
    try {
      if (this.#open && !this.connected) this.#end();
      else if (this.#open) this.#device.close();
    } finally {
      for (const queue of [...this.#rx, ...this.#tx]) queue.replace(undefined);
    }
  }

  /** Closes the device. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Closes the device, and waits for an attempt in the background. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#attempt;
  }
}

/** Returns the sums of all counts. */
function sum(a: Statistics | undefined, b: Statistics | undefined): Statistics {
  const all = { ...NONE };
  for (const statistics of [a, b]) {
    for (const name of Object.keys(NONE) as (keyof typeof NONE)[]) {
      all[name] += statistics?.[name] ?? 0;
    }
  }
  return all;
}

const NONE = {
  rxPackets: 0,
  rxBytes: 0,
  txPackets: 0,
  txBytes: 0,
  rxMissed: 0,
  rxErrors: 0,
  rxTooLong: 0,
  rxNoBuffer: 0,
} satisfies Statistics;
