/**
 * One port of a recording: the device, the driver on it, and who follows both.
 *
 * @module
 */

import type { LinkStatus } from "../../../src/device.ts";
import { openVirtio, type VirtioDevice } from "../../../virtio/device.ts";
import type { VirtioRxQueue } from "../../../virtio/rx_queue.ts";
import type { QueueAreas } from "../../../virtio/transport.ts";
import {
  type Layout,
  linkSection,
  RING,
  type RingName,
  statisticsSection,
} from "../../recording/layout.ts";
import type { Experiment } from "../../recording/experiment.ts";
import type { DescriptorAccess } from "../../recording/step.ts";
import type { RecorderContext } from "../context.ts";
import { ControlSteps } from "./control_steps.ts";
import type { DeviceEvent } from "./device/events.ts";
import { NetDevice } from "./device/net_device.ts";
import { DeviceSteps } from "./device_steps.ts";
import { type Follower, RecordedTransport } from "./recorded_transport.ts";
import { RxSteps } from "./rx_steps.ts";
import { TxSteps } from "./tx_steps.ts";
import { VirtqueueCells } from "./virtqueue_cells.ts";

/** Counts of the driver that are shown: VirtIO devices have no counters of their own. */
export const STATISTICS = [
  "rxPackets",
  "rxBytes",
  "rxTooLong",
  "rxNoBuffer",
  "txPackets",
  "txBytes",
] as const;
/** Bytes of a long frame, and of one over several buffers. */
export const LONG = 1600, JUMBO = 6000;
const MEGABITS = 10_000;
/** The fewest packets that the driver makes a ring for. */
const LEAST_ENTRIES = 64;
/** Descriptors of a chain: a receive buffer contains the header, a packet to send comes after one. */
const PER_CHAIN: Readonly<Record<RingName["ring"], number>> = { rx: 1, tx: 2 };

/** Returns the address of a port's station. */
export function macOf(port: number): Uint8Array {
  return Uint8Array.of(0x52, 0x54, 0, 0, 0, port + 1);
}

/** A port. */
export class Port implements Follower {
  readonly number: number;
  readonly net: NetDevice;
  readonly rx: readonly RxSteps[];
  readonly tx: readonly TxSteps[];
  /** Whether a rule was broken since the device was opened. */
  broken = false;
  readonly #context: RecorderContext;
  readonly #experiment: Experiment;
  readonly #steps: DeviceSteps;
  readonly #control: ControlSteps;
  readonly #followAll: () => void;
  #driver: VirtioDevice | undefined;

  /** Adds the sections of a port to a layout. */
  static addTo(layout: Layout, port: number, { queues, entries }: Experiment): void {
    for (let queue = 0; queue < queues; queue++) {
      for (const ring of ["rx", "tx"] as const) {
        VirtqueueCells.addTo(layout, { port, ring, queue }, entries);
      }
    }
    layout.add(statisticsSection(port), STATISTICS.length);
    layout.add(linkSection(port), 2);
  }

