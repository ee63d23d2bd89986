/** Lesson: why one descriptor of a receive ring stays with the driver. */

import type { Lesson } from "../recording/lesson.ts";

export const lastDescriptor: Lesson = {
  id: "last-descriptor",
  title: "Why the last descriptor stays with software",
  goal: "You can explain why a ring of 64 descriptors has room for 63 frames.",
  experiment: {
    ports: 1,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 64 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "round", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "write", register: "RDH" },
      text:
        "The driver sets up the receive ring: `RDH` is 0. The device moves `RDH` from now on; the " +
        "driver writes it only here, while the queue is disabled.",
      look: "register",
    },
    {
      at: { kind: "write", register: "RDT" },
      text:
        "`RDT` is 0, too. Head and tail are equal, and that means: the device has no descriptor " +
        "(7.1.9).",
      look: "ring",
    },
    {
      at: { kind: "write", register: "RDT" },
      text:
        "All 64 descriptors have a free buffer, and the queue is enabled. The driver writes 63 " +
        "to `RDT` (8.2.3.8.5): the device owns descriptors 0 to 62. Descriptor 63 stays with the " +
        "driver, although it has a buffer.",
      question: {
        ask: "Why does the driver not give the device all 64, by one more?",
        answer:
          "The tail would be 0 again, equal to the head. The device would take the ring for " +
          "empty: equal can only mean one of both, all or none.",
      },
      look: "ring",
    },
    {
      at: { kind: "dma-write", frame: 63 },
      text: "63 frames have arrived, and the device has used descriptor 62, the last one that it " +
        "owns. `RDH` and `RDT` are equal again: 63.",
      look: "ring",
    },
    {
      at: { kind: "wait", frame: 64 },
      text: "Frame 64 finds no descriptor, and waits in the device's receive packet buffer.",
      look: "descriptor",
    },
    {
      at: { kind: "write", register: "RDT" },
      text: "The program has received 8 packets. The driver writes 7 to `RDT`: the device owns " +
        "descriptors 63 and 0 to 6. The descriptor that stays with the driver is number 7 now.",
      look: "ring",
    },
    {
      at: { kind: "write-back", ring: "rx", descriptor: 63 },
      text:
        "Frame 64 has gone to descriptor 63. No descriptor is special: each of them is the last " +
        "one at times.",
      look: "ring",
    },
  ],
};
