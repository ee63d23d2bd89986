/** Lesson: the available and the used ring of VirtIO. */

import type { Lesson } from "../recording/lesson.ts";

export const virtioRings: Lesson = {
  id: "virtio-rings",
  title: "VirtIO: available and used ring",
  goal:
    "You can say which of the two rings gives chains to the device and which one returns them, " +
    "who writes each, and why both need an index.",
  experiment: {
    device: "virtio",
    entries: 16,
    batch: 4,
    buffers: 256,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 2 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
      { do: "reclaim", port: 1 },
      { do: "frame", port: 0, frame: "udp" },
      { do: "receive", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "arm", port: 0, ring: "rx", descriptor: 0 },
      text:
        "A virtqueue has three parts: descriptors, an available ring and a used ring. The driver " +
        "writes descriptor 0 of `receiveq1`: the address and length of a buffer, and `WRITE`, " +
        "because the device writes to it (VirtIO 2.7.5).",
      look: "descriptor",
    },
    {
      at: { kind: "write", port: 0, ring: "rx", title: "avail.idx = 16" },
      text:
        "The available ring names the chains that the device may use (VirtIO 2.7.6). Its index, " +
        "`avail.idx`, passes all 16 entries. Until now the device was not allowed to look at them.",
      question: {
        ask: "The queue has 16 descriptors. Why is the index 16, and not 0 again?",
        answer:
          "It counts modulo 65536, not modulo 16. The place in the ring is the index modulo 16. " +
          "So a full ring, 16, differs from an empty one, 0.",
      },
      look: "ring",
    },
    {
      at: { kind: "fetch", port: 0, frame: 1, title: "avail.ring" },
      text:
        "A frame arrives. The device takes the next entry of the available ring: the index of a " +
        "chain's first descriptor.",
      look: "ring",
    },
    {
      at: { kind: "dma-write", port: 0, frame: 1 },
      text:
        "The device writes 12 bytes, `virtio_net_hdr`, to the buffer, and after them the frame " +
        "(VirtIO 5.1.6).",
      look: "packet",
    },
    {
      at: { kind: "write-back", port: 0, frame: 1, title: "used.ring" },
      text:
        "The device never writes to a descriptor. Instead, it writes an entry of the used ring: " +
        "which chain it has used, and how many bytes it has written, 72 (VirtIO 2.7.8).",
      question: {
        ask: "Which part of an 82599's descriptor has the same task?",
        answer:
          "The write-back format, with its length and `DD`. The 82599 has one ring for both " +
          "directions; VirtIO has two, so each word has one writer only.",
      },
      look: "ring",
    },
    {
      at: { kind: "write-back", port: 0, frame: 1, title: "used.idx" },
      text:
        "Then it moves `used.idx`. The order matters: when the driver sees the index, the entry " +
        "before it is complete.",
      look: "ring",
    },
    {
      at: { kind: "look", port: 0, ring: "rx", title: "used.idx is 2" },
      text:
        "The driver polls `used.idx`, a word of its own memory. It has moved by 2: two chains are " +
        "back.",
      look: "source",
    },
    {
      at: { kind: "look", port: 0, frame: 1, title: "used.ring[0] is chain 0" },
      text:
        "It reads the entry before the index: chain 0. The packet's buffer goes to the program, and " +
        "the chain is without one until a later call.",
      look: "pool",
    },
    {
      at: { kind: "free", port: 1, ring: "tx" },
      text:
        "A transmit queue works the same way. An entry of its used ring says that the device no " +
        "longer needs the packet, so the driver frees the buffer (VirtIO 2.7.14).",
      look: "pool",
    },
    {
      at: { kind: "arm", port: 0, ring: "rx", descriptor: 0 },
      text:
        "The next call that receives finds two chains without a buffer, an eighth of all. It gives " +
        "them free ones. The available ring does not change: place 0 names chain 0 already.",
      look: "descriptor",
    },
    {
      at: { kind: "write", port: 0, ring: "rx", title: "avail.idx = 18" },
      text: "One write of `avail.idx` makes both chains available again.",
      question: {
        ask: "`avail.idx` is 18, and `used.idx` is 3. How many chains does the device have?",
        answer: "18 - 3 = 15: all but the one whose packet this call has received.",
      },
      look: "ring",
    },
  ],
};
