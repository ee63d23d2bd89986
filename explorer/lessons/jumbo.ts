/** Lesson: a frame that needs several descriptors. */

import type { Lesson } from "../recording/lesson.ts";

export const jumbo: Lesson = {
  id: "jumbo",
  title: "A jumbo frame over several descriptors",
  goal: "You know what EOP tells, and what a driver does with a frame that it did not want.",
  experiment: {
    ports: 1,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "jumbo" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "free" },
    ],
  },
  steps: [
    {
      at: { kind: "write", register: "SRRCTL" },
      text:
        "`SRRCTL` (8.2.3.8.7) tells the device the size of the buffers: `SRRCTL.BSIZEPACKET` is " +
        "2, in units of 1 KB. The device writes no more than that to one buffer.",
      look: "register",
    },
    {
      at: { kind: "write", register: "MAXFRS" },
      text:
        "The driver has set `MAXFRS` (8.2.3.22.13) to the size of a buffer, so that the device " +
        "refuses longer frames. The experiment sets it to a larger size.",
      question: {
        ask: "In which register does the device count a frame that is longer than `MAXFRS`?",
        answer: "In `ROC`, the counter of oversized frames.",
      },
      look: "register",
    },
    {
      at: { kind: "arrive", frame: 1 },
      text: "A jumbo frame of more than two buffers arrives, and passes the check of its length.",
      look: "packet",
    },
    {
      at: { kind: "dma-write", frame: 1 },
      text: "The device fills the buffer of the first descriptor to its end.",
      look: "pool",
    },
    {
      at: { kind: "dma-write", frame: 1 },
      text: "It continues in the buffer of the next descriptor. The two buffers need not be " +
        "neighbours: each descriptor has an address of its own.",
      look: "pool",
    },
    {
      at: { kind: "write-back", ring: "rx", descriptor: 0 },
      text:
        "The first descriptor is written back with `DD`, but without `EOP`: the frame does not end " +
        "in this buffer (7.1.6.2). Its length is the buffer's, 2048.",
      look: "descriptor",
    },
    {
      at: { kind: "look", ring: "rx", descriptor: 0 },
      text:
        "The driver finds `DD` without `EOP`. Its packets are one buffer each, so it cannot pass " +
        "on this frame.",
      question: {
        ask: "What would a driver do that supports such frames?",
        answer:
          "It would collect buffers until it finds a descriptor with `EOP`, and hand the program " +
          "a packet of several buffers.",
      },
      look: "source",
    },
    {
      at: { kind: "arm", ring: "rx", descriptor: 0 },
      text:
        "The driver drops the frame: each of its descriptors, up to the one with `EOP`, gets its " +
        "own buffer again. The driver counts the frame once, in `rxTooLong`.",
      look: "ring",
    },
    {
      at: { kind: "look", ring: "rx", frame: 2 },
      text: "The frame behind it is received as usual.",
      question: {
        ask: "What would happen if the driver dropped only the first descriptor?",
        answer: "It would take the middle of the jumbo frame for the beginning of the next one.",
      },
      look: "packet",
    },
  ],
};
