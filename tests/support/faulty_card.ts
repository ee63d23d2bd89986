/**
 * Cards for tests of the self-test: the NIC model in one thread, whole or with a fault. Not a test itself.
 *
 * @module
 */

import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import type { OpenOptions, PacketBatch, RxQueue } from "../../mod.ts";
import type { Access } from "../../nic/selftest/check.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import type { DmaMemory } from "../../src/dma.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { InterruptingFunction } from "./interrupt_events.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What a fault makes of a value. */
type Change = (value: number) => number;

/**
 * A card in a slot. It works while a driver reads a register, or checks that the card is alive.
 */
export class Card extends InterruptingFunction implements Access {
  override readonly address: string;
  noInterrupts: string | undefined;
  /** The card at the other end of its cable. */
  other: Card | undefined;
  /** Called when a driver has received packets. */
  onReceive: (batch: PacketBatch) => void = () => {};
  /** Called when the function was closed. */
  onClose: () => void = () => {};
  /** Returns the vector that is signalled instead of another; -1 for none. */
  vector: Change = (vector) => vector;
  /** Memory that was mapped for DMA last. */
  memory: DmaMemory | undefined;
  readonly #reads = new Map<number, Change>();
  readonly #writes = new Map<number, Change>();

  constructor(options: NicOptions = {}, readonly number = 1) {
    super(options);
    this.address = `0000:03:00.${number - 1}`;
  }

  /** Alters what reads of a register return. */
  alterReads(register: Register, change: Change, index = 0): void {
    this.#reads.set(offsetOf(register, index), change);
  }

  /** Alters what writes of a register store. */
  alterWrites(register: Register, change: Change, index = 0): void {
    this.#writes.set(offsetOf(register, index), change);
  }

  async open(options: OpenOptions): Promise<IxgbeDevice> {
    const device = await ixgbe.attach(this, options) as IxgbeDevice;
    for (const queue of device.rxQueues as Writable<RxQueue>[]) {
      const { receive } = queue;
      queue.receive = (batch) => {
        receive(batch);
        this.onReceive(batch);
        return batch.length;
      };
    }
    return device;
  }

  isBusMaster(): boolean {
    return this.log.findLast((line) => line.startsWith("bus master")) === "bus master on";
  }

  override bar(index: number): Bar {
    const bar = super.bar(index);
    return {
      ...bar,
      read: (offset, bytes) => {
        this.other?.nic.poll();
        const value = bar.read(offset, bytes);
        return (this.#reads.get(offset)?.(value) ?? value) >>> 0;
      },
      write: (offset, bytes, value) => {
        bar.write(offset, bytes, (this.#writes.get(offset)?.(value) ?? value) >>> 0);
      },
    };
  }

  override interrupts(vectors: number): readonly number[] {
    const fds = super.interrupts(vectors), signal = this.nic.onInterrupt!;
    this.nic.onInterrupt = (vector) => {
      const instead = this.vector(vector);
      if (instead >= 0) signal(instead);
    };
    return fds;
  }

  override mapDma(memory: DmaMemory): void {
    super.mapDma(memory);
    this.memory = memory;
  }

  override checkAlive(): void {
    this.nic.poll();
    super.checkAlive();
  }

  override close(): void {
    if (this.log.at(-1) === "close") return;
    super.close();
    this.onClose();
  }
}
