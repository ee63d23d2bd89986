/**
 * Rings and descriptors in words.
 *
 * @module
 */

import type { RingName } from "../selection.ts";
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
  /** Who moves it. The device's and the registers are outside the circle, the driver's own inside. */
  readonly mover: "device" | "driver";
  readonly isRegister: boolean;
}

/** Returns the pointers into a ring. */
export function pointersOf(ring: RingState): readonly Pointer[] {
  const { name: { ring: kind }, head, tail, next, fill } = ring;
  const [headName, tailName] = ring.isVirtqueue
    ? ["device", "available"]
    : kind === "rx"
    ? ["RDH", "RDT"]
    : ["TDH", "TDT"];
  const does = kind === "rx" ? "fills" : "sends";
  const pointers: Pointer[] = [
    {
      name: headName,
      index: head,
      meaning: `head: the next descriptor that the device ${does}`,
      mover: "device",
      isRegister: !ring.isVirtqueue,
    },
    {
      name: tailName,
      index: tail,
      meaning: "tail: one past the last descriptor that the device may use",
      mover: "driver",
      isRegister: !ring.isVirtqueue,
    },
    {
      name: "next",
      index: next,
      meaning: kind === "rx"
        ? "the next descriptor that the driver looks at, to receive"
        : "the next descriptor that the driver looks at, to reclaim its buffer",
      mover: "driver",
      isRegister: false,
    },
  ];
  if (kind === "rx" && fill === next) return pointers;
  const meaning = "the next descriptor that the driver writes";
  return [...pointers, { name: "fill", index: fill, meaning, mover: "driver", isRegister: false }];
}

/** What it means that an owner has a descriptor, as a sentence. */
export function ownerSentence(owner: OwnerWord, ring: RingState): string {
  const isReceive = ring.name.ring === "rx", { head, tail } = ring;
  const tailName = ring.isVirtqueue ? "the available index" : isReceive ? "RDT" : "TDT";
  switch (owner) {
    case "driver":
      return "The driver owns it. It is empty: the device may not use it.";
    case "armed":
      return `The driver has written it. The device gets it with the next write of ${tailName}.`;
    case "device":
      return isReceive
        ? `The device owns it, as all from head ${head} up to tail ${tail}: it may fill its buffer.`
        : `The device owns it, as all from head ${head} up to tail ${tail}: it has to send its buffer.`;
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
