/** Lesson: an interrupt, armed, caused, and sent. */

import type { Lesson } from "../recording/lesson.ts";

export const interrupt: Lesson = {
  id: "interrupt",
  title: "How an interrupt is armed, caused and throttled",
  goal:
    "You can tell cause, mask and message of an interrupt apart, and say what keeps messages rare.",
  experiment: {
    ports: 1,
    interrupts: true,
    actions: [
      { do: "open" },
      { do: "interrupt", port: 0 },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "receive", port: 0 },
      { do: "free" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "interrupt", port: 0 },
      { do: "free" },
      { do: "throttle", port: 0, microseconds: 200 },
      { do: "interrupt", port: 0 },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "interrupt", port: 0 },
      { do: "free" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "round", port: 0 },
      { do: "sleep", milliseconds: 1 },
      { do: "round", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "write", register: "GPIE" },
      text:
        "`GPIE.MULTIPLE_MSIX` gives each cause a vector of its own. With `GPIE.EIAME`, the device " +
        "masks a vector by itself when it sends the vector's message.",
      look: "register",
    },
    {
      at: { kind: "write", register: "EITR" },
      text:
        "`EITR` (8.2.3.5.12) is the device's throttle: the least time between two messages of a " +
        "vector, in units of 2 µs at 10 Gb/s. The driver writes 0, no throttling, because it has a " +
        "better throttle: a vector that is not armed sends nothing.",
      look: "register",
    },
    {
      at: { kind: "write", register: "IVAR" },
      text: '`IVAR` connects the cause "receive queue 0 has written back" with vector 0.',
      look: "register",
    },
    {
      at: { kind: "write", register: "EIMS_EX" },
      text:
        "The program has nothing to do, and wants to sleep. The driver arms vector 0: a bit of " +
        "`EIMS_EX` (8.2.3.5.8) unmasks it, for one message.",
      look: "register",
    },
    {
      at: { kind: "look", ring: "rx" },
      text: "After arming, the driver polls once more before the program sleeps.",
      question: {
        ask: "Why once more, and why after arming?",
        answer:
          "A frame could arrive between the last poll and the arming. The order closes the gap: " +
          "what arrives before the arming is found by polling, and what arrives after it ends the " +
          "sleep.",
      },
      look: "source",
    },
    {
      at: { kind: "cause" },
      text: "A frame arrives. With the write-back, the device raises the cause of receive queue 0.",
      look: "register",
    },
    {
      at: { kind: "interrupt" },
      text:
        "The vector is armed, so the device sends its message, which is a write to an address that " +
        "the operating system chose (MSI-X). At the same time it clears the cause and masks the " +
        "vector: no other message follows while the program polls.",
      look: "register",
    },
    {
      at: { kind: "cause" },
      text:
        "Another frame raises the cause again. The vector is masked, so nothing is sent. At a high " +
        "rate, the program only polls, and there are no messages at all. That is the hybrid mode: " +
        "polling while packets come, interrupts when none do.",
    },
    {
      at: { kind: "interrupt" },
      text:
        "The program arms the vector again. The cause is pending, so the message is sent at once: " +
        "a frame that arrived while the vector was masked is not forgotten.",
      question: {
        ask: "What limits the rate of messages, if `EITR` is 0?",
        answer:
          "The program: it arms a vector only after it has found nothing to do for a while, and " +
          "each arming is good for one message.",
      },
      look: "register",
    },
    {
      at: { kind: "write", register: "EITR" },
      text:
        "A program that arms its vectors at once after each message needs the device's throttle. " +
        "The experiment sets it to 200 µs: 100 units in `EITR.ITR_INTERVAL`.",
      look: "register",
    },
    {
      at: { kind: "cause", title: "held back" },
      text:
        "The vector is armed, and its cause is pending. But less than 200 µs have passed since the " +
        "last message: the device holds this one back.",
    },
    {
      at: { kind: "interrupt" },
      text: "After the 200 µs, the device sends the message.",
      question: {
        ask: "Three more frames arrive while the message is held back. How many messages follow?",
        answer:
          "One. The cause is a bit: it says that there are frames, not how many. The driver finds " +
          "them all when it polls.",
      },
      look: "register",
    },
  ],
};
