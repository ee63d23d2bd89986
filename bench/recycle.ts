/**
 * The least that can be done between two ports: each received buffer's descriptor is copied to the
 * other port's transmit ring, and back when it has left. No pool, no batches, no counts, no byte of a
 * packet is touched. What the software NIC reaches with it is what the software NIC can do at most:
 * `deno task bench` marks figures that come near. No forwarder for use.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { Mempool, StopFlag, UsageError } from "../mod.ts";
import * as D from "../ixgbe/descriptors.ts";
import { ixgbe, type IxgbeDevice } from "../ixgbe/device.ts";
import * as R from "../ixgbe/registers.ts";
import { parsePciAddress } from "../src/pci/address.ts";
import type { Doorbell, PciFunction } from "../src/pci/function.ts";
import { SysfsFunction } from "../src/pci/sysfs.ts";
import { VfioUserFunction } from "../src/pci/vfio_user.ts";
import type { Addressing } from "../src/dma.ts";
import { command } from "../programs/command_line.ts";
import { whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";
import { offsetOf } from "../src/registers.ts";

/** What to do. */
interface Plan {
  readonly addresses: readonly string[];
  readonly queues: number;
}

/** The program, as it is called. */
export const RECYCLE = command({
  start: "deno run --allow-ffi bench/recycle.ts",
  operands: { shown: "A B", are: "two devices", least: 2, most: 2 },
  about:
    `Hands descriptors from each port of the software NIC to the other, until it is ended by a signal.
A and B are vfio-user:PATH, or addresses of PCI functions.`,
  options: {
    queues: whole("receive and transmit queues of each", { least: 1, most: 16, default: 1 }),
  },
  plan: ({ values: { queues }, operands: addresses }): Plan => ({ addresses, queues }),
});

/** Descriptors of a ring: a power of two. */
const ENTRIES = 512, MASK = ENTRIES - 1;
/** Descriptors after which the NIC reports, and that go back at once: a power of two. */
const RUN = 16;
const COMMAND = D.TX_DTYP_DATA | D.TX_DEXT | D.TX_IFCS | D.TX_EOP;
/** Rounds between looks at the signal and at the devices. */
const ROUNDS = 4096;
/** Deadline for a queue to go on or off, in milliseconds. */
const QUEUE_MS = 100;
/** How often, at least, a NIC whose registers are mere memory looks at them, in milliseconds. */
const LOOK_MS = 25;

/** A port that is open, and what the program needs beside the device. */
interface Port {
  readonly bus: PciFunction;
  readonly device: IxgbeDevice;
}

/** Where a ring of ours is. */
interface Ring {
  readonly words: Uint32Array;
  readonly busAddress: number;
}

function openFunction(address: string): PciFunction {
  const socket = /^vfio-user:(.+)$/.exec(address)?.[1];
  if (socket !== undefined) return new VfioUserFunction(address, socket);
  const pci = parsePciAddress(address);
  if (pci !== undefined) return new SysfsFunction(pci);
  throw new UsageError(`"${address}" is not an address of a device: see --help`);
}

async function openPort(address: string, pool: Mempool, queues: number): Promise<Port> {
  const bus = openFunction(address);
  try {
    const device = await ixgbe.attach(bus, {
      pools: Array<Mempool>(queues).fill(pool),
      rxQueues: queues,
      txQueues: queues,
      promiscuous: true,
    }) as IxgbeDevice;
    return { bus, device };
  } catch (error) {
    bus.close();
    throw error;
  }
}

/** A ring in buffers that lie next to each other. */
function ring(pool: Mempool, addressing: Addressing): Ring {
  const bytes = ENTRIES * D.BYTES;
  const first = pool.allocate(pool.bufferSize), offset = first * pool.bufferSize;
  for (let taken = pool.bufferSize; taken < bytes; taken += pool.bufferSize) {
    pool.allocate(pool.bufferSize);
  }
  return {
    words: new Uint32Array(pool.memory.buffer, offset, bytes / 4),
    busAddress: pool.memory.busAddress(offset, addressing),
  };
}

/** Gives a queue another ring than the driver's; returns its tail register. */
async function moveTo(ring: Ring, port: Port, queue: number, way: "rx" | "tx"): Promise<Doorbell> {
  const { registers: regs } = port.device;
  const [low, high, length, head, tail] = way === "rx"
    ? [R.RDBAL, R.RDBAH, R.RDLEN, R.RDH, R.RDT]
    : [R.TDBAL, R.TDBAH, R.TDLEN, R.TDH, R.TDT];
  const control = way === "rx" ? R.RXDCTL : R.TXDCTL, { ENABLE } = control;
  regs.clear(control, ENABLE, queue);
  await regs.wait(control, ENABLE, 0, QUEUE_MS, queue);
  await delay(LOOK_MS);
  regs.write(low, ring.busAddress % 2 ** 32, queue);
  regs.write(high, Math.floor(ring.busAddress / 2 ** 32), queue);
  regs.write(length, ENTRIES * D.BYTES, queue);
  regs.write(head, 0, queue);
  regs.write(tail, 0, queue);
  regs.set(control, ENABLE, queue);
  await regs.wait(control, ENABLE, ENABLE, QUEUE_MS, queue);
  await delay(LOOK_MS);
  return port.bus.bar(0).doorbell(offsetOf(tail, queue));
}

