/**
 * The steps of a device: from its events.
 *
 * @module
 */

import type { RecorderContext } from "../context.ts";
import type { Entry } from "../journal.ts";
import type { DeviceEvent, Frame } from "./device/events.ts";
import { DeviceQueueSteps, type EventOf, type PortQueues } from "./device_queue_steps.ts";
import { DEVICE_PLACES } from "./places.ts";
import { bytesText, commandText } from "./names.ts";

/** Makes steps of the events of one device. */
export class DeviceSteps {
  readonly #context: RecorderContext;
  readonly #port: number;
  readonly #queues: DeviceQueueSteps;

  constructor(context: RecorderContext, port: number, queues: PortQueues) {
    this.#context = context;
    this.#port = port;
    this.#queues = new DeviceQueueSteps(context, port, queues);
  }

  /** After a reset of the device. */
  reset(): void {
    this.#queues.reset();
  }

  /** Adds the step of an event. */
  add(event: DeviceEvent): void {
    switch (event.what) {
      case "arrive":
        return this.#arrive(event.frame);
      case "resume":
        this.#queues.frame = event.frame;
        return;
      case "decide":
      case "drop":
      case "wait":
        return this.#decide(event);
      case "take":
        return this.#queues.take(event);
      case "fetch":
        return this.#queues.fetch(event.queue, event.index);
      case "dma-write":
      case "dma-read":
        return this.#queues.move(event);
      case "used":
        return this.#queues.used(event);
      case "publish":
        return this.#queues.publish(event.queue);
      case "interrupt":
        return this.#queues.interrupt(event.queue, event.suppressed);
      case "flags":
        return this.#queues.flags(event.queue, event.noNotify);
      case "send":
        return this.#send(event.queue, event.bytes);
      case "command":
        return this.#step({
          kind: "configuration",
          title: `executes ${commandText(event.group, event.number)}: ${
            event.accepted ? "OK" : "refused"
          }`,
          why: "The command changes how the device works. The driver waits for its end.",
          section: "VirtIO 5.1.6.5",
          source: DEVICE_PLACES.command,
        });
      case "violation": {
        const { register, section, rule, detail } = event.broken;
        return this.#step({
          kind: "violation",
          title: `broken rule: ${register}: ${detail}`,
          why: `The rule: ${rule}.`,
          section,
          rule: { register, section, rule, detail },
        });
      }
    }
  }

  #step(entry: Omit<Entry, "actor" | "port"> & { actor?: Entry["actor"] }): void {
    this.#context.journal.add({ actor: "device", port: this.#port, ...entry });
  }

  #arrive(frame: Frame): void {
    this.#queues.frame = frame;
    this.#step({
      kind: "arrive",
      actor: "wire",
      title: `frame ${frame.number} arrives: ${frame.bytes.length} bytes`,
      section: "VirtIO 5.1.6.4",
      frame: frame.number,
      bytes: frame.bytes,
      source: DEVICE_PLACES.arrive,
    });
  }

  #decide(event: EventOf<"decide" | "drop" | "wait">): void {
    const frame = this.#queues.frame!, about = { frame: frame.number, bytes: frame.bytes };
    const source = DEVICE_PLACES[event.what], kind = event.what;
    if (event.what === "wait") {
      return this.#step({
        kind,
        title: `frame ${frame.number} waits for chains of ${this.#queues.name(event.queue)}`,
        why:
          "All chains are in the driver's hands: the driver has to receive, so that chains become " +
          "available again.",
        section: "VirtIO 5.1.6.4",
        source,
        ...about,
      });
    }
    const { decision } = event, { by, reason, section } = decision;
    this.#step({
      kind,
      title: event.what === "drop"
        ? `frame ${frame.number} is dropped: ${by}`
        : `frame ${frame.number} is for ${this.#queues.name(event.queue)}: ${by}`,
      why: reason,
      section,
      decision,
      source,
      ...about,
    });
  }

  #send(queue: number, bytes: Uint8Array): void {
    this.#step({
      kind: "send",
      title: `${this.#queues.name(queue)}: ${bytesText(bytes.length)} to the wire`,
      section: "VirtIO 5.1.6.2",
      bytes,
      source: DEVICE_PLACES.send,
      ...this.#queues.sent(queue),
    });
  }

  /** Adds the step of a round in which the device has done nothing. */
  idle(): void {
    this.#step({
      kind: "idle",
      title: "a round: nothing to do",
      why: "No frame has arrived, and no chain to send is available.",
    });
  }
}
