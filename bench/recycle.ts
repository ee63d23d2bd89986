/**
 * A minimal forwarder, for measuring only: it copies the descriptor of each received buffer to the
 * other port's transmit ring, and back once the packet has left. It has no pool, batches or counts,
 * and touches no byte of a packet. Its rate is the limit of the software NIC; `deno task bench`
 * marks figures close to it.
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

/** The command line. */
export const RECYCLE = command({
  start: "deno run --allow-ffi bench/recycle.ts",
  operands: { shown: "A B", are: "two devices", least: 2, most: 2 },
  about: `Passes descriptors from each port of the software NIC to the other until a signal arrives.
A and B are vfio-user:PATH or addresses of PCI functions.`,
  options: {
    queues: whole("receive and transmit queues of each port", { least: 1, most: 16, default: 1 }),
  },
  plan: ({ values: { queues }, operands: addresses }): Plan => ({ addresses, queues }),
});

/** Descriptors of a ring: a power of two. */
const ENTRIES = 512, MASK = ENTRIES - 1;
/** Descriptors of a run, which the NIC reports and the program returns together: a power of two. */
const RUN = 16;
const COMMAND = D.TX_DTYP_DATA | D.TX_DEXT | D.TX_IFCS | D.TX_EOP;
/** Rounds between checks of the signal and of the devices. */
const ROUNDS = 4096;
/** Deadline for a queue to start or stop, in milliseconds. */
const QUEUE_MS = 100;
/** Milliseconds after which a software NIC with plain registers has certainly read them. */
const LOOK_MS = 25;

/** An open port: its PCI function and its device. */
interface Port {
  readonly pci: PciFunction;
  readonly device: IxgbeDevice;
}

/** A ring of this program. */
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
  const pci = openFunction(address);
  try {
    const device = await ixgbe.attach(pci, {
      pools: Array<Mempool>(queues).fill(pool),
      rxQueues: queues,
      txQueues: queues,
      promiscuous: true,
    }) as IxgbeDevice;
    return { pci, device };
  } catch (error) {
    pci.close();
    throw error;
  }
}

/** Creates a ring in adjacent buffers of a new pool. */
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

/** Replaces the driver's ring of a queue; returns the tail register. */
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
  return port.pci.bar(0).doorbell(offsetOf(tail, queue));
}

/**
 * One way through one pair of queues. Descriptor i of both rings always names the same buffer,
 * which is in either the receive or the transmit ring.
 */
class Lane {
  readonly #addresses: Uint32Array;
  readonly #rx: Uint32Array;
  readonly #tx: Uint32Array;
  readonly #rdt: Doorbell;
  readonly #tdt: Doorbell;
  /** The next descriptor to receive into, and the first one in transmission. */
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

  /** Opens a lane from one port to the other, through their queues with this number. */
  static async open(pool: Mempool, from: Port, to: Port, queue: number): Promise<Lane> {
    const { addressing } = from.pci, column = pool.addresses(addressing);
    const rx = ring(pool, addressing), tx = ring(pool, addressing);
    const buffers = new Uint32Array(2 * ENTRIES);
    for (let i = 0; i < ENTRIES; i++) {
      const buffer = pool.allocate(pool.bufferSize);
      buffers.set(column.subarray(2 * buffer, 2 * buffer + 2), 2 * i);
    }
    const tdt = await moveTo(tx, to, queue, "tx");
    return new Lane(rx, tx, await moveTo(rx, from, queue, "rx"), tdt, buffers);
  }

  /** Sends received packets, and returns the buffers of packets that have left. */
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

  /** Gives the buffers of a run whose packets have left to the receive ring. */
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

/** A short function that only loops, so that V8 optimises it as a whole. */
function recycleRounds(lanes: readonly Lane[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < lanes.length; i++) lanes[i].recycle();
  }
}

async function main({ addresses: [a, b], queues }: Plan): Promise<number> {
  // Per queue and way: two rings, their buffers, and the buffers with which the driver fills its
  // ring.
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
    portA.pci.checkAlive();
    portB.pci.checkAlive();
  }
  return 0;
}

if (import.meta.main) await run(RECYCLE, main);
