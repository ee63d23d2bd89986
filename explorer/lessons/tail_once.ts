/** Lesson: why the tail is written once a batch. */

import type { Lesson } from "../recording/lesson.ts";

export const tailOnce: Lesson = {
  id: "tail-once",
  title: "Why the tail is written once a batch",
  goal:
    "You can say which register gives descriptors to the device, how often the driver writes it, " +
    "and why not more often.",
  experiment: {
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 4 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "free" },
      { do: "frame", port: 0, frame: "udp", times: 4 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
    ],
  },
  steps: [
    {
      at: { kind: "write-back", ring: "rx", port: 0, descriptor: 3 },
      text:
        "Four frames have arrived, in descriptors 0 to 3 of port 0. The device has moved `RDH` " +
        "(8.2.3.8.4) behind them: these descriptors belong to the driver now.",
      look: "ring",
    },
    {
      at: { kind: "look", ring: "rx", port: 0, descriptor: 0 },
      text:
        "The driver takes the packet from descriptor 0, and its buffer with it. The descriptor is " +
        "empty now. The device does not use it: it lies outside the part from `RDH` to `RDT`.",
      look: "ring",
    },
    {
      at: { kind: "return", port: 0 },
      text:
        "`receive` returns 4 packets. Four descriptors are empty, and the driver has not written " +
        "`RDT` (8.2.3.8.5). It refills them when an eighth of the ring is empty: 8 of these 64 " +
        "descriptors, 32 of a ring of 256 and more. It also does so when it finds no packet.",
      question: {
        ask: "What does a write of `RDT` cost that a write to the ring does not?",
        answer:
          "It crosses the bus to the device. A store to the ring stays in the processor's cache " +
          "until the device reads it.",
      },
      look: "ring",
    },
    {
      at: { kind: "arm", ring: "rx", port: 0, descriptor: 7 },
      text:
        "After four more packets, the driver refills all 8 in one go: descriptor 7 is the last that " +
        "gets a free buffer.",
      look: "descriptor",
    },
    {
      at: { kind: "write", register: "RDT", port: 0 },
      text:
        "Now the driver writes `RDT`, once for all 8 descriptors. They belong to the device from " +
        "here on.",
      look: "ring",
    },
    {
      at: { kind: "arm", ring: "tx", port: 1 },
      text:
        "The same holds for the transmit ring. `transmit` fills a descriptor for each packet of " +
        "the batch.",
      look: "descriptor",
    },
    {
      at: { kind: "write", register: "TDT", port: 1 },
      text:
        "One write of `TDT` (8.2.3.9.9) passes the whole batch to the device. It cannot wait for " +
        "the next batch, as `RDT` can: these packets would wait too.",
      question: {
        ask:
          "The first batch had 4 packets, and the second one 4. How many writes of `RDT` does a " +
          "driver need that writes it for each packet, and how many does this one need?",
        answer: "8, and 1.",
      },
      look: "ring",
    },
  ],
};
