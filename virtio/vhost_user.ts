/**
 * The transport vhost-user: the device is another process, which serves it over a Unix socket and
 * shares our memory. We are the front-end. DPDK's `net_vhost` and passt are such devices.
 *
 * There is no configuration space and no control queue here: a device has no MAC address of its own
 * and receives every packet.
 *
 * @module
 */

import { Errno, stubs } from "../native/stubs.ts";
import type { DmaMemory } from "../src/dma.ts";
import { checkCall, DeviceError, UsageError } from "../src/errors.ts";
import { Feature } from "./features.ts";
import { type QueueAreas, Status, type Transport } from "./transport.ts";
import { type RequestName, u32, u64, VhostUserSocket } from "./vhost_user_socket.ts";

/** The bit beside the device's features that says that the protocol has features of its own. */
const PROTOCOL_FEATURES = 1n << 30n;
/** The bit that has the back-end note which pages it writes; only who migrates machines wants that. */
const LOG_ALL = 1n << 26n;
/** Features of the protocol: several queue pairs; acknowledged requests; the device status. */
const MQ = 1n << 0n, REPLY_ACK = 1n << 3n, STATUS = 1n << 16n;
/** Features that need a configuration space, a control queue or an IOMMU, or are none of the device. */
const NOT_CARRIED = Feature.MAC | Feature.STATUS | Feature.SPEED_DUPLEX | Feature.CTRL_VQ |
  Feature.CTRL_RX | Feature.CTRL_MAC_ADDR | Feature.ACCESS_PLATFORM | PROTOCOL_FEATURES | LOG_ALL;
/** As many pieces of memory as every back-end takes. */
const REGIONS = 8;
/** How often the back-end is asked for the device status, in milliseconds. */
const STATUS_MS = 1000;

/** Options of {@linkcode VhostUserTransport}. */
export interface VhostUserOptions {
  /** Which interface to use; `modern` unless given, if the back-end offers it. */
  readonly virtio?: "legacy" | "modern" | undefined;
  /** Features to take for not offered, so that a driver can be tried without them. */
  readonly without?: bigint;
  /** How long the back-end may take for an answer, in milliseconds; 5000 unless given. */
  readonly milliseconds?: number;
}

/** A VirtIO network device in another process. */
export class VhostUserTransport implements Transport {
  readonly address: string;
  readonly name = "vhost-user";
  readonly addressing = "iova" as const;
  readonly legacy: boolean;
  readonly #socket: VhostUserSocket;
  /** Features that the back-end offers, and those that it offers of the protocol. */
  readonly #offered: bigint;
  readonly #protocol: bigint = 0n;
  readonly #hidden: bigint;
  readonly #memories = new Set<DmaMemory>();
  #memoriesSent = false;
  /** The eventfd by which we notify of new buffers in a queue, by the queue's index. */
  readonly #kicks: number[] = [];
  /** Eventfds by which the back-end could interrupt us; it has to have them. */
  readonly #calls: number[] = [];
  /** Queues that the back-end may be using. */
  readonly #started = new Set<number>();
  /** Pairs of queues that the back-end has; asked for only if there are to be several. */
  #pairs = 1;
  readonly #one = BigUint64Array.of(1n);
  #status = 0;
  #asked = 0;
  #closed = false;

