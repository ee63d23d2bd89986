/**
 * Records one port: the driver's accesses, the device's acts, and the frames on its wire.
 *
 * @module
 */

import { modelOf } from "../../../ixgbe/models.ts";
import type { IxgbeDevice } from "../../../ixgbe/device.ts";
import * as R from "../../../ixgbe/registers.ts";
import type { NicOptions } from "../../../sim/nic/nic.ts";
import type { PacketBatch } from "../../../src/batch.ts";
import type { Register } from "../../../src/registers.ts";
import type { Experiment } from "../../recording/experiment.ts";
import { WORDS } from "../ring_cells.ts";
import { stackAbove } from "../stack.ts";
import { type AccessedPort, Accesses } from "./accesses.ts";
import { Card } from "./card.ts";
import { DeviceWatcher } from "./device_watcher.ts";
import { decisionOf, dropOf } from "./fate.ts";
import { Line, type LineWatcher, type WireFrame } from "./line.ts";
import { FATE_PLACES } from "./places.ts";
import type { PortContext } from "./port.ts";
import { RegisterCells } from "./register_cells.ts";
import type { Ring } from "./ring.ts";
import { type DriverRxQueue, RxRing } from "./rx_ring.ts";
import { type DriverQueue, TxRing } from "./tx_ring.ts";

/** One port: card, wire and rings, with all that happens to them. */
export class PortRecorder implements AccessedPort, LineWatcher {
  readonly card: Card;
  readonly line: Line;
  readonly registers: RegisterCells;
  readonly rx: readonly RxRing[];
  readonly tx: readonly TxRing[];
  /** The driver's device, once it is open. */
  device: IxgbeDevice | undefined;
  /** Whether the device works while the driver accesses it: while it waits for the device. */
  working = false;
  /** What the next accesses are for, where the table does not say it. */
  reason: string | undefined;
  /** The batch that the driver receives into now, and whether it has found no further packet. */
  #receiving: PacketBatch | undefined;
  #lookedInVain = false;
  readonly #context: PortContext;
  readonly #watcher: DeviceWatcher;

  constructor(
    context: PortContext,
    { entries, queues }: Experiment,
    options: NicOptions & { readonly deviceId: number },
  ) {
    const { port } = context;
    this.#context = context;
    const signal = (vector: number) => this.card.signal(vector);
    const numbers = Array.from({ length: queues }, (_, queue) => queue);
    this.rx = numbers.map((queue) => new RxRing(context, { port, ring: "rx", queue }, entries));
    this.tx = numbers.map((queue) => new TxRing(context, { port, ring: "tx", queue }, entries));
    const observer = this.#watcher = new DeviceWatcher(context, this, signal);
    this.card = new Card(`port ${port}`, { ...options, observer });
    const model = modelOf(this.card.address, options.deviceId);
    this.registers = new RegisterCells(context, this.card.nic, model, queues);
    this.line = this.card.nic.wire = new Line(this);
    this.card.watcher = new Accesses(context, this, observer);
    this.#watchRules();
  }

