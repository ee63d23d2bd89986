/** Lesson: the way of one frame through both ports. */

import type { Lesson } from "../recording/lesson.ts";

export const wireToWire: Lesson = {
  id: "wire-to-wire",
  title: "A packet's way, from wire to wire",
  goal: "You can name each step between the arrival of a frame at port 0 and its departure from " +
    "port 1, and say who acts in it.",
  experiment: {
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
      { do: "reclaim", port: 1 },
    ],
  },
  steps: [
    {
      at: { kind: "arrive", port: 0, frame: 1 },
      text:
        "A frame arrives at port 0. The MAC has checked its CRC. The frame keeps its number, 1, " +
        "until it leaves from port 1.",
      look: "packet",
    },
    {
      at: { kind: "decide", frame: 1 },
      text: "The filters compare the frame's destination address with `RAL[0]` and `RAH[0]`, and " +
        "with the bits of `FCTRL` (8.2.3.7.1). The frame passes, and goes to receive queue 0. It is " +
        "still inside the device, in the receive packet buffer.",
    },
    {
      at: { kind: "fetch", ring: "rx", frame: 1 },
      text:
        "The device reads the descriptor at the head, `RDH` (8.2.3.8.4). The descriptor holds " +
        "the bus address of a free buffer. The driver wrote it when it opened the device.",
      look: "descriptor",
    },
    {
      at: { kind: "dma-write", frame: 1 },
      text:
        "The device writes the frame, without its CRC, to that buffer. No processor takes part: " +
        "this is DMA.",
      look: "pool",
    },
    {
      at: { kind: "write-back", ring: "rx", descriptor: 0 },
      text:
        "The device overwrites the descriptor with what it knows of the frame: its length, `EOP`, " +
        "and last `DD` (7.1.6.2). `RDH` points to the next descriptor now.",
      question: {
        ask:
          "The write-back has overwritten the buffer's address. How does the driver know which " +
          "buffer holds the frame?",
        answer:
          "It keeps the number of each descriptor's buffer in an array of its own, `#slots` of " +
          "`IxgbeRxQueue`.",
      },
      look: "descriptor",
    },
    {
      at: { kind: "look", ring: "rx", descriptor: 0 },
      text:
        "The program polls: it calls `receive`. The driver reads the descriptor's status word " +
        "from memory. `DD` and `EOP` are set, so the whole frame is in the buffer. The driver reads " +
        "no register.",
      look: "source",
    },
    {
      at: { kind: "return", port: 0 },
      text: "`receive` has put the buffer's number into the batch, and a free buffer into the " +
        "descriptor. The frame is a packet of the program now.",
      look: "pool",
    },
    {
      at: { kind: "touch", frame: 1 },
      text: "The program changes a byte of the packet. The packet is where the device wrote it: " +
        "nothing has copied it.",
      look: "packet",
    },
    {
      at: { kind: "arm", ring: "tx", port: 1 },
      text:
        "`transmit` fills a descriptor of port 1: the buffer's address, the packet's length, and " +
        "the commands `EOP`, `IFCS` and `RS` (7.2.3.2.4). Port 1 does not know of it yet.",
      look: "descriptor",
    },
    {
      at: { kind: "write", register: "TDT", port: 1 },
      text: "The driver writes `TDT` (8.2.3.9.9). From now on, the descriptor belongs to port 1.",
      look: "ring",
    },
    {
      at: { kind: "dma-read", frame: 1, port: 1 },
      text: "Port 1 reads the packet's bytes from the buffer that port 0 wrote.",
      look: "packet",
    },
    {
      at: { kind: "send", frame: 1, port: 1 },
      text: "Port 1 appends the CRC, and the frame is on the wire again.",
    },
    {
      at: { kind: "write-back", ring: "tx", port: 1 },
      text:
        "The descriptor has `RS`, so port 1 sets `DD` in it (7.2.3.5). The buffer may be used " +
        "again, but the driver does not know yet.",
      look: "descriptor",
    },
    {
      at: { kind: "free", frame: 1 },
      text:
        "`reclaim` finds `DD`, and returns the buffer to the pool. The pool hands it out first, " +
        "while its bytes are in the processor's cache.",
      question: {
        ask: "How many times was the frame's content copied in memory between the two wires?",
        answer: "Never. Port 0 wrote it to the buffer once, and port 1 read it from there.",
      },
      look: "pool",
    },
  ],
};
