/**
 * Receive queues: the hot path from the device to a batch.
 *
 * The device fills a chain and writes its id and length to the used ring before it writes the used
 * index. The driver reads the index first, so the entries before it are complete;
 * `src/specialise.ts` says why loads keep this order.
 *
 * A packet takes its buffer along, and leaves its chain without one. Later calls give such chains free
 * buffers, many at a time, and write the available index once for all of them. By then a program that
 * frees its packets in order has returned the same buffers, and they are on top of the pool's stack in
 * the order in which they left: each chain gets its own back, and its descriptor stays as it is. So the
 * device's processor keeps the table in its cache. In a forwarder, buffers come back later and from
 * elsewhere, and descriptors change. A call leaves the device at least half of the chains; one that
 * finds nothing, seven eighths.
 *
 * The device writes a header before each packet. If the pool has headroom, the header goes there, and
 * a packet takes one descriptor. Without headroom, the packet must begin at the start of its buffer:
 * if the device accepts chains, the header has its own descriptor, and headers that are not needed
 * all go to one place; otherwise the packet is moved over its header.
 *
 * The functions of the hot path are compiled for each queue alone; `src/specialise.ts` has the reasons,
 * also for the typed arrays of numbers.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { RxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { refuseBatch } from "../src/driver.ts";
import { specialise } from "../src/specialise.ts";
import { DESC_WRITE, LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING, WORDS } = LAYOUT;
/** Shifts the id of a chain of two descriptors to the index of its header, in 16-bit words. */
const HEADER_SHIFT = 2;
/** Index of num_buffers in the 16-bit words of a header (section 5.1.6). */
const NUM_BUFFERS = 5;
/** From this size in bytes, `copyWithin` moves a packet faster than a loop. */
const LONG = 256;

/** Chains get buffers again when this many, or an eighth of all if less, are without one. */
const MAX_EMPTY = 64;
/** The buffer of a chain that never had one. */
const NO_BUFFER = 0xffffffff;

/**
 * Indices into a queue's state. NEXT and TAIL, modulo 2^16: position of the used entry to read next, and
 * of the next chain to post. DROPPING: buffers still to drop of a packet that spans several; -1 once the
 * queue is closed. While it is not 0, every call takes the slow path.
 */
const NEXT = 0, TAIL = 1, DROPPING = 2, STATES = 3;
/** Indices into a queue's totals: packets and bytes that the program received. */
const PACKETS = 0, BYTES = 1, TOTALS = 2;

/** What the chains of a queue look like. */
interface Format {
  /** Bytes of the header that the device writes before each packet. */
  readonly headerBytes: number;
  /** Longest packet in bytes. */
  readonly maxBytes: number;
  /** Bytes that each packet must be moved over, those of its header, or 0. */
  readonly over: number;
  /** Whether a packet may span several buffers; its header then has their number. */
  readonly merges: boolean;
  /** Memory from the first header on. */
  readonly headers: Uint16Array;
  /** Most chains that are with the device. */
  readonly posted: number;
}

/**
 * Creates the `receive` and `post` functions of a queue.
 *
 * @param slots The buffer of each chain, by the chain's id. The queue no longer owns that of a chain
 * that is not with the device.
 * @param address The packets, with their headers if these are in the headroom, as the device addresses
 * them.
 * @param strip Moves packets over their headers.
 * @param arrange Puts the next entry in order; it gets the number of entries that have arrived, and of
 * chains that are with the device.
 */
