/**
 * A PCI function that connects the driver to the NIC model in one thread: every register access is
 * a call, and each read lets the model work, so that tests go step by step and need no process.
 *
 * @module
 */

import type { Bar, Doorbell, PciFunction } from "../../src/pci/function.ts";
import type { DmaMemory } from "../../src/dma.ts";
import { DeviceError } from "../../src/errors.ts";
import { Nic, type NicOptions } from "../../sim/nic/nic.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import type { Wire, WirePort } from "../../sim/wires/wire.ts";

/** A wire that the test controls: frames that the port sent, and frames for it to receive. */
export class TestWire implements Wire {
  readonly kind = "test";
  readonly fd = -1;
  /** Frames that the port sent. */
  readonly sent: Uint8Array[] = [];
  /** Frames for the port, in order. */
  readonly waiting: Uint8Array[] = [];
  /** Whether the port took each frame. */
  readonly taken: boolean[] = [];
  readonly #frame = new FrameBuffer();

  transmit(frame: FrameBuffer, length: number): void {
    this.sent.push(frame.bytes.slice(0, length));
  }

  poll(port: WirePort, budget: number): number {
    let n = 0;
    for (; n < budget && this.waiting.length > 0; n++) {
      const frame = this.waiting.shift()!;
      this.#frame.bytes.set(frame);
      this.taken.push(port.receive(this.#frame, frame.length));
    }
    return n;
  }

  statistics(): Record<string, number> {
    return { sent: this.sent.length };
  }

  close(): void {}
}

/** The model as a PCI function of this thread. */
export class ModelFunction implements PciFunction {
  readonly address: string = "model";
  readonly addressing = "iova" as const;
  readonly behindIommu = false;
  readonly nic: Nic;
  readonly wire = new TestWire();
  /** Actions of the driver, for tests of their order: `claim`, `bus master on`, `close`, … */
  readonly log: string[] = [];
  /** Register writes, as offset and value. */
  readonly writes: [number, number][] = [];
  /** Values that registers read instead of the model's, by offset. */
  readonly overrides = new Map<number, number>();
  readonly #deviceId: number;
  readonly #words = new Uint32Array(512 * 1024 / 4);
  readonly #mapped = new Set<DmaMemory>();
  #removed = false;

  constructor(options: NicOptions = {}) {
    this.#deviceId = options.deviceId ?? 0x10fb;
    this.nic = new Nic({ ...options, doorbells: this.#words, pollDoorbells: true });
    this.nic.wire = this.wire;
  }

  readConfig(offset: number, _bytes: 1 | 2 | 4): number {
    return ({ 0: 0x8086, 2: this.#deviceId, 4: 0, 10: 0x0200 } as Record<number, number>)[offset];
  }

  writeConfig(): void {}

  claim(): void {
    this.log.push("claim");
  }

  bar(_index: number): Bar {
    const nic = this.nic;
    return {
      size: 512 * 1024,
      read: (offset) => {
        nic.poll();
        return this.overrides.get(offset) ?? nic.read32(offset);
      },
      write: (offset, _bytes, value) => {
        this.writes.push([offset, value]);
        nic.write32(offset, value);
      },
      doorbell: (offset): Doorbell => ({
        words: this.#words,
        index: offset / 4,
        write: undefined,
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
    this.log.push(`bus master ${on ? "on" : "off"}`);
    this.nic.setBusMaster(on);
  }

  checkAlive(): void {
    if (this.#removed) throw new DeviceError(this.address, "the device is gone");
  }

  /** Pulls the device out of its slot. */
  remove(): void {
    this.#removed = true;
    this.nic.remove();
  }

  close(): void {
    if (this.log.at(-1) === "close") return;
    this.setBusMaster(false);
    this.log.push("close");
    this.nic.disconnect();
    for (const memory of this.#mapped) memory.unpin();
    this.#mapped.clear();
  }
}