  /**
   * Connects, and agrees on features of the protocol.
   *
   * @param address The device's address, for messages.
   * @param path Path of the back-end's socket.
   * @throws {UsageError} if nobody serves the socket, or the back-end has not the interface wanted.
   * @throws {DeviceError} if the back-end does not do as the protocol says.
   */
  constructor(address: string, path: string, options: VhostUserOptions = {}) {
    this.address = address;
    this.#socket = new VhostUserSocket(address, path, options.milliseconds);
    try {
      this.#socket.set("SET_OWNER");
      this.#offered = this.#socket.get("GET_FEATURES");
      if (this.#offered & PROTOCOL_FEATURES) {
        this.#protocol = this.#socket.get("GET_PROTOCOL_FEATURES") & (MQ | REPLY_ACK | STATUS);
        this.#socket.set("SET_PROTOCOL_FEATURES", u64(this.#protocol));
        this.#socket.acknowledged = (this.#protocol & REPLY_ACK) !== 0n;
      }
      const modern = (this.#offered & Feature.VERSION_1) !== 0n;
      if (options.virtio === "modern" && !modern) {
        throw new UsageError(
          `${address}: the server of this device offers no interface of VirtIO 1.0 or later: use ` +
            `the legacy one`,
          { option: "virtio" },
        );
      }
      this.legacy = options.virtio === "legacy" || !modern;
      this.#hidden = NOT_CARRIED | (options.without ?? 0n) |
        (this.legacy ? Feature.VERSION_1 : 0n);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** There is no control queue here: which queues are used, SET_VRING_ENABLE says of each. */
  queuePairs(): number {
    const offered = (this.features() & Feature.MQ) !== 0n && (this.#protocol & MQ) !== 0n;
    if (offered) this.#pairs = Number(this.#socket.get("GET_QUEUE_NUM"));
    return this.#pairs;
  }

  reset(): Promise<void> {
    this.stop();
    return Promise.resolve();
  }

  status(): number {
    if (this.#protocol & STATUS) this.#status = Number(this.#socket.get("GET_STATUS"));
    return this.#status;
  }

  setStatus(status: number): void {
    // Who says that it has failed may be saying so to a back-end that is gone.
    if ((status & Status.FAILED) !== 0 && !this.#socket.alive) return;
    const ready = (status & ~this.#status & Status.DRIVER_OK) !== 0;
    if (ready) this.#enableQueues();
    this.#status = status;
    if (this.#protocol & STATUS) this.#socket.set("SET_STATUS", u64(BigInt(status)));
    if (!ready) return;
    // A queue starts with its first notification, whether there are buffers in it or not.
    for (const index of this.#started) this.notify(index);
    // Requests are dealt with in order. Once this one is answered, the back-end has done what
    // DRIVER_OK has it do, which an acknowledgement may come ahead of, and has refused nothing before.
    this.#socket.get("GET_FEATURES");
  }

  features(): bigint {
    return this.#offered & ~this.#hidden;
  }

  setFeatures(features: bigint): void {
    this.#socket.set("SET_FEATURES", u64(features | (this.#offered & PROTOCOL_FEATURES)));
  }

  readConfig(offset: number, _bytes: number): Uint8Array {
    throw new Error(`${this.address}: no configuration space to read byte ${offset} of`);
  }

  writeConfig(offset: number, _value: number): void {
    throw new Error(`${this.address}: no configuration space to write byte ${offset} of`);
  }

  queueSize(index: number, wanted: number): number {
    return index < 2 * this.#pairs ? wanted : 0;
  }

  mapDma(memory: DmaMemory): void {
    if (this.#memories.has(memory)) return;
    if (this.#memoriesSent) throw new Error("memory is shared before queues are started");
    if (this.#memories.size === REGIONS) {
      throw new UsageError(
        `${this.address}: takes at most ${REGIONS} pieces of memory, of which rings are one: have ` +
          `queues share pools`,
      );
    }
    this.#memories.add(memory);
    memory.pin();
  }

  startQueue(index: number, areas: QueueAreas): void {
    if (!this.#memoriesSent) this.#shareMemories();
    const [kick, call] = [this.#kicks, this.#calls].map((fds) =>
      fds[index] ??= eventfd(this.address)
    );
    const at = (offset: number) => BigInt(areas.memory.busAddress(offset, this.addressing));
    const payload = new DataView(new ArrayBuffer(40));
    payload.setUint32(0, index, true);
    // The back-end looks these addresses up in the table of memories, by their "user addresses", for
    // which bus addresses do as well.
    payload.setBigUint64(8, at(areas.descriptors), true);
    payload.setBigUint64(16, at(areas.used), true);
    payload.setBigUint64(24, at(areas.available), true);
    this.#socket.set("SET_VRING_CALL", u64(BigInt(index)), [call]);
    this.#socket.set("SET_VRING_NUM", u32(index, areas.entries));
    this.#socket.set("SET_VRING_BASE", u32(index, 0));
    this.#socket.set("SET_VRING_ADDR", new Uint8Array(payload.buffer));
    this.#started.add(index);
    this.#socket.set("SET_VRING_KICK", u64(BigInt(index)), [kick]);
  }

  notify(index: number): void {
    const n = stubs.ixy_write(this.#kicks[index], this.#one, 8);
    // A count that is full has notifications in it that the back-end has yet to see.
    if (n < 0 && n !== -Errno.EAGAIN) checkCall(this.address, `notify queue ${index}`, n);
  }

  checkAlive(): void {
    const status = this.#socket.look();
    if (status !== undefined && (Number(status) & Status.DEVICE_NEEDS_RESET) !== 0) {
      throw new DeviceError(this.address, "the device says that it needs a reset: open it again");
    }
    if ((this.#protocol & STATUS) === 0n || this.#socket.asked) return;
    const now = performance.now();
    if (now - this.#asked < STATUS_MS) return;
    // Waiting for the answer would hold up the queues: it is looked for next time.
    this.#asked = now;
    this.#socket.ask("GET_STATUS");
  }

  stop(): boolean {
    // With a connection that has failed there is nobody to ask, and whoever used it was told.
    if (!this.#socket.alive) return this.#socket.closedByServer || this.#started.size === 0;
    try {
      if (this.#offered & PROTOCOL_FEATURES) {
        for (const index of this.#started) this.#tell("SET_VRING_ENABLE", u32(index, 0));
      }
      for (const index of this.#started) this.#socket.getVringBase(index);
      this.#started.clear();
      this.#status = 0;
      if (this.#protocol & STATUS) this.#tell("SET_STATUS", u64(0n));
    } catch (error) {
      // A back-end that is gone reaches no memory any more.
      if (!this.#socket.closedByServer) throw error;
    }
    return true;
  }

  /** Tells the back-end what it may refuse: a queue is at rest once GET_VRING_BASE is answered. */
  #tell(name: RequestName, payload: Uint8Array): void {
    try {
      this.#socket.set(name, payload);
    } catch (error) {
      if (!this.#socket.alive) throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The back-end drops what it has mapped of ours when the connection ends.
    this.#socket.close();
    for (const fd of [...this.#kicks, ...this.#calls]) stubs.ixy_close(fd);
    for (const memory of this.#memories) memory.unpin();
  }

  #enableQueues(): void {
    if ((this.#offered & PROTOCOL_FEATURES) === 0n) return; // they are from the start
    for (const index of this.#started) this.#socket.set("SET_VRING_ENABLE", u32(index, 1));
  }

  /** Tells the back-end of all memory: at which bus addresses it is, and by which descriptor. */
  #shareMemories(): void {
    const memories = [...this.#memories];
    const payload = new DataView(new ArrayBuffer(8 + 32 * memories.length));
    payload.setUint32(0, memories.length, true);
    memories.forEach((memory, i) => {
      const address = BigInt(memory.busAddress(0, this.addressing));
      payload.setBigUint64(8 + 32 * i, address, true);
      payload.setBigUint64(16 + 32 * i, BigInt(memory.bytes), true);
      payload.setBigUint64(24 + 32 * i, address, true); // where it is in the user's address space
    });
    const fds = memories.map((memory) => memory.fd);
    this.#socket.set("SET_MEM_TABLE", new Uint8Array(payload.buffer), fds);
    this.#memoriesSent = true;
  }
}

function eventfd(address: string): number {
  return checkCall(address, "make an eventfd", stubs.ixy_eventfd());
}
