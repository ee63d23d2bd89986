/**
 * What the device does by itself, as steps.
 *
 * @module
 */

import type { DeviceObserver } from "../../../sim/registers/observer.ts";
import type { Violation } from "../../../sim/registers/rules.ts";
import type { Fate } from "../../../sim/rx/fate.ts";
import { reasonOf } from "./fate.ts";
import type { PortContext } from "./port.ts";
import type { RegisterCells } from "./register_cells.ts";
import type { RxRing } from "./rx_ring.ts";
import type { TxRing } from "./tx_ring.ts";
import { stackAbove } from "../stack.ts";

/** Lines of the model's stacks: the loop of the device's rounds is below. */
const LINES = 6;

/** The parts of a port that the device acts on. */
interface PortParts {
  readonly registers: RegisterCells;
  readonly rx: readonly RxRing[];
  readonly tx: readonly TxRing[];
}

/** Records what the device does. */
export class DeviceWatcher implements DeviceObserver {
  /** Frames in the packet buffer, the oldest first. */
  readonly #kept: number[] = [];
  /** Vectors whose message is held back. */
  readonly #held = new Set<number>();
  readonly #context: PortContext;
  readonly #parts: PortParts;
  /** Sends the message of a vector to the driver. */
  readonly #signal: (vector: number) => void;
  /** The frame that arrives or leaves the packet buffer now. */
  #arriving = 0;
  #fate: Fate | undefined;
  /** The frame that is sent now. */
  #leaving: number | undefined;
  /** What happened during an access of the driver: it comes after the access. */
  #later: (() => void)[] | undefined;

  constructor(context: PortContext, parts: PortParts, signal: (vector: number) => void) {
    this.#context = context;
    this.#parts = parts;
    this.#signal = signal;
  }

  /** A frame arrives next, and has this fate. */
  arrives(frame: number, fate: Fate): void {
    this.#arriving = frame;
    this.#fate = fate;
  }

  /** Records what happens meanwhile after `access`, which adds a step of its own. */
  after(access: () => void): void {
    const later: (() => void)[] = this.#later = [];
    try {
      access();
    } finally {
      this.#later = undefined;
      for (const action of later) action();
    }
  }

  bufferWritten(queue: number, descriptor: number, _address: number, bytes: Uint8Array): void {
    const stack = stackAbove(this.bufferWritten, LINES),
      frame = this.#arriving,
      copy = bytes.slice();
    this.#act(() => this.#parts.rx[queue]?.filled(descriptor, frame, copy, stack));
  }

  descriptorRead(): void {} // with the buffer, see `bufferRead`; this driver writes no other ones

  bufferRead(queue: number, descriptor: number, _address: number, bytes: Uint8Array): void {
    const stack = stackAbove(this.bufferRead, LINES), copy = bytes.slice();
    this.#act(() => {
      this.#leaving = this.#parts.tx[queue]?.read(descriptor, copy, stack);
    });
  }

  writtenBack(ring: "rx" | "tx", queue: number, _first: number, _count: number): void {
    const stack = stackAbove(this.writtenBack, LINES);
    this.#act(() => this.#parts[ring][queue]?.deviceWrote(stack));
  }

  headWritten(): void {} // this driver does not use it

  frameKept(_queue: number, length: number): void {
    const stack = stackAbove(this.frameKept, LINES), frame = this.#arriving, fate = this.#fate;
    this.#kept.push(frame);
    this.#act(() => {
      this.#context.journal.add({
        kind: "wait",
        actor: "device",
        port: this.#context.port,
        title: `frame ${frame}: ${length} bytes wait in the packet buffer`,
        ...fate && { why: fate.reason, section: fate.section, decision: reasonOf(fate) },
        frame,
        stack,
      });
    });
  }

  frameReleased(): void {
    this.#arriving = this.#kept.shift() ?? 0;
  }

  causeRaised(bits: number, vector: number): void {
    const stack = stackAbove(this.causeRaised, LINES);
    const title = vector < 0 ? `EICR ${hex(bits)}` : `cause of vector ${vector}`;
    this.#act(() => {
      this.#context.journal.add({
        kind: "cause",
        actor: "device",
        port: this.#context.port,
        title,
        why: vector < 0
          ? "Something other than a queue has changed. EICR shows the cause."
          : "IVAR gives the queue this vector. Its message is sent if EIMS has its bit and EITR allows it.",
        section: "7.3.1.2",
        stack,
      });
    });
  }

  messageSent(vector: number): void {
    this.#held.delete(vector);
    const stack = stackAbove(this.messageSent, LINES);
    this.#act(() => {
      this.#context.journal.add({
        kind: "interrupt",
        actor: "device",
        port: this.#context.port,
        title: `message of vector ${vector}`,
        why:
          "The device sends an MSI-X message, and masks the vector (EIAM), so that no other follows.",
        section: "7.3.2.1",
        stack,
      });
      this.#signal(vector);
    });
  }

  messageHeld(vector: number, milliseconds: number): void {
    const { journal, port } = this.#context, microseconds = Math.ceil(milliseconds * 1000);
    if (this.#held.has(vector)) return; // the device tries in each round
    this.#held.add(vector);
    const stack = stackAbove(this.messageHeld, LINES);
    this.#act(() => {
      journal.add({
        kind: "cause",
        actor: "device",
        port,
        title: `message of vector ${vector} is held back`,
        why: `EITR leaves at least its interval between two messages: ${microseconds} µs are left.`,
        section: "7.3.2.1.1",
        stack,
      });
    });
  }

  /** The device has sent a frame to the wire. */
  sent(bytes: Uint8Array, stack: string): void {
    this.#act(() => {
      const frame = this.#leaving;
      this.#parts.registers.lookOften();
      for (const ring of this.#parts.tx) ring.sent();
      this.#context.journal.add({
        kind: "send",
        actor: "device",
        port: this.#context.port,
        title: frame === undefined
          ? `${bytes.length} bytes`
          : `frame ${frame}: ${bytes.length} bytes`,
        why: "The device pads the frame to 60 bytes, appends the CRC, and sends it.",
        section: "7.2.1",
        ...frame === undefined ? {} : { frame },
        bytes,
        stack,
      });
    });
  }

  /** The driver has broken a rule. */
  violated({ register, section, rule, detail }: Omit<Violation, "count">, stack: string): void {
    this.#act(() => {
      this.#context.journal.add({
        kind: "violation",
        actor: "device",
        port: this.#context.port,
        title: `broken rule: ${register}: ${rule}`,
        why: `The datasheet requires: ${rule}. Here: ${detail}.`,
        section,
        rule: { register, section, rule, detail },
        stack,
      });
    });
  }

  /** Adds a step now, or after the driver's access. */
  #act(action: () => void): void {
    const look = () => {
      this.#parts.registers.lookAtControl();
      action();
    };
    if (this.#later === undefined) look();
    else this.#later.push(look);
  }
}

function hex(value: number): string {
  return "0x" + value.toString(16);
}
