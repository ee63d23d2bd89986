/**
 * What a recording consists of: steps, each something that driver, device, wire or program did.
 *
 * @module
 */

/** What happens in a step. The comments say who does it. */
export type Kind =
  /** The program calls a function of the driver; it returns. */
  | "call"
  | "return"
  /** The driver reads or writes a register. */
  | "read"
  | "write"
  /** The driver changes PCI configuration space. */
  | "configuration"
  /** The driver writes a descriptor, which the device gets with the next write of the tail. */
  | "arm"
  /** The driver looks at a descriptor and finds it done (DD), or not. */
  | "look"
  /** The program reads or changes bytes of a packet. */
  | "touch"
  /** The driver or the program returns a buffer to the pool. */
  | "free"
  /** A frame arrives from the wire. */
  | "arrive"
  /** The device's filters accept the frame, and choose its queue. */
  | "decide"
  /** The device drops the frame. */
  | "drop"
  /** The device keeps the frame in its packet buffer until there is a descriptor. */
  | "wait"
  /** The device reads a descriptor. */
  | "fetch"
  /** The device writes a frame, or a part, to host memory; or reads it from there. */
  | "dma-write"
  | "dma-read"
  /** The device writes a descriptor back. */
  | "write-back"
  /** The device sends a frame to the wire. */
  | "send"
  /** The device raises an interrupt cause, or sends the message of a vector. */
  | "cause"
  | "interrupt"
  /** The driver has broken a rule of the datasheet. */
  | "violation"
  /** The device did a round in which it found nothing to do. */
  | "idle";

/** Who acts in a step. */
export type Actor = "program" | "driver" | "device" | "wire";

/** A register access. */
export interface RegisterAccess {
  /** Name in the datasheet, without index. */
  readonly name: string;
  readonly index: number;
  /** Offset in BAR0, in bytes. */
  readonly offset: number;
  /** 32-bit values; `old` is the value before the step, as reading it without side effects shows. */
  readonly old: number;
  readonly value: number;
}

/** A descriptor of a ring; or of a virtqueue, whose descriptors have four words as well. */
export interface DescriptorAccess {
  readonly ring: "rx" | "tx";
  readonly queue: number;
  /** Index in the ring. */
  readonly index: number;
  /** Its four words before and after the step. */
  readonly old: readonly number[];
  readonly words: readonly number[];
  /** Whether the words after the step are in the write-back format. */
  readonly writtenBack: boolean;
  /** Whether it is a legacy descriptor, or one for a context (transmit). */
  readonly format: "advanced" | "legacy" | "context" | "virtio";
}

/** Why the device decided about a frame as it did. */
export interface Decision {
  /** What decided: `FCTRL.UPE`, `RAL[0]`, `MAXFRS`, … */
  readonly by: string;
  /** One sentence. */
  readonly reason: string;
  /** Section of the datasheet. */
  readonly section: string;
}

/** A place in the source: a file from the project's root, and text that one of its lines contains. */
export interface Place {
  readonly file: string;
  readonly text: string;
}

/** One step. It is plain data, so it can be sent to another thread. */
export interface Step {
  readonly kind: Kind;
  readonly actor: Actor;
  /** Number of the port, from 0. */
  readonly port: number;
  /** What happens, in one line: `write RDT[0]`, `RX descriptor 3: DD, EOP, 60 bytes`. */
  readonly title: string;
  /** The sentence why: what the step is for. */
  readonly why?: string;
  /** Section of the datasheet: `8.2.3.8.4`; of the VirtIO specification: `VirtIO 2.7.13`. */
  readonly section?: string;
  /**
   * The part of a longer story: `reset`, `link`, `receive`, `transmit` of an initialisation, or the
   * program's call.
   */
  readonly chapter?: string;
  readonly register?: RegisterAccess;
  readonly descriptor?: DescriptorAccess;
  readonly decision?: Decision;
  /** The rule that was broken, as the device recorded it. */
  readonly rule?: {
    readonly register: string;
    readonly section: string;
    readonly rule: string;
    readonly detail: string;
  };
  /** Number of the frame from 1, in the order of arrival: the same from wire to wire. */
  readonly frame?: number;
  /** Buffer of the pool. */
  readonly buffer?: number;
  /** The frame's bytes, or those moved in this step. */
  readonly bytes?: Uint8Array;
  /** How often this happened in a row: waiting for a register is one step. */
  readonly times?: number;
  /** The stack of whoever acts, with lines of the bundle; see `sources.ts`. */
  readonly stack?: string;
  /** Where the source is, for steps that no stack shows: loads and stores of the hot path. */
  readonly source?: Place;
  /** Where the model acts on a register access of the driver. */
  readonly model?: Place;
  /**
   * Cells of the state that the step changes, in threes: cell, old value, new value. See
   * {@linkcode Layout}.
   */
  readonly changes: Uint32Array;
}
