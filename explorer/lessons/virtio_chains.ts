/** Lesson: descriptor chains of VirtIO. */

import type { Lesson } from "../recording/lesson.ts";

export const virtioChains: Lesson = {
  id: "virtio-chains",
  title: "VirtIO: descriptor chains",
  goal:
    "You can read a chain of descriptors, and say how it differs from a frame in several buffers.",
  experiment: {
    device: "virtio",
    entries: 16,
    batch: 4,
    buffers: 256,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
      { do: "frame", port: 0, frame: "jumbo" },
      { do: "receive", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "arm", port: 0, title: "controlq: descriptor 0" },
      text:
        "The driver sends a command: a chain of three descriptors. The first one leads to class and " +
        "command. `NEXT` says that the chain goes on with descriptor 1 (VirtIO 2.7.5).",
      look: "source",
    },
    {
      at: { kind: "arm", port: 0, title: "controlq: descriptor 2" },
      text:
        "The last one has `WRITE`: the device writes its acknowledgement there. In a chain, what " +
        "the device reads comes before what it writes (VirtIO 2.7.4.2).",
      question: {
        ask: "How does the device know that the chain ends here?",
        answer: "`NEXT` is not set.",
      },
      look: "source",
    },
    {
      at: { kind: "arm", port: 1, ring: "tx", descriptor: 1 },
      text:
        "A packet to send is a chain of two: descriptor 0 leads to the header, descriptor 1 to the " +
        "packet. Only descriptor 1 is written here, because the header is the same for all packets.",
      look: "descriptor",
    },
    {
      at: { kind: "fetch", port: 1, ring: "tx", descriptor: 0, title: "NEXT: 1" },
      text: "The device reads descriptor 0: 12 bytes, and `NEXT` leads to descriptor 1.",
      look: "descriptor",
    },
    {
      at: { kind: "dma-read", port: 1, ring: "tx", descriptor: 1 },
      text: "It reads header and packet from two places, and sends one frame.",
      look: "packet",
    },
    {
      at: { kind: "write-back", port: 1, ring: "tx", title: "used.ring" },
      text:
        "One entry of the used ring returns the whole chain: it names the first descriptor, 0, and " +
        "0 bytes, since the device has written nothing to the chain.",
      question: {
        ask: "The queue has 16 descriptors. How many packets can be in it?",
        answer: "8, because each takes two descriptors.",
      },
      look: "ring",
    },
    {
      at: { kind: "dma-write", port: 0, frame: 2, title: "num_buffers 3" },
      text:
        "A frame of 6000 bytes does not fit into a buffer of 2048. Each chain of the receive queue " +
        "is one descriptor, so the device takes three chains. `num_buffers` in the header says so, " +
        "which `MRG_RXBUF` allows (VirtIO 5.1.6.4).",
      look: "packet",
    },
    {
      at: { kind: "write-back", port: 0, frame: 2, title: "used.idx" },
      text: "All three chains come back with one change of `used.idx`.",
      question: {
        ask: "What is the difference between a chain and `num_buffers`?",
        answer:
          "The driver makes a chain: it decides beforehand which buffers belong together. With " +
          "`num_buffers`, the device tells afterwards how many chains it has used for a frame.",
      },
      look: "ring",
    },
    {
      at: { kind: "drop", port: 0, frame: 2 },
      text:
        "This driver's packets are one buffer each. It drops the frame, counts it in `rxTooLong`, " +
        "and makes all three chains available again.",
      look: "pool",
    },
  ],
};
