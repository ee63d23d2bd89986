/** Lesson: a receive queue that the program does not poll. */

import type { Lesson } from "../recording/lesson.ts";

export const nobodyPolls: Lesson = {
  id: "nobody-polls",
  title: "What happens when nobody polls",
  goal: "You can say where frames are while the program is busy with something else, and what " +
    "DROP_EN changes.",
  experiment: {
    ports: 1,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 66 },
      { do: "round", port: 0 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "round", port: 0 },
      { do: "statistics", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "dma-write", frame: 63 },
      text:
        "The program does not call `receive`. That does not stop the device: it needs no processor to " +
        "fill descriptors. Frame 63 goes to the buffer of the last descriptor that it owns.",
      look: "ring",
    },
    {
      at: { kind: "wait", frame: 64 },
      text: "Frame 64 finds no descriptor: `RDH` equals `RDT`. `SRRCTL.DROP_EN` is 0 in this " +
        "experiment, so the frame waits in the receive packet buffer: 512 KB, see `RXPBSIZE` " +
        "(8.2.3.8.9).",
      question: {
        ask:
          "The device has several receive queues, and one of them is full. What happens to frames " +
          "for the others?",
        answer:
          "They wait too. The packet buffer is a queue itself: a frame at its front that waits " +
          "for a descriptor blocks all frames behind it. This is why the driver sets `DROP_EN`, " +
          "unless an experiment takes it back.",
      },
      look: "register",
    },
    {
      at: { kind: "call", port: 0, title: "receive" },
      text:
        "At last the program polls. The frames in memory have waited there without harm; their " +
        "order is that of their arrival.",
    },
    {
      at: { kind: "write", register: "RDT" },
      text: "The driver has refilled 8 descriptors, and passes them to the device.",
      look: "ring",
    },
    {
      at: { kind: "dma-write", frame: 64 },
      text: "In its next round, the device writes the frames that waited to memory.",
      look: "packet",
    },
    {
      at: { kind: "read", register: "RXMPC" },
      text:
        "`RXMPC` counts frames that are lost because the packet buffer is full. It is 0 here: no " +
        "frame was lost, only late.",
      question: {
        ask:
          "The program sleeps for a second, and frames of 64 bytes arrive at 10 Gb/s. How many " +
          "does `RXMPC` count, roughly: a few thousand, or millions?",
        answer:
          "Millions: 14.88 million arrive, and 63 descriptors and 512 KB hold less than ten " +
          "thousand.",
      },
      look: "statistics",
    },
  ],
};
