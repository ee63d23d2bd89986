/**
 * The actions of an experiment with VirtIO devices, without a recorder: what the driver and the devices
 * do when nobody looks.
 *
 * @module
 */

import { buildFrame } from "../../explorer/recorder/frames.ts";
import { NetDevice } from "../../explorer/recorder/virtio/device/net_device.ts";
import { JUMBO, LONG, macOf } from "../../explorer/recorder/virtio/port.ts";
import type { Action, Experiment } from "../../explorer/recording/experiment.ts";
import { Mempool, PacketBatch, type Statistics, UsageError } from "../../mod.ts";
import { openVirtio, type VirtioDevice } from "../../virtio/device.ts";

/** Devices and a program without recorder. */
export class UnrecordedVirtio implements Disposable {
  readonly pool: Mempool;
  /** Frames that the devices have sent, in order. */
  readonly sent: Uint8Array[] = [];
  readonly #experiment: Experiment;
  readonly #nets: readonly NetDevice[];
  readonly #batch: PacketBatch;
  readonly #hoard: number[] = [];
  #devices: VirtioDevice[] = [];
  #frames = 0;

  constructor(experiment: Experiment) {
    const { ports, entries, queues, buffers, bufferSize, batch, dropEnable } = experiment;
    this.#experiment = experiment;
    this.pool = new Mempool({ buffers, bufferSize, memory: "pages" });
    this.#batch = new PacketBatch(this.pool, batch);
    this.#nets = Array.from({ length: ports }, (_, port) => {
      return new NetDevice({
        address: `port ${port}`,
        entries,
        pairs: queues,
        mac: macOf(port),
        megabits: 10_000,
        dropsWithoutChains: dropEnable,
        observe: (event) => {
          if (event.what === "send") this.sent.push(event.bytes);
        },
      });
    });
  }

  /** Statistics of each port whose device is open. */
  statistics(): Statistics[] {
    return this.#devices.map((device) => device.statistics());
  }

  /** Does an action; returns false if it is not possible now. */
  async act(action: Action): Promise<boolean> {
    const devices = this.#devices, batch = this.#batch, open = devices.length > 0;
    const { budget } = this.#experiment;
    switch (action.do) {
      case "open":
        return !open && await this.#open();
      case "frame":
        for (let i = 0; i < (action.times ?? 1); i++) this.#put(action.port, action.frame);
        while (this.#nets[action.port].arriving > 0) this.#nets[action.port].round(budget);
        return true;
      case "round":
        this.#nets[action.port].round(budget);
        return true;
      case "receive":
        if (!open || batch.length > 0) return false;
        devices[action.port].rxQueues[action.queue ?? 0].receive(batch);
        return true;
      case "transmit":
        if (!open || batch.length === 0) return false;
        this.#transmit(action.port, action.queue ?? 0);
        return true;
      case "forward":
        if (!open || batch.length > 0) return false;
        for (let queue = 0; queue < this.#experiment.queues; queue++) {
          devices[action.port].rxQueues[queue].receive(batch);
          this.#transmit(1 - action.port, queue);
        }
        return true;
      case "reclaim":
        if (!open) return false;
        devices[action.port].txQueues[action.queue ?? 0].reclaim();
        return true;
      case "free":
        if (batch.length === 0) return false;
        batch.free();
        return true;
      case "hoard":
        this.#keep(action.buffers);
        return true;
      case "close":
        batch.free();
        this.#close();
        return true;
      default:
        throw new Error(`no ${action.do} without a recorder`);
    }
  }

  /** Opens all devices; returns false, and opens none, if the pool has too few buffers. */
  async #open(): Promise<boolean> {
    const { entries, queues, promiscuous } = this.#experiment, packets = Math.max(64, entries);
    const options = {
      pool: this.pool,
      rxEntries: packets,
      txEntries: packets,
      rxQueues: queues,
      txQueues: queues,
      promiscuous,
    };
    try {
      for (const net of this.#nets) {
        this.#devices.push(await openVirtio(net.address, options, () => net));
      }
      return true;
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#close();
      return false;
    }
  }

  #put(port: number, kind: Extract<Action, { do: "frame" }>["frame"]): void {
    const number = ++this.#frames, station = macOf(port), flow = number - 1;
    const bytes = buildFrame(kind, { station, flow, long: LONG, jumbo: JUMBO });
    this.#nets[port].put({ number, bytes });
  }

  #transmit(port: number, queue: number): void {
    const batch = this.#batch;
    for (const packet of batch) packet[1]++;
    this.#devices[port].txQueues[queue].transmit(batch);
    batch.free();
  }

  #keep(left: number): void {
    const { pool } = this;
    while (pool.freeCount > left) this.#hoard.push(pool.allocate(1));
    while (pool.freeCount < left && this.#hoard.length > 0) pool.free(this.#hoard.pop()!);
  }

  #close(): void {
    for (const device of this.#devices) device.close();
    this.#devices = [];
  }

  [Symbol.dispose](): void {
    this.#close();
    this.pool[Symbol.dispose]();
  }
}