  /** Returns what the driver's transmit queue says of itself. */
  #queueOf(queue: number): DriverQueue {
    return this.device?.txQueues[queue] as unknown as DriverQueue ?? { packets: 0, pending: 0 };
  }

  /** Returns what the driver's receive queue says of itself. */
  #rxQueueOf(queue: number): DriverRxQueue {
    return this.device?.rxQueues[queue] as unknown as DriverRxQueue ?? { read: 0, refilled: 0 };
  }

  // The model's list counts a rule that is broken again, and does not say when.
  #watchRules(): void {
    const { rules } = this.card.nic, violate = rules.violate.bind(rules);
    rules.violate = (register, section, rule, detail) => {
      violate(register, section, rule, detail);
      this.#watcher.violated({ register, section, rule, detail }, stackAbove(rules.violate));
    };
  }

  /** Records what the driver has written to memory before it writes a register. */
  beforeWrite(register: Register, index: number, value: number): void {
    const rx = this.rx[index], tx = this.tx[index];
    if (register === R.RDT as Register) this.#beforeReceiveTail(rx);
    else if (register === R.TDT as Register) tx?.driverWrote(this.#queueOf(index));
    else if (register === R.RDBAL as Register) this.#locate(rx, value, (words) => rx.fill(words));
    else if (register === R.TDBAL as Register) this.#locate(tx, value, (words) => tx.locate(words));
  }

  #beforeReceiveTail(ring: RxRing | undefined): void {
    const batch = this.#receiving;
    // A call that finds no packet, and drops none, looks before it refills.
    if (batch?.length === 0) this.#lookedInVain = ring?.lookedInVain() ?? false;
    this.driverWrote();
    // The fast path writes the tail after it has found that there is no further packet.
    if (batch === undefined || batch.length === 0 || batch.length === batch.capacity) return;
    ring?.lookedInVain();
    this.#lookedInVain = true;
  }

  /** Has the driver receive a batch, and records what it does. */
  receive(queue: number, batch: PacketBatch): number {
    this.#receiving = batch;
    this.#lookedInVain = false;
    const n = this.device!.rxQueues[queue].receive(batch);
    this.#receiving = undefined;
    this.driverWrote();
    if (n < batch.capacity && !this.#lookedInVain) this.rx[queue].lookedInVain();
    return n;
  }

  /** Has the driver transmit a batch, and records what it does. */
  transmit(queue: number, batch: PacketBatch): number {
    const n = this.device!.txQueues[queue].transmit(batch);
    this.driverWrote();
    if (n === 0) this.tx[queue].lookedInVain(); // the ring is full
    return n;
  }

  /** Has the driver reclaim sent buffers, and records what it does. */
  reclaim(queue: number): number {
    const n = this.device!.txQueues[queue].reclaim();
    this.driverWrote();
    this.tx[queue].reclaimed(n);
    return n;
  }

  /** Finds the memory of a ring by the low half of its bus address. */
  #locate(ring: Ring | undefined, low: number, use: (words: Uint32Array) => void): void {
    if (ring === undefined || ring.located || low === 0) return;
    for (const memory of this.card.mapped) {
      const offset = (low - memory.busAddress(0, "iova")) & 0xffff_ffff;
      const bytes = ring.cells.entries * WORDS * 4;
      if (offset < 0 || offset + bytes > memory.bytes) continue;
      return use(new Uint32Array(memory.buffer, offset, ring.cells.entries * WORDS));
    }
  }

  /** Records what the driver has written to its rings since they were looked at last. */
  driverWrote(): void {
    this.#context.lookForReclaimed();
    this.tx.forEach((ring, queue) => ring.located && ring.driverWrote(this.#queueOf(queue)));
    this.rx.forEach((ring, queue) => ring.located && ring.driverWrote(this.#rxQueueOf(queue)));
  }

  /** Records the buffers that the driver has returned since the rings were looked at last. */
  driverReclaimed(): void {
    this.tx.forEach((ring, queue) => ring.located && ring.driverReclaimed(this.#queueOf(queue)));
  }

  /** Looks at a register that was accessed, and at all that may have changed with it. */
  look(offset: number): void {
    this.registers.look(offset);
    this.registers.lookAtControl();
    this.#followRings();
  }

  #followRings(): void {
    const follow = (ring: Ring, queue: number, [control, head, tail]: readonly Register[]) => {
      const runs = (this.registers.view(control, queue) & R.RXDCTL.ENABLE) !== 0;
      ring.follow(runs, this.registers.view(head, queue), this.registers.view(tail, queue));
    };
    this.rx.forEach((ring, queue) => follow(ring, queue, [R.RXDCTL, R.RDH, R.RDT]));
    this.tx.forEach((ring, queue) => follow(ring, queue, [R.TXDCTL, R.TDH, R.TDT]));
  }

  /** Lets the device do a round; returns the units of work that it has done. */
  round(): number {
    const { journal } = this.#context, before = journal.count;
    const work = this.card.nic.poll();
    this.registers.lookOften();
    this.#followRings();
    if (journal.count > before) journal.amend();
    return work;
  }

  arrive({ number, bytes }: WireFrame, receive: () => void): void {
    const { journal, port, clock } = this.#context;
    journal.add({
      kind: "arrive",
      actor: "wire",
      port,
      title: `frame ${number}: ${bytes.length} bytes`,
      why: "A frame comes from the wire. The MAC has checked and removed its CRC.",
      section: "7.1.1",
      frame: number,
      bytes,
      source: FATE_PLACES.arrives,
    });
    const fate = clock.still(() => this.card.nic.explain(bytes));
    const decision = decisionOf(fate), drop = dropOf(fate);
    const common = { actor: "device", port, frame: number, bytes } as const;
    if (decision !== undefined) journal.add({ ...decision, ...common });
    this.#watcher.arrives(number, fate);
    receive();
    this.registers.lookOften();
    if (drop === undefined) journal.amend();
    else journal.add({ ...drop, ...common });
  }

  sent(bytes: Uint8Array): void {
    this.#watcher.sent(bytes, stackAbove(this.line.transmit));
  }

  /** The driver has closed the device. */
  closed(): void {
    for (const ring of [...this.rx, ...this.tx]) ring.closed();
  }
}
