/**
 * The ixgbe driver on the NIC model, in one thread, for its tests. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { Mempool, type OpenOptions, PacketBatch } from "../../mod.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ModelFunction } from "./model_function.ts";

/** The station address of the model. */
export const OWN = [0x02, 0, 0, 0, 0x12, 0x34];

/**
 * A driver on the NIC model. Disposing asserts that it broke no rule and that all buffers are free.
 */
export class Bench implements Disposable {
  readonly pool = new Mempool({ buffers: 1024, memory: "pages" });
  readonly batch = new PacketBatch(this.pool, 32);
  device!: IxgbeDevice;

  private constructor(readonly pci: ModelFunction) {}

  static async start(options: OpenOptions = {}, pci?: ModelFunction): Promise<Bench> {
    const bench = new Bench(pci ?? new ModelFunction({ mac: Uint8Array.from(OWN) }));
    bench.device = await ixgbe.attach(bench.pci, { pool: bench.pool, ...options }) as IxgbeDevice;
    return bench;
  }

  /** Sends a frame to the NIC; returns whether the driver received it. */
  passes(destination: readonly number[]): boolean {
    const frame = new Uint8Array(60);
    frame.set(destination);
    this.pci.wire.waiting.push(frame);
    this.pci.nic.poll();
    return this.device.rxQueues[0].receive(this.batch) === 1 && this.batch.free() === 1;
  }

  reads(register: Register, index = 0): number {
    return this.pci.nic.read32(offsetOf(register, index));
  }

  [Symbol.dispose](): void {
    this.device.close();
    assertEquals(this.pci.nic.rules.violations, []);
    assertEquals(this.pool.freeCount, this.pool.buffers);
    this.pool[Symbol.dispose]();
  }
}
