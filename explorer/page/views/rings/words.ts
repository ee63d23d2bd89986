/**
 * Rings and descriptors in words.
 *
 * @module
 */

import { isBetween, NONE, type RingName } from "../../../recording/layout.ts";
import type { DescriptorState, OwnerWord, RingState } from "./ring_state.ts";

/** Returns a ring's name: `RX ring 0 of port 1`. */
export function ringTitle({ port, ring, queue }: RingName): string {
  return `${ring.toUpperCase()} ring ${queue} of port ${port}`;
}

/** The name, the meaning and the value of a pointer into a ring. */
export interface Pointer {
  readonly name: string;
  readonly index: number;
  readonly meaning: string;
  readonly mover: "device" | "driver";
}

/** Returns the pointers into a ring; of a driver in another process, head and tail only. */
export function pointersOf(ring: RingState): readonly Pointer[] {
  const { name: { ring: kind }, head, tail, next, fill } = ring;
  const [headName, tailName] = ring.isVirtqueue
    ? ["device", "avail"]
    : kind === "rx"
    ? ["RDH", "RDT"]
    : ["TDH", "TDT"];
  const headMeaning = `the next descriptor that the device ${kind === "rx" ? "fills" : "sends"}`;
  const tailMeaning = "one past the last descriptor that the device may use";
  const nextMeaning = `the next descriptor that the driver looks at, to ${
    kind === "rx" ? "receive" : "reclaim its buffer"
  }`;
  return [
    { name: headName, index: head, meaning: headMeaning, mover: "device" },
    { name: tailName, index: tail, meaning: tailMeaning, mover: "driver" },
    ...(next === NONE ? [] : [pointer("next", next, nextMeaning)]),
    ...(fill === NONE || kind === "rx" && fill === next
      ? []
      : [pointer("fill", fill, "the next descriptor that the driver writes")]),
  ];
}

function pointer(name: string, index: number, meaning: string): Pointer {
  return { name, index, meaning, mover: "driver" };
}

/** What it means that an owner has the descriptor with an index, as a sentence. */
export function ownerSentence(owner: OwnerWord, ring: RingState, index: number): string {
  return ring.isVirtqueue ? VIRTQUEUE_OWNERS[owner] : ringOwner(owner, ring, index);
}

/** What it means that an owner has a descriptor of a virtqueue. */
const VIRTQUEUE_OWNERS: Readonly<Record<OwnerWord, string>> = {
  driver: "The driver owns it: its chain is not in the available ring.",
  armed:
    "The driver has written it. The device gets it with the next write of the available index.",
  device: "The device owns it: its chain is available, and not used yet.",
  done: "The device has put its chain into the used ring. The driver has not looked at it yet.",
};

function ringOwner(owner: OwnerWord, ring: RingState, index: number): string {
  const isReceive = ring.name.ring === "rx", { head, tail } = ring;
  switch (owner) {
    case "driver":
      return "The driver owns it. It is empty: the device may not use it.";
    case "armed":
      return "The driver has written it. The device gets it with the next write of " +
        `${isReceive ? "RDT" : "TDT"}.`;
    case "device":
      if (!isBetween(index, head, tail)) {
        return `The device owns it: it has ${isReceive ? "filled" : "read"} its buffer, ` +
          "and has not written the descriptor back yet.";
      }
      return `The device owns it, as all from head ${head} up to tail ${tail}: ` +
        `it ${isReceive ? "may fill" : "has to send"} its buffer.`;
    case "done":
      return isReceive
        ? "The device has filled its buffer. The driver owns it again, and has not looked at it yet."
        : "The device has sent its buffer. The driver owns it again, and has not reclaimed the buffer.";
  }
}

/** Returns what one reads of a descriptor: `17: device, buffer 81`. */
export function descriptorWords({ name, owner, buffer, frame }: DescriptorState): string {
  return [
    `${name.index}: ${owner}`,
    ...(buffer === undefined ? [] : [`buffer ${buffer}`]),
    ...(frame === undefined ? [] : [`frame ${frame}`]),
  ].join(", ");
}

/** Returns owners in words, for readers who do not see the circle: `device 0 to 62, driver 63`. */
export function runsInWords({ owners }: RingState): string {
  return owners.map(({ owner, from, to }) =>
    `${owner} ${from + 1 === to ? from : `${from} to ${to - 1}`}`
  ).join(", ");
}
