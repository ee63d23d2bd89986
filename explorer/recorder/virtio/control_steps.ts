/**
 * The driver's steps on the control queue: one command at a time, in a chain of three descriptors.
 *
 * @module
 */

import type { QueueAreas } from "../../../virtio/transport.ts";
import type { RecorderContext } from "../context.ts";
import { WORDS } from "../ring_cells.ts";
import type { DriverMemory } from "./device/driver_memory.ts";
import { bytesText, commandText } from "./names.ts";
import { CONTROL_PLACES, PUBLISH_PLACES } from "./places.ts";

/** Follows a control queue. It has no cells. */
export class ControlSteps {
  readonly #context: RecorderContext;
  readonly #port: number;
  readonly #memory: DriverMemory;
  #areas: QueueAreas | undefined;
  #position = 0;

  constructor(context: RecorderContext, port: number, memory: DriverMemory) {
    this.#context = context;
    this.#port = port;
    this.#memory = memory;
  }

  /** The driver has set the queue up. */
  attach(areas: QueueAreas): void {
    this.#areas = areas;
    this.#position = 0;
  }

  /** The queue is gone. */
  detach(): void {
    this.#areas = undefined;
  }

  /** Adds the steps of a command that the driver has written. */
  follow(): void {
    if (this.#areas === undefined) return;
    const { memory: { buffer }, available, descriptors } = this.#areas;
    const [, index] = new Uint16Array(buffer, available, 2);
    if (index === this.#position) return;
    this.#position = index;
    const table = new Uint32Array(buffer, descriptors, 3 * WORDS);
    const bytes = (at: number) => {
      const [low, high, length] = table.subarray(WORDS * at);
      return this.#memory.find(low + high * 2 ** 32, length)?.slice() ?? new Uint8Array(0);
    };
    const command = bytes(0), data = bytes(1);
    this.#arm(0, `${commandText(command[0], command[1])}, NEXT: 1`, command, "command");
    this.#arm(1, `its data, ${bytesText(data.length)}, NEXT: 2`, data, "data");
    this.#arm(2, "a byte for the acknowledgement, WRITE", undefined, "ack");
    this.#context.journal.add({
      kind: "write",
      actor: "driver",
      port: this.#port,
      title: `controlq: avail.idx = ${index}`,
      why: "The device owns the chain from here on.",
      section: "VirtIO 2.7.13.3",
      source: PUBLISH_PLACES.index,
    });
  }

  #arm(
    index: number,
    what: string,
    bytes: Uint8Array | undefined,
    source: keyof typeof CONTROL_PLACES,
  ): void {
    this.#context.journal.add({
      kind: "arm",
      actor: "driver",
      port: this.#port,
      title: `controlq: descriptor ${index} = ${what}`,
      why: "A command is a chain: what the device reads comes first, then what it writes.",
      section: "VirtIO 5.1.6.5",
      source: CONTROL_PLACES[source],
      ...bytes && { bytes },
    });
  }

  /** Adds the step in which the driver sees that the command is executed. */
  acknowledge(): void {
    this.#context.journal.add({
      kind: "look",
      actor: "driver",
      port: this.#port,
      title: `controlq: used.idx is ${this.#position}`,
      why: "The driver waits until the used index moves, then reads the acknowledgement.",
      section: "VirtIO 5.1.6.5",
      source: CONTROL_PLACES.used,
    });
  }
}