  /**
   * Creates a port whose device was reset.
   *
   * @param followAll Adds the steps of all ports' drivers: they share a pool.
   */
  constructor(
    context: RecorderContext,
    number: number,
    experiment: Experiment,
    followAll: () => void,
  ) {
    const { queues, entries, dropEnable } = experiment;
    this.number = number;
    this.#context = context;
    this.#experiment = experiment;
    this.#followAll = followAll;
    const cells = (ring: RingName["ring"]) => {
      return Array.from({ length: queues }, (_, queue) => {
        const name = { port: number, ring, queue };
        return new VirtqueueCells(context.journal, name, entries, PER_CHAIN[ring]);
      });
    };
    this.rx = cells("rx").map((queue) => new RxSteps(context, queue));
    this.tx = cells("tx").map((queue) => new TxSteps(context, queue));
    this.net = new NetDevice({
      address: `virtio port ${number}`,
      entries,
      pairs: queues,
      mac: macOf(number),
      megabits: MEGABITS,
      dropsWithoutChains: dropEnable,
      observe: (event) => this.#observe(event),
    });
    this.#control = new ControlSteps(context, number, this.net.memory);
    this.#steps = new DeviceSteps(context, number, {
      cells: (index) => this.#cells(index),
      device: (index) => this.net.queues[index],
    });
  }

  #observe(event: DeviceEvent): void {
    this.#steps.add(event);
  }

  #cells(index: number): VirtqueueCells | undefined {
    return (index % 2 === 0 ? this.rx : this.tx)[index >> 1]?.cells;
  }

  /** The driver on the device; undefined before it is opened. */
  get driver(): VirtioDevice | undefined {
    return this.#driver;
  }

  /** Opens the device as a program does. */
  async open(): Promise<VirtioDevice> {
    const { entries, queues, promiscuous, interrupts } = this.#experiment;
    const transport = new RecordedTransport(this.net, this.#context, this.number, queues, this);
    const packets = Math.max(entries, LEAST_ENTRIES);
    const driver = await openVirtio(transport.address, {
      pool: this.#context.pool.mempool,
      rxEntries: packets,
      txEntries: packets,
      rxQueues: queues,
      txQueues: queues,
      promiscuous,
      ...interrupts && { interrupts },
    }, () => transport);
    this.#driver = driver;
    this.follow();
    this.count();
    return driver;
  }

  /** Waits for the link, as a program does. */
  async waitForLink(): Promise<LinkStatus> {
    const status = await this.#driver!.waitForLink(), { journal } = this.#context;
    const { start } = journal.layout.sections[linkSection(this.number)];
    journal.set(start, Number(status.up));
    journal.set(start + 1, status.megabits);
    return status;
  }

  /** Lets the device do a round. */
  round(): void {
    const { journal } = this.#context, before = journal.count;
    this.net.round(this.#experiment.budget);
    if (journal.count === before) this.#steps.idle();
  }

  /** Closes the device. */
  close(): void {
    this.#driver?.close();
    this.#driver = undefined;
    this.broken = false;
    this.#control.detach();
    for (const { cells } of [...this.rx, ...this.tx]) {
      for (const buffer of cells.detach()) this.#context.pool.release(buffer);
    }
  }

  /** Takes over the driver's counts, for the next step. */
  count(): void {
    const { journal } = this.#context, driver = this.#driver;
    if (driver === undefined) return;
    const { start } = journal.layout.sections[statisticsSection(this.number)];
    const counts = driver.statistics();
    STATISTICS.forEach((name, i) => journal.set(start + i, counts[name]));
  }

  // What the transport tells.

  /** Adds the steps of all ports' drivers. */
  follow(): void {
    this.#followAll();
  }

  /** Adds the steps of this port's driver. Sent packets come first: they fill the pool. */
  followTx(): void {
    this.tx.forEach((queue, i) => {
      queue.follow(this.#driver?.txQueues[i].pending ?? 0, this.broken);
    });
  }

  /** Adds the steps of this port's driver on receive and control queues. */
  followRx(): void {
    this.rx.forEach((queue, i) => {
      queue.follow((this.#driver?.rxQueues[i] as VirtioRxQueue | undefined)?.held);
    });
    this.#control.follow();
  }

  last(index: number): { readonly descriptor?: DescriptorAccess } {
    const cells = this.#cells(index);
    return cells ? { descriptor: cells.lookAt(cells.availableIndex - 1) } : {};
  }

  setUp(index: number, areas: QueueAreas): void {
    const cells = this.#cells(index);
    if (cells === undefined) return this.#control.attach(areas);
    cells.attach(areas);
    if (index % 2 === 0) this.rx[index >> 1].fill();
    else this.tx[index >> 1].fill();
    cells.ring.set(RING.RUNS, 1);
  }

  acknowledge(): void {
    this.#control.acknowledge();
  }

  reset(): void {
    this.#steps.reset();
  }
}
