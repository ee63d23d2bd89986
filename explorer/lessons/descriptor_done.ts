/** Lesson: DD, descriptor done. */

import type { Lesson } from "../recording/lesson.ts";

export const descriptorDone: Lesson = {
  id: "descriptor-done",
  title: "What DD is for",
  goal:
    "You can explain how a driver learns that a frame is in memory, without reading a register.",
  experiment: {
    ports: 1,
    actions: [
      { do: "open" },
      { do: "receive", port: 0 },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "free" },
      { do: "frame", port: 0, frame: "udp", times: 7 },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "free" },
    ],
  },
  steps: [
    {
      at: { kind: "look", ring: "rx", descriptor: 0 },
      text:
        "No frame has arrived. The driver looks at descriptor 0, and bit 0 of its third word, " +
        "`DD`, is 0: the descriptor is not done. `receive` returns no packets. It has read one word " +
        "of memory, which is in the processor's cache: polling costs the device nothing.",
      look: "descriptor",
    },
    {
      at: { kind: "dma-write", frame: 1 },
      text:
        "A frame has arrived, and the device has written it to the buffer. `DD` is still 0. A " +
        "driver that looks now finds nothing, although the bytes are there.",
      question: {
        ask: "Why does the driver not look at the buffer itself for a new frame?",
        answer: "It could see a part of the frame: the bytes arrive in several writes. `DD` is " +
          "written after all of them.",
      },
      look: "pool",
    },
    {
      at: { kind: "write-back", ring: "rx", descriptor: 0 },
      text:
        "The device writes the descriptor back, with `DD` in it (7.1.6.2). Writes of a device " +
        "arrive in memory in their order. So whoever sees `DD` also sees the length in the same " +
        "descriptor, and the frame in the buffer.",
      look: "descriptor",
    },
    {
      at: { kind: "look", ring: "rx", descriptor: 0 },
      text:
        "The driver looks again, and finds `DD` and `EOP`. It reads the length only after that.",
      look: "source",
    },
    {
      at: { kind: "arm", ring: "rx", descriptor: 0 },
      text:
        "The descriptor stays as it is until 8 descriptors wait for a buffer. Then the driver gives it " +
        "a free one: it writes the buffer's address over the first two words, and 0 over the others " +
        "(7.1.6.1). That clears `DD`.",
      question: {
        ask: "What would happen if the driver left `DD` set?",
        answer:
          "After one turn of the ring, it would find `DD` before the device has written the " +
          "descriptor, and would pass on a buffer with no new frame in it.",
      },
      look: "descriptor",
    },
  ],
};
