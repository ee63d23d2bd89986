/** Lesson: the reset, and what the driver waits for. */

import type { Lesson } from "../recording/lesson.ts";

export const reset: Lesson = {
  id: "reset",
  title: "The reset, and why its waits exist",
  goal: "You can say what each wait of a reset protects: the host's memory, the device, or the " +
    "settings from the EEPROM.",
  experiment: { ports: 1, actions: [{ do: "open" }] },
  steps: [
    {
      at: { kind: "write", register: "EIMC" },
      text:
        "First of all, interrupts go off (4.6.3.1): `EIMC` (8.2.3.5.4) clears the mask bit of " +
        "each cause. Otherwise, a driver that is half initialised could be interrupted.",
      look: "register",
    },
    {
      at: { kind: "write", register: "CTRL" },
      text: "`CTRL.GIO_DIS` tells the device to begin no more master requests, which is how it " +
        "reads and writes memory (5.2.5.3.2). A driver that ran before may have left queues enabled.",
      look: "register",
    },
    {
      at: { kind: "read", register: "STATUS" },
      text: "The first wait: until `STATUS.GIO_MASTER_ENABLE` is 0, requests are on their way. A " +
        "reset in the middle of one could leave the bus waiting for its end.",
      question: {
        ask: "What does the driver do if the bit does not become 0 within a second?",
        answer: "It empties the transmit path with `GCR_EXT.BUFFERS_CLEAR_FUNC` and resets the " +
          "device twice: the second reset clears what the first one leaves (5.2.5.3.2).",
      },
      look: "source",
    },
    {
      at: { kind: "write", register: "CTRL" },
      text:
        "`CTRL.RST` resets the device; `CTRL.LRST`, the link too. The driver sets `LRST` only if " +
        "no link is up, because firmware may use that link.",
      look: "register",
    },
    {
      at: { kind: "read", register: "CTRL" },
      text: "The second wait. For a millisecond after the reset, the driver must not access the " +
        "device at all (8.2.3.1.1). After that, `RST` reads as 0 once the reset has ended; the driver " +
        "gives the device 10 ms more (4.6.3.2).",
      look: "source",
    },
    {
      at: { kind: "read", register: "EEC" },
      text:
        "The third wait: `EEC.AUTO_RD` (`EEC` (8.2.3.2.1)). After a reset, the device loads its " +
        "settings from the EEPROM, the station address among them. What the driver wrote before the " +
        "end of that could be overwritten.",
      look: "register",
    },
    {
      at: { kind: "read", register: "EEMNGCTL" },
      text: "The fourth wait: firmware configures its part of the device, and sets " +
        "`EEMNGCTL.CFG_DONE0` for port 0. This wait is best effort: the driver goes on without the " +
        "bit, because some firmware does not set it.",
      look: "source",
    },
    {
      at: { kind: "read", register: "RDRXCTL" },
      text:
        "The fifth wait: `RDRXCTL.DMAIDONE`. The device initialises its DMA unit, and only then " +
        "may the receive path be enabled (4.6.3).",
      look: "register",
    },
    {
      at: { kind: "configuration", title: "bus master on" },
      text:
        "The driver has kept bus mastering off until here. It turns it on in PCI configuration " +
        "space once all queues of an earlier driver are certain to be stopped.",
      question: {
        ask: "What could happen if bus mastering were on before the reset?",
        answer:
          "A queue that an earlier driver left enabled could write frames to memory that now " +
          "belongs to another program.",
      },
      look: "source",
    },
  ],
};
