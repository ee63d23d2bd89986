/**
 * The commands of a device's control queue (VirtIO 1.3, section 5.1.6.5).
 *
 * @module
 */

import { Control } from "../../../../virtio/control_queue.ts";
import { type DeviceCore, publishUsed, returnChain, takeChain } from "./core.ts";
import { RuleError } from "./rules.ts";

const OK = 0, ERROR = 1;

/** Executes commands. */
export class Commands {
  readonly #device: DeviceCore;
  readonly #pairs: number;

  /**
   * Creates the executor of a device's commands.
   *
   * @param pairs Pairs of queues that the device has.
   */
  constructor(device: DeviceCore, pairs: number) {
    this.#device = device;
    this.#pairs = pairs;
  }

  /**
   * Executes all commands that are available.
   *
   * @param index Index of the control queue.
   */
  execute(index: number): void {
    const device = this.#device, queue = device.queues[index];
    while (queue.waiting > 0) {
      const id = takeChain(device, index), chain = queue.chain(id);
      for (const buffer of chain) {
        device.observe({ what: "fetch", queue: index, index: buffer.index });
      }
      const last = chain.at(-1)!;
      if (!last.writable || last.bytes.length !== 1) throw withoutAcknowledgement(last.index);
      const read = chain.filter(({ writable }) => !writable);
      for (const buffer of read) {
        const { index: descriptor, address } = buffer, bytes = buffer.bytes.slice();
        const event = { queue: index, index: descriptor, address, bytes } as const;
        device.observe({ what: "dma-read", part: "command", ...event });
      }
      const bytes = Uint8Array.from(read.flatMap((buffer) => [...buffer.bytes]));
      const [group, number] = bytes, accepted = this.#execute(bytes);
      device.observe({ what: "command", group, number, accepted });
      last.bytes[0] = accepted ? OK : ERROR;
      const { index: descriptor, address } = last, written = last.bytes.slice();
      const event = { queue: index, index: descriptor, address, bytes: written } as const;
      device.observe({ what: "dma-write", part: "acknowledgement", ...event });
      returnChain(device, index, id, 1);
      publishUsed(device, index);
    }
  }

  /** Executes a command; returns whether it is valid. */
  #execute([group, number, ...data]: Uint8Array): boolean {
    const device = this.#device;
    const command = Object.values(Control).find((is) => is[0] === group && is[1] === number);
    switch (command) {
      case Control.PROMISCUOUS:
        device.filter.promiscuous = data[0] !== 0;
        return true;
      case Control.ALL_MULTICAST:
        device.filter.allMulticast = data[0] !== 0;
        return true;
      case Control.MAC_TABLE_SET:
        device.filter.setTable(Uint8Array.from(data));
        return true;
      case Control.MAC_ADDR_SET:
        if (data.length !== 6) return false;
        device.setMac(Uint8Array.from(data));
        return true;
      case Control.MQ_VQ_PAIRS_SET: {
        const pairs = data[0] | data[1] << 8;
        if (pairs < 1 || pairs > this.#pairs) return false;
        device.activePairs = pairs;
        return true;
      }
      default:
        return false;
    }
  }
}

function withoutAcknowledgement(descriptor: number): RuleError {
  return new RuleError({
    register: `desc[${descriptor}].flags`,
    section: "VirtIO 5.1.6.5",
    rule: "a command ends with a byte that the device writes, for its acknowledgement",
    detail: "the last buffer of the command is not such a byte",
  });
}
