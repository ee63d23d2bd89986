/** Lesson: notifications of VirtIO, and how each side turns them off. */

import type { Lesson } from "../recording/lesson.ts";

export const virtioNotifications: Lesson = {
  id: "virtio-notifications",
  title: "VirtIO: why notifications are suppressed",
  goal: "You can say who notifies whom, what a notification costs, and which flag turns it off.",
  experiment: {
    device: "virtio",
    entries: 16,
    batch: 2,
    buffers: 256,
    budget: 1,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 4 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
      { do: "receive", port: 0 },
      { do: "transmit", port: 1 },
      { do: "round", port: 1 },
      { do: "round", port: 1 },
      { do: "round", port: 1 },
    ],
  },
  steps: [
    {
      at: { kind: "write", port: 1, ring: "tx", title: "avail.idx = 2" },
      text:
        "The driver makes two packets available with one write of `avail.idx`. That is a store to " +
        "memory: the device does not notice it by itself.",
      look: "ring",
    },
    {
      at: { kind: "look", port: 1, ring: "tx", title: "used.flags is 0" },
      text:
        "The driver looks at the flags of the used ring, which the device writes. They are 0: the " +
        "device wants to be notified (VirtIO 2.7.10).",
      question: {
        ask: "Why does the driver write `avail.idx` first, and look at the flags afterwards?",
        answer:
          "If it looked first, the device could turn notifications on and go to sleep between the " +
          "look and the write. It would then sleep on, although packets wait.",
      },
      look: "source",
    },
    {
      at: { kind: "write", port: 1, title: "notify the device" },
      text:
        "So the driver notifies the device (VirtIO 2.7.13.4). In a virtual machine this write leaves " +
        "the guest, which takes longer than all the stores before it.",
      look: "source",
    },
    {
      at: { kind: "write-back", port: 1, ring: "tx", title: "used.flags = NO_NOTIFY" },
      text:
        "The device begins to work, and sets `NO_NOTIFY`: it will look at the queue again anyway.",
      look: "ring",
    },
    {
      at: { kind: "look", port: 1, ring: "tx", title: "NO_INTERRUPT" },
      text:
        "The other direction has a flag as well. The device has returned a chain, and looks at the " +
        "flags of the available ring, which the driver writes. `NO_INTERRUPT` is set, because this " +
        "driver polls: the device sends no interrupt (VirtIO 2.7.7).",
      question: {
        ask: "Who writes `NO_NOTIFY`, and who writes `NO_INTERRUPT`?",
        answer:
          "Each side writes to its own ring what it does not need: the device `NO_NOTIFY` to the " +
          "used ring, the driver `NO_INTERRUPT` to the available ring.",
      },
      look: "ring",
    },
    {
      at: { kind: "look", port: 1, ring: "tx", title: "used.flags is NO_NOTIFY" },
      text:
        "The program transmits two more packets, and the device still has one. The driver finds " +
        "`NO_NOTIFY` and does not notify it: the two packets cost stores to memory only.",
      look: "source",
    },
    {
      at: { kind: "write-back", port: 1, ring: "tx", title: "used.flags = 0" },
      text:
        "The device has sent all four packets. It turns notifications on before it stops to look at " +
        "the queue.",
      question: {
        ask: "How many notifications did the four packets need?",
        answer: "One. The busier the device, the fewer notifications it gets.",
      },
      look: "ring",
    },
  ],
};
