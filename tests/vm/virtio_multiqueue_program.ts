/**
 * Run in the guest: sends UDP packets of several flows through each transmit queue of a device to a
 * host that sends them back, and checks what arrives in which receive queue. Prints the counts.
 *
 * @module
 */

import { type Device, Mempool, open, PacketBatch } from "../../mod.ts";
import { checksum } from "../../packets/checksum.ts";

/** The program's argument, as JSON. */
export interface MultiqueueOrder {
  /** The device. */
  readonly address: string;
  readonly virtio: "legacy" | "modern";
  /** Pairs of queues. */
  readonly pairs: number;
  /** Number of packets, sent through the queues in turn. */
  readonly packets: number;
  /** Their destination: a MAC address, an IPv4 address and a port. */
  readonly mac: readonly number[];
  readonly ip: readonly number[];
  readonly port: number;
}

/** The program's output, as JSON. */
export interface MultiqueueResult {
  /** Packets that have come back, by receive queue. Each came back once, unchanged. */
  readonly received: readonly number[];
  /** The packets among them that came back through the queue that their flow is sent through. */
  readonly steered: number;
  /** The device's count of sent packets. */
  readonly txPackets: number;
}

/** Address of this end of the cable. */
export const GUEST_IP: readonly number[] = [192, 0, 2, 2];

/** Flows of each queue, and the port of the first. */
const FLOWS = 8, FIRST_PORT = 5000;
/** Sizes of packets: with a step that is coprime to their number, every size occurs. */
const MIN_SIZE = 60, SIZES = 1455, SIZE_STEP = 1033;
/** Most packets on their way: as many as fit in the host's socket. */
const WINDOW = 32;
const BATCH = 32;
/** Time without a packet after which those on their way count as lost, in milliseconds. */
const LOST_MS = 30000;

// Offsets in a packet, in bytes.
const IP = 14, UDP = 34, PAYLOAD = 42;

/**
 * Returns the flow of a packet, which determines its queue: flows `8 q` to `8 q + 7` use queue `q`.
 */
function flowOf(n: number, pairs: number): number {
  return n % pairs * FLOWS + Math.floor(n / pairs) % FLOWS;
}

/** Returns packet number `n`. */
function build(n: number, own: Uint8Array, { pairs, mac, ip, port }: MultiqueueOrder): Uint8Array {
  const bytes = Uint8Array.from(
    { length: MIN_SIZE + n * SIZE_STEP % SIZES },
    (_, i) => n + i * (n % 7 + 1),
  );
  const view = new DataView(bytes.buffer);
  bytes.set(mac);
  bytes.set(own, 6);
  view.setUint16(12, 0x0800);
  view.setUint32(IP, 0x45000000 | bytes.length - IP);
  view.setUint32(IP + 4, 0x00004000); // do not fragment
  view.setUint32(IP + 8, 0x40110000); // time to live 64, UDP
  bytes.set(GUEST_IP, IP + 12);
  bytes.set(ip, IP + 16);
  view.setUint16(IP + 10, checksum(bytes, IP, UDP));
  view.setUint16(UDP, FIRST_PORT + flowOf(n, pairs));
  view.setUint16(UDP + 2, port);
  view.setUint16(UDP + 4, bytes.length - UDP);
  view.setUint16(UDP + 6, 0); // no checksum
  view.setUint32(PAYLOAD, n);
  return bytes;
}

/** The packets that were sent, and those that have come back. */
class Exchange {
  readonly received: number[];
  steered = 0;
  sent = 0;
  back = 0;
  readonly #device: Device;
  readonly #order: MultiqueueOrder;
  readonly #own: Uint8Array;
  readonly #batches: readonly PacketBatch[];
  readonly #seen = new Set<number>();
  /** The number of the last packet that came back, by flow. */
  readonly #last: number[];

  constructor(device: Device, order: MultiqueueOrder) {
    this.#device = device;
    this.#order = order;
    this.#own = device.macAddress();
    this.#batches = device.rxQueues.map(({ pool }) => new PacketBatch(pool, BATCH));
    this.received = device.rxQueues.map(() => 0);
    this.#last = Array<number>(FLOWS * order.pairs).fill(-1);
  }

  /** Sends packets until the most are on their way. */
  send(): void {
    while (this.sent < this.#order.packets && this.sent - this.back < WINDOW) {
      const pair = this.sent % this.#order.pairs, batch = this.#batches[pair];
      if (!batch.add(build(this.sent, this.#own, this.#order))) return;
      if (this.#device.txQueues[pair].transmit(batch) === 0) {
        batch.free();
        return;
      }
      this.sent++;
    }
  }

  /** Receives from every queue. */
  receive(): void {
    this.#device.rxQueues.forEach((queue, pair) => {
      const batch = this.#batches[pair];
      queue.receive(batch);
      for (const packet of batch) this.#check(packet, pair);
      batch.free();
    });
  }

  #check(packet: Uint8Array, pair: number): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const { port, pairs } = this.#order;
    const ours = packet.length >= MIN_SIZE && view.getUint16(12) === 0x0800 &&
      packet[IP + 9] === 17 && view.getUint16(UDP) === port;
    if (!ours) return; // the host's network stack sends packets of its own too
    const n = view.getUint32(PAYLOAD), flow = view.getUint16(UDP + 2) - FIRST_PORT;
    if (n >= this.sent || this.#seen.has(n)) {
      throw new Error(`packet ${n} came back twice, or was never sent`);
    }
    const same = build(n, this.#own, this.#order).subarray(PAYLOAD);
    const payload = packet.subarray(PAYLOAD);
    if (flow !== flowOf(n, pairs) || payload.length !== same.length) {
      throw new Error(`packet ${n} came back in flow ${flow} with ${packet.length} bytes`);
    }
    if (payload.some((byte, i) => byte !== same[i])) throw new Error(`packet ${n} is damaged`);
    if (n <= this.#last[flow]) throw new Error(`packet ${n} came after ${this.#last[flow]}`);
    this.#seen.add(n);
    this.#last[flow] = n;
    this.back++;
    this.received[pair]++;
    if (Math.floor(flow / FLOWS) === pair) this.steered++;
  }
}

async function main(): Promise<void> {
  const order: MultiqueueOrder = JSON.parse(Deno.args[0]);
  const { address, virtio, pairs, packets } = order;
  using stack = new DisposableStack();
  const pools = Array.from({ length: pairs }, () => stack.use(new Mempool({ buffers: 1024 })));
  using device = await open(address, { virtio, pools, rxQueues: pairs, txQueues: pairs });
  const exchange = new Exchange(device, order);
  let progress = performance.now();
  while (exchange.back < packets) {
    const before = exchange.back, late = performance.now() - progress > LOST_MS;
    exchange.send();
    exchange.receive();
    if (exchange.back > before) progress = performance.now();
    else if (late) {
      throw new Error(`${exchange.sent} packets were sent, ${exchange.back} came back`);
    }
  }
  const { received, steered } = exchange;
  const { txPackets } = device.statistics();
  const result: MultiqueueResult = { received, steered, txPackets };
  console.log(JSON.stringify(result));
}

if (import.meta.main) await main();
