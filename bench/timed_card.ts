/**
 * A card for the driver in this thread: the NIC model, whose registers take time to access. Between
 * accesses the model works as a card does, whether the driver looks or not.
 *
 * @module
 */

import type { DmaMemory } from "../src/dma.ts";
import type { Bar, Doorbell, PciFunction } from "../src/pci/function.ts";
import { Nic, type NicOptions } from "../sim/nic/nic.ts";
import type { Model } from "../sim/pci/model.ts";
import type { VirtualTime } from "../sim/virtual_time.ts";

/** What an access to a register over PCIe takes, in milliseconds. */
const READ_MS = 0.0012, WRITE_MS = 0.0002;
const BAR0_BYTES = 512 * 1024;

/** The card. */
export class TimedCard implements PciFunction {
  readonly address = "card";
  readonly addressing = "iova" as const;
  readonly behindIommu = false;
  readonly nic: Nic;
  /** The model, or what stands before it: all accesses of the driver go there. */
  model: Model;
  readonly #time: VirtualTime;
  readonly #deviceId: number;
  readonly #mapped = new Set<DmaMemory>();

  /** Creates a card that has just been powered on. */
  constructor(time: VirtualTime, options: NicOptions & { readonly deviceId: number }) {
    this.#time = time;
    this.#deviceId = options.deviceId;
    this.model = this.nic = new Nic(options);
  }

  readConfig(offset: number, _bytes: 1 | 2 | 4): number {
    return ({ 0: 0x8086, 2: this.#deviceId, 4: 0, 10: 0x0200 } as Record<number, number>)[offset];
  }

  writeConfig(): void {}

  claim(): void {}

  bar(_index: number): Bar {
    const write = (offset: number, value: number) => {
      this.#time.pass(WRITE_MS);
      this.nic.poll();
      this.model.write32(offset, value);
    };
    return {
      size: BAR0_BYTES,
      read: (offset) => {
        this.#time.pass(READ_MS);
        this.nic.poll();
        return this.model.read32(offset);
      },
      write: (offset, _bytes, value) => write(offset, value),
      doorbell: (offset): Doorbell => ({
        words: new Uint32Array(1),
        index: 0,
        write: (value) => write(offset, value),
      }),
    };
  }

  mapDma(memory: DmaMemory): void {
    if (this.#mapped.has(memory)) return;
    this.#mapped.add(memory);
    memory.pin();
    this.nic.dma.map(memory.busAddress(0, "iova"), memory.buffer, 0, memory.bytes);
  }

  setBusMaster(on: boolean): void {
    this.model.setBusMaster(on);
  }

  checkAlive(): void {}

  close(): void {
    this.setBusMaster(false);
    this.nic.dma.clear();
    for (const memory of this.#mapped) memory.unpin();
    this.#mapped.clear();
  }
}
