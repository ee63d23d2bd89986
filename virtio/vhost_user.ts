/**
 * The transport vhost-user: another process, the back-end, serves the device over a Unix socket and
 * shares this process's memory. This is the front-end. Back-ends are DPDK's `net_vhost`, Open
 * vSwitch, passt and those built on rust-vmm.
 *
 * The transport has neither configuration space nor control queue: a device does not have a MAC
 * address of its own, and receives every packet.
 *
 * @module
 */

import { Errno, stubs } from "../native/stubs.ts";
import type { DmaMemory } from "../src/dma.ts";
import { checkCall, DeviceError, lostMemory, UsageError } from "../src/errors.ts";
import type { Peer } from "../src/peer.ts";
import { Feature } from "./features.ts";
import { type QueueAreas, Status, type Transport } from "./transport.ts";
import { type RequestName, u32, u64, type VhostUserSocket } from "./vhost_user_socket.ts";

/**
 * Bit of the feature word: the back-end has features of the protocol, which are negotiated apart.
 */
const PROTOCOL_FEATURES = 1n << 30n;
/** Bit of the feature word: the back-end logs which pages it writes, for live migration. */
const LOG_ALL = 1n << 26n;
/** Features of the protocol: several pairs of queues; acknowledged requests; the device status. */
const MQ = 1n << 0n, REPLY_ACK = 1n << 3n, STATUS = 1n << 16n;
/**
 * Features of the protocol, and those that need a configuration space, a control queue or an IOMMU.
 * With ACCESS_PLATFORM, a back-end would ask this process to translate addresses (IOTLB messages).
 * Without it, the back-end uses the addresses of SET_MEM_TABLE.
 */
const NOT_CARRIED = Feature.MAC | Feature.STATUS | Feature.SPEED_DUPLEX | Feature.CTRL_VQ |
  Feature.CTRL_RX | Feature.CTRL_MAC_ADDR | Feature.ACCESS_PLATFORM | PROTOCOL_FEATURES | LOG_ALL;
/** Memory regions that every back-end supports. */
const MAX_REGIONS = 8;
/**
 * Default descriptors of a queue. Every back-end accepts 256; those built on rust-vmm usually accept
 * no more. Back-ends that offer the device status, which rust-vmm does not implement, get more: DPDK's
 * accepts up to 32768 and is faster with more than 256.
 */
const DEFAULT_DESCRIPTORS = 256, DEFAULT_WITH_STATUS = 1024;
/** Interval between two requests for the device status, in milliseconds. */
const STATUS_MS = 1000;

/** Options of {@linkcode VhostUserTransport}. */
export interface VhostUserOptions {
  /** Interface to use; default: `modern` if the back-end offers it, else `legacy`. */
  readonly virtio?: "legacy" | "modern" | undefined;
  /** Features to hide from the driver, for tests without them. */
  readonly without?: bigint;
}

/** Why a back-end refuses a request: what it does not accept, and the option to change. */
interface Refusal {
  readonly sentence: string;
  readonly option: "rxQueues" | "rxEntries" | "txEntries";
}

/** A VirtIO network device in another process. */
export class VhostUserTransport implements Transport {
  readonly address: string;
  readonly name = "vhost-user";
  readonly addressing = "iova" as const;
  readonly legacy: boolean;
  readonly #socket: VhostUserSocket;
  /** Feature word of the back-end. */
  readonly #offered: bigint;
  /** Negotiated features of the protocol. */
  readonly #protocol: bigint = 0n;
  readonly #hidden: bigint;
  readonly #memories = new Set<DmaMemory>();
  #memoriesSent = false;
  /** Eventfds that notify the back-end of new buffers, by the queue's index. */
  readonly #kicks: number[] = [];
  /** Eventfds for interrupts from the back-end, by the queue's index: required, but not used. */
  readonly #calls: number[] = [];
  /** Queues that the back-end may be using. */
  readonly #started = new Set<number>();
  /** The answer to GET_QUEUE_NUM; undefined if only one pair of queues is used. */
  #count: number | undefined;
  #status = 0;
  #asked = 0;
  #closed = false;

