/**
 * Rules that the driver is made to break, so that the device shows how it finds out. The driver itself is
 * not changed: its memory is, or its status bits.
 *
 * @module
 */

import type { Break } from "../../recording/experiment.ts";
import type { RecorderContext } from "../context.ts";
import type { Entry } from "../journal.ts";
import type { Port } from "./port.ts";

/** An I/O virtual address that no memory has. */
const NOWHERE = 0x1000;
/** Bytes of a descriptor, offset of its length, and offset of the index in the available ring. */
const DESCRIPTOR = 16, LENGTH = 8, INDEX = 2;
/** Length of the packet at this address. */
const BYTES = 60;

/** Breaks a rule on the first transmit queue of a port, and lets the device find it. */
export function breakRule(context: RecorderContext, port: Port, rule: Break): void {
  const { net, number } = port, queue = net.queues[1], { cells } = port.tx[0];
  const { memory: { buffer }, descriptors, available, entries } = queue.areas;
  const view = new DataView(buffer);
  const add = (entry: Pick<Entry, "kind" | "title" | "why" | "section" | "descriptor">) => {
    context.journal.add({ actor: "driver", port: number, ...entry });
  };
  switch (rule) {
    case "tail-beyond-end": {
      const index = (queue.taken + entries + 1) & 0xffff;
      view.setUint16(available + INDEX, index, true);
      cells.setAvailableIndex(index);
      add({
        kind: "write",
        title: `${cells.name}: avail.idx = ${index}`,
        why: `The index passes ${entries + 1} chains, and the queue has ${entries} descriptors.`,
        section: "VirtIO 2.7.13.3",
      });
      break;
    }
    case "buffer-outside-map": {
      const position = queue.availableIndex, id = cells.descriptorAt(position);
      view.setBigUint64(descriptors + DESCRIPTOR * (id + 1), BigInt(NOWHERE), true);
      view.setUint32(descriptors + DESCRIPTOR * (id + 1) + LENGTH, BYTES, true);
      add({
        kind: "arm",
        title: `${cells.name}: descriptor ${id + 1} = address 0x${NOWHERE.toString(16)}`,
        why: "The driver has not mapped any memory at this address for the device.",
        section: "VirtIO 2.7.5",
        descriptor: cells.takeDescriptor(id + 1),
      });
      view.setUint16(available + 2 * INDEX + 2 * cells.placeOf(position), id, true);
      cells.takeAvailable(cells.placeOf(position));
      const index = (position + 1) & 0xffff;
      view.setUint16(available + INDEX, index, true);
      cells.setAvailableIndex(index);
      add({
        kind: "write",
        title: `${cells.name}: avail.idx = ${index}`,
        why: "The device may take the chain from here on.",
        section: "VirtIO 2.7.13.3",
      });
      break;
    }
    case "te-before-ring":
      add({
        kind: "write",
        title: "write device_status = 0",
        why: "A reset: the device has no queues any more, and DRIVER_OK is not set.",
        section: "VirtIO 2.4",
      });
      net.setStatus(0);
      break;
  }
  add({
    kind: "write",
    title: `notify the device: ${cells.name}`,
    why: "The device looks at the queue.",
    section: "VirtIO 2.7.13.4",
  });
  port.broken = true;
  net.notify(1);
  if (rule !== "te-before-ring") net.round();
}