const makeReceive = specialise(
  import.meta.url,
  {
    AVAILABLE_RING,
    USED_RING,
    HEADER_SHIFT,
    NUM_BUFFERS,
    MAX_EMPTY,
    NEXT,
    TAIL,
    DROPPING,
    PACKETS,
    BYTES,
  },
  function chainReceiver(
    queue: Virtqueue,
    pool: Mempool,
    { headerBytes, maxBytes, over, merges, headers, posted }: Format,
    slots: Uint32Array,
    address: Float64Array,
    state: Int32Array,
    totals: Float64Array,
    strip: (buffers: Uint32Array, n: number) => void,
    arrange: (arrived: number, outstanding: number) => void,
    slowPath: (batch: PacketBatch) => number,
  ) {
    const { order, available, used, usedIndex, descriptors, perChain } = queue;
    const { lengths, freeStack, bufferSize } = pool, stride = bufferSize >> 1;
    const last = perChain - 1, orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const descriptors64 = new Float64Array(
      descriptors.buffer,
      descriptors.byteOffset,
      descriptors.length / 2,
    );

    const maxEmpty = Math.max(1, Math.min(posted / 8, MAX_EMPTY)), half = posted / 2;

    // Gives free buffers to chains that have none, as far as the pool has any, and makes them available.
    const post = (chains: number): void => {
      const tail = state[TAIL], count = Math.min(chains, pool.freeCount) | 0;
      const left = (pool.freeCount - count) | 0;
      for (let n = 0; n < count; n++) {
        const position = tail + n, id = order[position & orderMask];
        const buffer = freeStack[(left + n) | 0], place = AVAILABLE_RING + (position & mask);
        // Stores nothing that is there already: it would take the line from the device's processor.
        if (slots[id] !== buffer) {
          slots[id] = buffer;
          descriptors64[(id + last) << 1] = address[buffer];
        }
        if (available[place] !== id) available[place] = id;
      }
      pool.freeCount = left;
      state[TAIL] = (tail + count) & 0xffff;
      queue.publish(tail + count);
    };

    const receive = (batch: PacketBatch): number => {
      if (batch.pool !== pool || batch.length !== 0 || state[DROPPING] !== 0) {
        return slowPath(batch);
      }
      const next = state[NEXT], arrived = (usedIndex[1] - next) & 0xffff;
      const held = (state[TAIL] - next) & 0xffff, empty = posted - held, { buffers } = batch;
      if (arrived === 0) {
        if (empty >= maxEmpty && pool.freeCount > 0) post(empty);
        return 0;
      }
      if (arrived > held) throw queue.overrun(next, held);
      // No more than the pool has buffers to post instead.
      const most = Math.min(arrived, buffers.length | 0, pool.freeCount - empty) | 0;
      let n = 0, bytes = 0;
      // Stops at an entry that is not the next chain's, or that the slow path must handle.
      for (; n < most; n++) {
        const position = next + n, id = order[position & orderMask];
        const entry = USED_RING + ((position & mask) << 1);
        const size = (used[entry + 1] - headerBytes) | 0;
        if (used[entry] !== id || (size - 1) >>> 0 >= maxBytes) break;
        const buffer = slots[id];
        if (merges) {
          const header = last === 1 ? id << HEADER_SHIFT : Math.imul(buffer, stride);
          if (headers[header + NUM_BUFFERS] !== 1) break;
        }
        lengths[buffer] = size;
        bytes = (bytes + size) | 0;
        buffers[n] = buffer;
      }
      if (n <= 0) return slowPath(batch);
      state[NEXT] = (next + n) & 0xffff;
      totals[PACKETS] += n;
      totals[BYTES] += bytes;
      batch.length = n;
      if (over > 0) strip(buffers, n);
      if (n < most) arrange(arrived - n, held - n);
      if (empty + n > half) post(empty + n);
      else if (empty >= maxEmpty) post(empty);
      return n;
    };

    return { receive, post };
  },
);