/**
 * One way through one pair of queues. Descriptor i of both rings always has the same buffer: it is
 * either with the receiver or with the transmitter.
 */
class Lane {
  readonly #addresses: Uint32Array;
  readonly #rx: Uint32Array;
  readonly #tx: Uint32Array;
  readonly #rdt: Doorbell;
  readonly #tdt: Doorbell;
  /** The descriptor that a packet comes into next, and the first one that is with the transmitter. */
  #next = 0;
  #clean = 0;

  private constructor(rx: Ring, tx: Ring, rdt: Doorbell, tdt: Doorbell, buffers: Uint32Array) {
    this.#rx = rx.words;
    this.#tx = tx.words;
    this.#rdt = rdt;
    this.#tdt = tdt;
    this.#addresses = buffers;
    for (let i = 0; i < ENTRIES; i++) this.#arm(i);
    ringDoorbell(rdt, MASK);
  }

  /** A lane from one port to the other, through their queues of this number. */
  static async open(pool: Mempool, from: Port, to: Port, queue: number): Promise<Lane> {
    const { addressing } = from.bus, column = pool.addresses(addressing);
    const rx = ring(pool, addressing), tx = ring(pool, addressing);
    const buffers = new Uint32Array(2 * ENTRIES);
    for (let i = 0; i < ENTRIES; i++) {
      const buffer = pool.allocate(pool.bufferSize);
      buffers.set(column.subarray(2 * buffer, 2 * buffer + 2), 2 * i);
    }
    const tdt = await moveTo(tx, to, queue, "tx");
    return new Lane(rx, tx, await moveTo(rx, from, queue, "rx"), tdt, buffers);
  }

  /** Sends what has come, and takes back what has left. */
  recycle(): void {
    const rx = this.#rx, tx = this.#tx, addresses = this.#addresses;
    const first = this.#next;
    let i = first;
    while ((rx[i << 2 | 2] & D.RX_DD) !== 0 && ((i + 1) & MASK) !== this.#clean) {
      const d = i << 2, size = rx[d | 3] & 0xffff;
      tx[d] = addresses[i << 1];
      tx[d | 1] = addresses[i << 1 | 1];
      tx[d | 2] = COMMAND | size | ((i & RUN - 1) === RUN - 1 ? D.TX_RS : 0);
      tx[d | 3] = size << D.TX_PAYLEN_SHIFT;
      rx[d | 2] = 0;
      i = (i + 1) & MASK;
    }
    if (i !== first) {
      this.#next = i;
      ringDoorbell(this.#tdt, i);
    }
    const last = this.#clean | RUN - 1;
    if ((tx[last << 2 | 3] & D.TX_DD) !== 0) this.#takeBack(last);
  }

  /** The packets of a run have left: their buffers are the receiver's again. */
  #takeBack(last: number): void {
    this.#tx[last << 2 | 3] = 0;
    for (let i = this.#clean; i <= last; i++) this.#arm(i);
    this.#clean = (last + 1) & MASK;
    ringDoorbell(this.#rdt, last);
  }

  #arm(i: number): void {
    const d = i << 2;
    this.#rx[d] = this.#addresses[i << 1];
    this.#rx[d | 1] = this.#addresses[i << 1 | 1];
    this.#rx[d | 2] = this.#rx[d | 3] = 0;
  }
}

function ringDoorbell(doorbell: Doorbell, value: number): void {
  doorbell.words[doorbell.index] = value;
  if (doorbell.write !== undefined) doorbell.write(value);
}

/** A function of its own, so that the compiler optimizes the loop as a whole. */
function recycleRounds(lanes: readonly Lane[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < lanes.length; i++) lanes[i].recycle();
  }
}

async function main({ addresses: [a, b], queues }: Plan): Promise<number> {
  // Per queue and way: two rings, the buffers between them, and the ring that the driver fills first.
  using pool = new Mempool({ buffers: 4096 * queues });
  using stop = new StopFlag();
  const portA = await openPort(a, pool, queues);
  using _a = portA.device;
  const portB = await openPort(b, pool, queues);
  using _b = portB.device;
  const lanes: Lane[] = [];
  for (let queue = 0; queue < queues; queue++) {
    lanes.push(await Lane.open(pool, portA, portB, queue));
    lanes.push(await Lane.open(pool, portB, portA, queue));
  }
  console.log(JSON.stringify({ ready: true }));
  while (stop.signal === 0) {
    recycleRounds(lanes);
    portA.bus.checkAlive();
    portB.bus.checkAlive();
  }
  return 0;
}

if (import.meta.main) await run(RECYCLE, main);
