/** Lesson: how sent buffers come back to the pool. */

import type { Lesson } from "../recording/lesson.ts";

export const reclaim: Lesson = {
  id: "reclaim",
  title: "How sent buffers come back",
  goal: "You can explain what RS asks for, and why one DD stands for a run of packets.",
  experiment: {
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 8 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "reclaim", port: 1 },
      { do: "round", port: 1 },
      { do: "reclaim", port: 1 },
    ],
  },
  steps: [
    {
      at: { kind: "arm", ring: "tx", port: 1, descriptor: 0 },
      text:
        "`transmit` fills descriptor 0 for the first of 8 packets. `RS` is not set in it: the " +
        "device is not asked to report this descriptor (7.2.3.2.4).",
      look: "descriptor",
    },
    {
      at: { kind: "arm", ring: "tx", port: 1, descriptor: 7 },
      text: "The last descriptor of the run has `RS`, report status.",
      question: {
        ask: "What does the driver save by one `RS` for 8 packets?",
        answer:
          "The device writes one descriptor back instead of 8, and the driver looks at one. The " +
          "device's writes share the bus with the packets.",
      },
      look: "descriptor",
    },
    {
      at: { kind: "look", ring: "tx", port: 1 },
      text:
        "The program calls `reclaim` too early: the device has sent nothing yet. The driver looks " +
        "at descriptor 7, the last of the run, and finds no `DD`. All 8 buffers stay in the ring.",
      look: "ring",
    },
    {
      at: { kind: "send", port: 1, frame: 1 },
      text:
        "The device has sent the first frame. Its descriptor has no `RS`, so nothing is written " +
        "back.",
      look: "ring",
    },
    {
      at: { kind: "write-back", ring: "tx", port: 1, descriptor: 7 },
      text:
        "After the last frame, the device sets `DD` in descriptor 7 (7.2.3.5). It works through a " +
        "ring in order, so the seven before it are done too.",
      look: "descriptor",
    },
    {
      at: { kind: "look", ring: "tx", port: 1 },
      text: "`reclaim` looks at descriptor 7 again, and finds `DD`.",
      look: "source",
    },
    {
      at: { kind: "free", frame: 8 },
      text:
        "All 8 buffers have returned to the pool. `TDH` (8.2.3.9.8) would have told the same, but " +
        "reading a register takes a way over the bus and back, while the processor waits.",
      question: {
        ask: "When does the driver reclaim if the program never calls `reclaim`?",
        answer:
          "`transmit` does it when half of the ring is in use, and the pool does it when it has " +
          "no free buffer.",
      },
      look: "pool",
    },
  ],
};
