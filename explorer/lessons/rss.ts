/** Lesson: receive side scaling. */

import type { Lesson } from "../recording/lesson.ts";

export const rss: Lesson = {
  id: "rss",
  title: "How RSS chooses a queue",
  goal: "You can follow a frame from its addresses and ports to the number of its receive queue.",
  experiment: {
    ports: 1,
    queues: 4,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", flow: 1 },
      { do: "frame", port: 0, frame: "udp", flow: 2 },
      { do: "frame", port: 0, frame: "udp", flow: 1 },
      { do: "round", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "write", register: "RSSRK" },
      text:
        "The key of the hash: 40 bytes in `RSSRK` (8.2.3.7.14). Unless the program gives another " +
        "one, the driver uses the key of the published test vectors (7.1.2.8.3).",
      look: "register",
    },
    {
      at: { kind: "write", register: "RETA" },
      text:
        "The redirection table, `RETA` (8.2.3.7.15): 128 entries, four in each register. An entry " +
        "is the number of a queue. The driver fills the entries with 0, 1, 2, 3 in turns.",
      look: "register",
    },
    {
      at: { kind: "write", register: "MRQC" },
      text:
        "`MRQC` (8.2.3.7.12) turns receive side scaling on, and says what is hashed: IP addresses, " +
        "and the ports of TCP and UDP.",
      look: "register",
    },
    {
      at: { kind: "decide", frame: 1 },
      text:
        "The device hashes addresses and ports of frame 1 (7.1.2.8). The hash's low 7 bits are an " +
        "index into the redirection table, and the entry there is the queue.",
      question: {
        ask: "The low 7 bits of a hash are 6. Which queue gets the frame?",
        answer:
          "Queue 2: entries 0 to 3 have queues 0 to 3, entries 4 to 7 have them again, so entry " +
          "6 has queue 2.",
      },
      look: "packet",
    },
    {
      at: { kind: "decide", frame: 2 },
      text: "Frame 2 belongs to another flow: other addresses or ports, and another hash.",
      look: "packet",
    },
    {
      at: { kind: "decide", frame: 3 },
      text:
        "Frame 3 belongs to the flow of frame 1. The same fields give the same hash, and so the " +
        "same queue.",
      question: {
        ask: "Why does the device not take the queue with the most free descriptors?",
        answer:
          "Frames of one flow could overtake each other, and two processors would share the " +
          "flow's state. With a hash, one queue has all frames of a flow, in their order.",
      },
    },
    {
      at: { kind: "write-back", ring: "rx", frame: 3 },
      text:
        "The device writes the hash to the descriptor's second word (7.1.6.2). The program can use " +
        "it to find the flow, without computing it again.",
      look: "descriptor",
    },
  ],
};
