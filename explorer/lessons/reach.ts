/** Lesson: which memory the device can reach, and what happens outside of it. */

import type { Lesson } from "../recording/lesson.ts";

export const reach: Lesson = {
  id: "reach",
  title: "What the NIC may reach in memory",
  goal: "You can name the two gates between a device and memory, and what a wrong address does.",
  experiment: {
    ports: 1,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "break", port: 0, rule: "buffer-outside-map" },
      { do: "frame", port: 0, frame: "udp", times: 2 },
      { do: "round", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "configuration", title: "bus master on" },
      text:
        "The first gate is bus mastering, a bit of PCI configuration space (9.3.3.3). While it is " +
        "off, the device can answer accesses to its registers, and can reach no memory at all.",
      look: "source",
    },
    {
      at: { kind: "write", register: "RDBAL" },
      text:
        "The second gate is the IOMMU's map. The driver maps two blocks: the pool's buffers, and " +
        "the rings. `RDBAL` (8.2.3.8.1) is the low half of a ring's bus address: an address in that " +
        "map, not the one that the program uses.",
      question: {
        ask: "Why does the device not use the program's addresses?",
        answer: "They are valid only inside the process, and lead to physical memory by the " +
          "processor's page tables. The device has a map of its own, which holds only what the driver " +
          "gave it.",
      },
      look: "register",
    },
    {
      at: { kind: "dma-write", frame: 1 },
      text: "The descriptor's address lies in the map, so the frame arrives in a buffer.",
      look: "pool",
    },
    {
      at: { kind: "violation" },
      text:
        "Now the experiment breaks the rule: a descriptor has an address outside of the map. The " +
        "software NIC names the rule, and stops the queue. Behind a real card, an IOMMU refuses the " +
        "access. Without one, the card would write the frame to another program's memory.",
      question: {
        ask: "What does the NIC check of an address before it uses it?",
        answer:
          "Nothing: it has no way to. The map of the IOMMU is the only protection, which is why " +
          "a driver without one needs the trust of a kernel.",
      },
      look: "register",
    },
  ],
};