/** A virtqueue that receives packets. */
export class VirtioRxQueue implements RxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly receive: (batch: PacketBatch) => number;
  readonly #post: (chains: number) => void;
  /** Packets dropped because they did not fit in one buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  readonly #queue: Virtqueue;
  readonly #format: Format;
  /** Where the device writes, by buffer: the packet, or its header in the headroom. */
  readonly #address: Float64Array;
  /** The packets' memory, for moving them. */
  readonly #words: Uint32Array;
  /** The buffer of each chain, by the chain's id. */
  readonly #slots: Uint32Array;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);
  /** Whether the slow path is calling `receive`, which must not enter it again. */
  #recovering = false;

  /**
   * Creates a receive queue and fills it with buffers. They become available to the device with
   * {@linkcode VirtioRxQueue.prototype.start}.
   *
   * @param queue Chains of two descriptors; or of one if the pool has headroom or the header has 12
   * bytes.
   * @param headerBytes Bytes of the header that the device writes before each packet: 10 or 12.
   * @param merges Whether MRG_RXBUF was negotiated.
   * @param most Most packets to have buffers for.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, merges: boolean, most: number) {
    const { perChain } = queue, { memory, headroom, maxLength } = pool;
    const before = perChain === 1 && headroom >= headerBytes ? headerBytes : 0;
    const over = perChain === 1 ? headerBytes - before : 0;
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    this.#address = new Float64Array(pool.addresses(queue.addressing, before).buffer);
    this.#format = {
      headerBytes,
      maxBytes: maxLength - over,
      over,
      merges,
      headers: perChain === 1 ? new Uint16Array(memory.buffer, headroom - before) : queue.headers,
      posted: Math.min(queue.chains, most),
    };
    this.#words = new Uint32Array(memory.buffer, headroom);
    this.#slots = new Uint32Array(queue.areas.entries).fill(NO_BUFFER);
    queue.describeChains(headerBytes, before + maxLength, DESC_WRITE, !merges);
    const made = makeReceive(
      queue,
      pool,
      this.#format,
      this.#slots,
      this.#address,
      this.#state,
      this.#totals,
      (buffers, n) => this.#strip(buffers, n),
      (arrived, outstanding) => void this.#arrange(arrived, outstanding),
      (batch) => this.#slowPath(batch),
    );
    this.receive = made.receive;
    this.#post = made.post;
    this.#fill();
  }

  /** Gives each chain to post a buffer from the pool. */
  #fill(): void {
    const { order, available, areas, perChain } = this.#queue, { posted } = this.#format;
    for (let position = 0; position < posted; position++) {
      const id = order[position], buffer = this.pool.allocate(1);
      this.pool.lengths[buffer] = 0; // the device owns it
      this.#slots[id] = buffer;
      const address = new Uint32Array(this.#address.buffer, 8 * buffer, 2);
      this.#queue.descriptors.set(address, WORDS * (id + perChain - 1));
      available[AVAILABLE_RING + (position & (areas.entries - 1))] = id;
    }
    this.#state[TAIL] = posted;
  }

  /** Packets received by the program. */
  get packets(): number {
    return this.#totals[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#totals[BYTES];
  }

  /** Chains that are with the device. */
  get held(): number {
    return (this.#state[TAIL] - this.#state[NEXT]) & 0xffff;
  }

  /** Makes all buffers available to the device. */
  start(): void {
    this.#queue.publish(this.#state[TAIL]);
  }

  /** Moves packets to the start of their buffers, over their headers of 12 bytes. */
  #strip(buffers: Uint32Array, n: number): void {
    const { lengths, bufferSize, bytes } = this.pool, words = this.#words;
    const header = this.#format.over >> 2, stride = bufferSize >> 2;
    for (let i = 0; i < n; i++) {
      const buffer = buffers[i], size = lengths[buffer];
      let w = Math.imul(buffer, stride);
      if (size < LONG) {
        for (const end = w + ((size + 3) >> 2); w < end; w++) words[w] = words[w + header];
      } else {
        bytes.copyWithin(w << 2, (w + header) << 2, ((w + header) << 2) + size);
      }
    }
  }

  /**
   * Refuses a batch that cannot be received into. Otherwise handles entries without a whole packet, out
   * of order, or that the pool has no buffer for, then receives the packets that follow. Stops after one
   * ring, since a device may add such entries without end.
   */
  #slowPath(batch: PacketBatch): number {
    const pool = this.pool, state = this.#state, { posted } = this.#format;
    if (this.#closed || batch.pool !== pool || batch.length !== 0) {
      refuseBatch("receive", batch, pool, this.#closed);
    }
    if (this.#recovering) return 0;
    const { held } = this;
    for (let i = 0; i < posted && this.#handleException(); i++);
    if (this.held < held) this.#post(posted - this.held);
    if (state[DROPPING] > 0) return 0;
    this.#recovering = true;
    try {
      return this.receive(batch);
    } finally {
      this.#recovering = false;
    }
  }

  get #closed(): boolean {
    return this.#state[DROPPING] < 0;
  }

  /** Whether the pool has a buffer to post instead of the next packet's. */
  get #hasBuffer(): boolean {
    return this.pool.freeCount > this.#format.posted - this.held;
  }

  /**
   * Handles the next entry if it is an exception: puts it in order, or drops its packet.
   *
   * @returns Whether an exception was handled: not if nothing has arrived.
   */
  #handleException(): boolean {
    const queue = this.#queue, state = this.#state, position = state[NEXT], { held } = this;
    const { headerBytes, maxBytes, merges, headers, posted } = this.#format;
    const arrived = (queue.usedIndex[1] - position) & 0xffff;
    if (arrived === 0) return false;
    if (arrived > held) throw queue.overrun(position, held);
    if (this.#arrange(arrived, held)) return true;
    const id = queue.order[position % queue.chains], buffer = this.#slots[id];
    const bytes = queue.used[USED_RING + 2 * (position & (queue.areas.entries - 1)) + 1];
    const dropping = state[DROPPING] > 0;
    if (bytes < (dropping ? 1 : headerBytes + 1) || bytes > headerBytes + maxBytes) {
      throw queue.malformed(position, `a length of ${bytes} bytes`);
    }
    if (dropping) {
      state[DROPPING]--;
    } else {
      const header = queue.perChain === 1 ? buffer * this.pool.bufferSize / 2 : id << HEADER_SHIFT;
      const spread = merges ? headers[header + NUM_BUFFERS] : 1;
      if (spread === 0 || spread > posted) {
        throw queue.malformed(position, `a packet in ${spread} buffers`);
      }
      if (spread > 1) this.tooLong++;
      else if (this.#hasBuffer || (this.pool.reclaim() > 0 && this.#hasBuffer)) return false;
      else this.noBuffer++;
      state[DROPPING] = spread - 1;
    }
    this.pool.takeBack([buffer]);
    state[NEXT] = (position + 1) & 0xffff;
    return true;
  }

  /**
   * Puts the next entry in order if its chain is not the expected one. Call it before new buffers
   * are published: an entry cannot refer to those yet.
   *
   * @returns Whether the chain was not the expected one.
   */
  #arrange(arrived: number, outstanding: number): boolean {
    const queue = this.#queue, position = this.#state[NEXT];
    const { headerBytes, maxBytes } = this.#format;
    const entry = USED_RING + 2 * (position & (queue.areas.entries - 1));
    if (queue.used[entry] === queue.order[position % queue.chains]) return false;
    queue.arrange(position, outstanding, arrived, headerBytes + maxBytes);
    return true;
  }

  /**
   * Closes the queue.
   *
   * @param atRest Whether the device has stopped, so that the queue's buffers return to the pool.
   * @param peer The process that serves the device, if there is one: it decides when they return.
   */
  close(atRest: boolean, peer?: Peer): void {
    const { order, chains } = this.#queue, pool = this.pool, buffers: number[] = [];
    for (let i = 0; i < this.held; i++) {
      buffers.push(this.#slots[order[(this.#state[NEXT] + i) % chains]]);
    }
    if (peer) peer.giveBack(pool, buffers);
    else if (atRest) pool.takeBack(buffers);
    this.#state[DROPPING] = -1;
  }
}
