/** Lesson: the places at which a frame can end, and their counters. */

import type { Lesson } from "../recording/lesson.ts";

export const whoDrops: Lesson = {
  id: "who-drops",
  title: "Who may drop a frame, and where it is counted",
  goal: "For each frame that does not arrive, you know who dropped it, and which counter says so.",
  experiment: {
    ports: 1,
    promiscuous: false,
    dropEnable: true,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "short" },
      { do: "frame", port: 0, frame: "long" },
      { do: "frame", port: 0, frame: "foreign" },
      { do: "frame", port: 0, frame: "udp", times: 64 },
      { do: "round", port: 0 },
      { do: "round", port: 0 },
      { do: "hoard", buffers: 0 },
      { do: "receive", port: 0 },
      { do: "statistics", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "drop", frame: 1 },
      text:
        "The MAC drops frame 1: it has less than 64 bytes with its CRC, which Ethernet does not " +
        "allow. `RUC` counts it.",
      look: "packet",
    },
    {
      at: { kind: "drop", frame: 2 },
      text:
        "The MAC drops frame 2: it is longer than `MAXFRS` (8.2.3.22.13) allows. The driver has " +
        "set that limit to the size of a buffer, with the CRC. `ROC` counts the frame.",
      look: "register",
    },
    {
      at: { kind: "drop", frame: 3 },
      text:
        "The filters drop frame 3: its destination address is another station's, and the port is " +
        "not promiscuous. This is not an error: on a shared wire, most frames are for other stations. `TPR` " +
        "counts all frames that arrive, and `GPRC` those that pass, so the difference shows it.",
      look: "packet",
    },
    {
      at: { kind: "drop", frame: 67 },
      text: "The receive queue drops frame 67: the 63 descriptors of the device are filled, and " +
        "`SRRCTL.DROP_EN` is set. `QPRDC` counts it.",
      question: {
        ask: "Without `DROP_EN`, which counter would show that the program is too slow?",
        answer: "`RXMPC`, but only after the receive packet buffer of 512 KB has filled up.",
      },
      look: "ring",
    },
    {
      at: { kind: "call", title: "receive" },
      text:
        "The last place is the driver. The program has taken all buffers of the pool, so there is " +
        "no free buffer to put into a descriptor in exchange for a packet.",
      look: "pool",
    },
    {
      at: { kind: "arm", ring: "rx", descriptor: 0 },
      text:
        "The driver drops the packet: the descriptor gets its own buffer again, and goes back to the device " +
        "with it. `rxNoBuffer` of the driver's statistics counts it; no register does.",
      question: {
        ask: "Why does the driver not keep the packet, and give the device an empty descriptor?",
        answer: "A descriptor needs the address of a buffer before the device has it. The device " +
          "would write the next frame to whatever address is there.",
      },
      look: "pool",
    },
    {
      at: { kind: "read", register: "QPRDC" },
      text:
        "The program reads its statistics. `QPRDC` tells of the frame that the queue dropped. " +
        "Reading a counter clears it, so the driver adds up what it reads.",
      look: "statistics",
    },
  ],
};
