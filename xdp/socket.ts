/**
 * An AF_XDP socket: one queue of an interface, both directions. The memory of the queue's pool is its UMEM,
 * the memory that the kernel receives into and sends from; the pool's buffers are the UMEM's chunks.
 *
 * Each socket registers the memory for itself. Sockets that share a UMEM would have to have the same mode,
 * and the first would have to be closed last.
 *
 * @module
 */

import { Errno, stubs, SystemError } from "../native/stubs.ts";
import { waitUntil } from "../native/clock.ts";
import { checkCall, makeCalls, UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import {
  AF,
  BindFlag,
  MAX_CHUNK,
  OPTIONS_ZEROCOPY,
  SOCK,
  sockaddrXdp,
  SOL,
  STATISTICS,
  umemReg,
  XdpOption,
} from "./abi.ts";
import type { NetworkInterface } from "./interface.ts";
import { MappedRings } from "./rings.ts";

/**
 * How long a queue may be in use by a socket that was closed, in milliseconds: the kernel frees it later, up
 * to 24 ms were seen.
 */
const FREE_MS = 1000;

/** What each mode asks of bind(2). */
export const BIND_FLAGS = {
  auto: 0,
  "zero-copy": BindFlag.ZEROCOPY,
  copy: BindFlag.COPY,
  generic: BindFlag.COPY,
} as const;

/** How frames pass between the kernel and this process. */
export type XdpMode = keyof typeof BIND_FLAGS;

/** The counts of a socket since it was opened, by the names in linux/if_xdp.h. */
export type SocketStatistics = Readonly<Record<(typeof STATISTICS)[number], number>>;

/** An AF_XDP socket for one queue. */
export class XdpSocket {
  /** Its file descriptor. */
  readonly fd: number;
  /** Its rings. */
  readonly rings: MappedRings;
  /** The number of the queue. */
  readonly queue: number;
  readonly #address: string;
  readonly #pool: Mempool;
  #zeroCopy = false;

  /**
   * Creates a socket with its rings. It is not connected to an interface yet.
   *
   * @param address The device's address, for messages.
   * @param entries Entries of the receive and of the transmit ring.
   * @throws {UsageError} if the kernel lacks AF_XDP, or a permission or a limit forbids it.
   * @throws {DeviceError} if the kernel refuses for another reason.
   */
  constructor(
    address: string,
    queue: number,
    pool: Mempool,
    entries: { readonly rx: number; readonly tx: number },
  ) {
    this.#address = address;
    this.#pool = pool;
    this.queue = queue;
    this.fd = stubs.ixy_socket(AF.XDP, SOCK.RAW | SOCK.NONBLOCK, 0);
    if (this.fd < 0) throw refusedSocket(address, -this.fd);
    try {
      this.#register(pool);
      this.rings = makeCalls(address, () => new MappedRings(this.fd, entries));
    } catch (error) {
      stubs.ixy_close(this.fd);
      throw error;
    }
    pool.memory.pin();
  }

  #register({ memory, buffers, bufferSize }: Mempool): void {
    const reg = umemReg(memory.address, buffers * bufferSize, Math.min(bufferSize, MAX_CHUNK));
    const result = stubs.ixy_setsockopt(this.fd, SOL.XDP, XdpOption.UMEM_REG, reg, reg.length);
    if (result === -Errno.ENOBUFS) {
      throw new UsageError(
        `${this.#address}: the limit of locked memory is too low: each queue needs ` +
          `${
            buffers * bufferSize / 1024
          } KiB, its pool's memory: raise it with \`ulimit -l\`, in a ` +
          "container with `--ulimit memlock=-1`, or run this with CAP_IPC_LOCK",
        { option: "pool" },
      );
    }
    checkCall(this.#address, "register the pool's memory", result);
  }

  /**
   * Connects the socket to its queue of an interface.
   *
   * @throws {UsageError} if the queue does not exist or is in use, or the interface lacks the mode.
   * @throws {DeviceError} if the kernel refuses for another reason.
   */
  async bind({ index, name }: NetworkInterface, mode: XdpMode): Promise<void> {
    const pieces = this.#pool.bufferSize > MAX_CHUNK ? BindFlag.USE_SG : 0;
    const flags = BIND_FLAGS[mode] | BindFlag.USE_NEED_WAKEUP | pieces;
    const address = sockaddrXdp(index, this.queue, flags);
    let result = 0;
    await waitUntil(FREE_MS, () => {
      result = stubs.ixy_bind_address(this.fd, address, address.length);
      return result !== -Errno.EBUSY;
    });
    if (result < 0) throw refusedBind(this.#address, name, this.queue, mode, -result);
    const options = new Uint32Array(1);
    const got = stubs.ixy_getsockopt(this.fd, SOL.XDP, XdpOption.OPTIONS, options, 4);
    checkCall(this.#address, "ask for the socket's mode", got);
    this.#zeroCopy = (options[0] & OPTIONS_ZEROCOPY) !== 0;
  }

  /** Whether the socket is in zero-copy mode. */
  get zeroCopy(): boolean {
    return this.#zeroCopy;
  }

  /** Returns the socket's counts. */
  statistics(): SocketStatistics {
    const counts = new BigUint64Array(STATISTICS.length);
    const { byteLength } = counts;
    const got = stubs.ixy_getsockopt(this.fd, SOL.XDP, XdpOption.STATISTICS, counts, byteLength);
    checkCall(this.#address, "read the socket's statistics", got);
    const entries = STATISTICS.map((name, i) => [name, Number(counts[i])]);
    return Object.fromEntries(entries);
  }

  /** Closes the socket and unmaps its rings. The kernel then no longer accesses the pool's memory. */
  close(): void {
    using closed = new DisposableStack(); // does all steps, also if one fails
    closed.defer(() => this.#pool.memory.unpin());
    closed.defer(() => stubs.ixy_close(this.fd));
    this.rings.close();
  }
}

/** Returns the error for a kernel that does not make an AF_XDP socket. */
function refusedSocket(address: string, errno: number): UsageError {
  const cause = new SystemError("AF_XDP socket", errno);
  const why = errno === Errno.EPERM || errno === Errno.EACCES
    ? "this needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF: run it as root, in a container with " +
      "`--cap-add NET_RAW --cap-add NET_ADMIN --cap-add BPF`"
    : errno === Errno.EAFNOSUPPORT
    ? "use a kernel with CONFIG_XDP_SOCKETS"
    : "see `ulimit -a` for the limits of this process";
  return new UsageError(`${address}: ${cause.message}: ${why}`, { cause });
}

/** Returns the error for a queue that the kernel does not connect. */
function refusedBind(
  address: string,
  name: string,
  queue: number,
  mode: XdpMode,
  errno: number,
): Error {
  const cause = new SystemError(`bind to queue ${queue} of ${name}`, errno);
  if (errno === Errno.EBUSY) {
    const why = "another AF_XDP socket uses this queue: end its program";
    return new UsageError(`${address}: ${cause.message}: ${why}`, { cause });
  }
  if (errno === Errno.EOPNOTSUPP) {
    const why = mode === "zero-copy"
      ? 'the driver of the interface has no zero-copy: use the mode "auto" or "copy"'
      : "the driver of the interface does not support AF_XDP: use another interface";
    return new UsageError(`${address}: ${cause.message}: ${why}`, { option: "xdp.mode", cause });
  }
  if (errno === Errno.EINVAL) {
    const why =
      "the interface may have fewer queues, or its driver may need other ring sizes: use " +
      "fewer queues or larger rings";
    return new UsageError(`${address}: ${cause.message}: ${why}`, { option: "rxQueues", cause });
  }
  if (errno === Errno.ENETDOWN) {
    const why = `run \`ip link set dev ${name} up\``;
    return new UsageError(`${address}: ${cause.message}: ${why}`, { cause });
  }
  const why = "see what dmesg says";
  return new UsageError(`${address}: ${cause.message}: ${why}`, { cause });
}