  /**
   * Creates a transport: negotiates features of the protocol.
   *
   * @param socket The connection to the back-end, which belongs to the transport. It is closed if
   * the constructor throws.
   * @throws {UsageError} if the back-end lacks the requested interface.
   * @throws {DeviceError} if the back-end violates the protocol.
   */
  constructor(socket: VhostUserSocket, options: VhostUserOptions = {}) {
    const { address } = this.#socket = socket;
    this.address = address;
    try {
      this.#socket.set("SET_OWNER");
      this.#offered = this.#socket.get("GET_FEATURES");
      this.peer.answered();
      if (this.#offered & PROTOCOL_FEATURES) {
        this.#protocol = this.#socket.get("GET_PROTOCOL_FEATURES") & (MQ | REPLY_ACK | STATUS);
        this.#socket.set("SET_PROTOCOL_FEATURES", u64(this.#protocol));
        this.#socket.acknowledged = (this.#protocol & REPLY_ACK) !== 0n;
      }
      const modern = (this.#offered & Feature.VERSION_1) !== 0n;
      if (options.virtio === "modern" && !modern) {
        throw new UsageError(
          `${address}: the server of this device does not offer the interface of VirtIO 1.0 or ` +
            `later: use the legacy one`,
          { option: "virtio" },
        );
      }
      this.legacy = options.virtio === "legacy" || !modern;
      this.#hidden = NOT_CARRIED | (options.without ?? 0n) |
        (this.legacy ? Feature.VERSION_1 | Feature.ORDER_PLATFORM : 0n);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  get peer(): Peer {
    return this.#socket.peer;
  }

  /**
   * SET_VRING_ENABLE, not a command of a control queue, selects which queues are used, so this does
   * not need the device's feature MQ. The protocol leaves open what GET_QUEUE_NUM counts: pairs in
   * DPDK and passt, queues in rust-vmm and crosvm. This assumes pairs. A back-end that counts queues
   * refuses those that it lacks, and `startQueue` then says how many pairs it has.
   */
  queuePairs(): number {
    if (this.#protocol & MQ) this.#count = Number(this.#socket.get("GET_QUEUE_NUM"));
    return this.#count ?? 1;
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
    // A driver may set FAILED because the back-end is gone.
    if ((status & Status.FAILED) !== 0 && !this.#socket.alive) return;
    const ready = (status & ~this.#status & Status.DRIVER_OK) !== 0;
    if (ready) {
      this.peer.share(); // no buffer is available to the back-end before
      this.#enableQueues();
    }
    this.#status = status;
    if (this.#protocol & STATUS) this.#socket.set("SET_STATUS", u64(BigInt(status)));
    if (!ready) return;
    // A queue starts with its first notification, even if it is empty.
    for (const index of this.#started) this.notify(index);
    // The back-end handles requests in order. Its answer to this one shows that it has finished the
    // work of DRIVER_OK, which it may acknowledge early, and has not refused any request before.
    this.#socket.get("GET_FEATURES");
  }

  features(): bigint {
    return this.#offered & ~this.#hidden;
  }

  setFeatures(features: bigint): void {
    this.#socket.set("SET_FEATURES", u64(features | (this.#offered & PROTOCOL_FEATURES)));
  }

  readConfig(offset: number, _bytes: number): Uint8Array {
    throw new Error(`${this.address}: vhost-user has no configuration space to read (${offset})`);
  }

  writeConfig(offset: number, _value: number): void {
    throw new Error(`${this.address}: vhost-user has no configuration space to write (${offset})`);
  }

  queueSize(index: number, wanted?: number): number {
    wanted ??= (this.#protocol & STATUS) !== 0n ? DEFAULT_WITH_STATUS : DEFAULT_DESCRIPTORS;
    return index < 2 * (this.#count ?? 1) ? wanted : 0;
  }

  mapDma(memory: DmaMemory): void {
    if (this.#memories.has(memory)) return;
    if (this.#memoriesSent) {
      throw new Error(`${this.address}: map memory before queues are started`);
    }
    if (this.#memories.size === MAX_REGIONS) {
      throw new UsageError(
        `${this.address}: vhost-user supports at most ${MAX_REGIONS} memory regions, one for the ` +
          `rings and one for each pool: let queues share pools`,
      );
    }
    this.#memories.add(memory);
    memory.pin();
  }

  /**
   * Gives the back-end a queue.
   *
   * @throws {UsageError} if the back-end refuses the queue's number or size.
   * @throws {DeviceError} if the back-end is gone, does not answer, or refuses something else.
   */
  startQueue(index: number, areas: QueueAreas): void {
    if (!this.#memoriesSent) this.#shareMemories();
    const socket = this.#socket, { memory, entries } = areas;
    const [kick, call] = [this.#kicks, this.#calls].map((fds) =>
      fds[index] ??= eventfd(this.address)
    );
    const at = (offset: number) => BigInt(memory.busAddress(offset, this.addressing));
    const payload = new DataView(new ArrayBuffer(40));
    payload.setUint32(0, index, true);
    // The back-end looks these up among the "user addresses" of SET_MEM_TABLE, which are bus
    // addresses.
    payload.setBigUint64(8, at(areas.descriptors), true);
    payload.setBigUint64(16, at(areas.used), true);
    payload.setBigUint64(24, at(areas.available), true);
    this.#explain(() => this.#lacks(index), () => {
      socket.set("SET_VRING_CALL", u64(BigInt(index)), [call]);
    });
    this.#explain(() => this.#lacks(index) ?? tooLarge(index, entries), () => {
      socket.set("SET_VRING_NUM", u32(index, entries));
      // Without acknowledgements, a refusal would show only at a later request.
      if (!socket.acknowledged) socket.get("GET_FEATURES");
    });
    socket.set("SET_VRING_BASE", u32(index, 0));
    socket.set("SET_VRING_ADDR", new Uint8Array(payload.buffer));
    this.#started.add(index);
    socket.set("SET_VRING_KICK", u64(BigInt(index)), [kick]);
  }

  /**
   * Makes a request that the back-end may refuse for a reason that the user can change. Back-ends
   * built on rust-vmm acknowledge a failure and end the connection; others only end it.
   *
   * @param why Returns the reason, if it is known.
   */
  #explain(why: () => Refusal | undefined, request: () => void): void {
    try {
      request();
    } catch (cause) {
      const refused = this.#socket.alive || this.#socket.closedByServer;
      const refusal = refused ? why() : undefined;
      if (refusal === undefined || !(cause instanceof DeviceError)) throw cause;
      const { sentence, option } = refusal;
      throw new UsageError(`${this.address}: the server of this device ${sentence}`, {
        option,
        cause,
      });
    }
  }

  /** Returns why a back-end that counts queues instead of pairs refuses this queue. */
  #lacks(index: number): Refusal | undefined {
    const count = this.#count;
    if (count === undefined || index < count) return undefined;
    return {
      sentence:
        `has ${count} queues, which is ${count >> 1 === 1 ? "1 pair" : `${count >> 1} pairs`}: ` +
        `use ${count >> 1}, or configure it with more`,
      option: "rxQueues",
    };
  }

  notify(index: number): void {
    const n = stubs.ixy_signal(this.#kicks[index]);
    // EAGAIN: the count is full, so the back-end still has notifications to see.
    if (n < 0 && n !== -Errno.EAGAIN) checkCall(this.address, `notify queue ${index}`, n);
  }

  checkAlive(): void {
    for (const { lost } of this.#memories) if (lost) throw lostMemory(this.address);
    const status = this.#socket.look();
    if (status !== undefined && (Number(status) & Status.DEVICE_NEEDS_RESET) !== 0) {
      throw new DeviceError(
        this.address,
        "the device reports an error that it cannot recover from (DEVICE_NEEDS_RESET): open it " +
          "again",
      );
    }
    if ((this.#protocol & STATUS) === 0n || this.#socket.asked) return;
    const now = performance.now();
    if (now - this.#asked < STATUS_MS) return;
    // Waiting for the answer would delay the queues: the next call looks for it.
    this.#asked = now;
    this.#socket.ask("GET_STATUS");
  }

  stop(): boolean {
    // The connection has failed, and the request during which it did has thrown an error.
    if (!this.#socket.alive) return this.#started.size === 0;
    try {
      if (this.#offered & PROTOCOL_FEATURES) {
        for (const index of this.#started) this.#tell("SET_VRING_ENABLE", u32(index, 0));
      }
      for (const index of this.#started) this.#socket.getVringBase(index);
      this.#started.clear();
      this.peer.stopped();
      this.#status = 0;
      if (this.#protocol & STATUS) this.#tell("SET_STATUS", u64(0n));
    } catch (error) {
      // That a back-end ends meanwhile is not an error, but its data path may stop after the connection.
      if (!this.#socket.closedByServer) throw error;
    }
    return this.#started.size === 0;
  }

  /**
   * Sends a request that the back-end may refuse: its answer to GET_VRING_BASE is what stops a
   * queue.
   */
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
    // The back-end unmaps this process's memory when the connection ends.
    this.#socket.close();
    for (const fd of [...this.#kicks, ...this.#calls]) stubs.ixy_close(fd);
    for (const memory of this.#memories) memory.unpin();
  }

  #enableQueues(): void {
    if ((this.#offered & PROTOCOL_FEATURES) === 0n) return; // queues are enabled from the start
    for (const index of this.#started) this.#socket.set("SET_VRING_ENABLE", u32(index, 1));
  }

  /** Sends the bus addresses and the file descriptors of all memory to the back-end. */
  #shareMemories(): void {
    const start = (memory: DmaMemory) => memory.busAddress(0, this.addressing);
    // Back-ends built on rust-vmm refuse regions that are not in the order of their addresses.
    const memories = [...this.#memories].sort((a, b) => start(a) - start(b));
    const payload = new DataView(new ArrayBuffer(8 + 32 * memories.length));
    payload.setUint32(0, memories.length, true);
    memories.forEach((memory, i) => {
      const address = BigInt(start(memory));
      payload.setBigUint64(8 + 32 * i, address, true);
      payload.setBigUint64(16 + 32 * i, BigInt(memory.bytes), true);
      payload.setBigUint64(24 + 32 * i, address, true); // the "user address", see startQueue
    });
    const fds = memories.map((memory) => memory.fd);
    this.#socket.set("SET_MEM_TABLE", new Uint8Array(payload.buffer), fds);
    this.#memoriesSent = true;
  }
}

/** Returns why a back-end refuses the size of a queue. */
function tooLarge(index: number, entries: number): Refusal {
  return {
    sentence:
      `does not accept a queue of ${entries} descriptors (SET_VRING_NUM of queue ${index}), ` +
      "of which a packet needs up to two: use fewer",
    option: index % 2 === 0 ? "rxEntries" : "txEntries",
  };
}

function eventfd(address: string): number {
  return checkCall(address, "make an eventfd", stubs.ixy_eventfd());
}
