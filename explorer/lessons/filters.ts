/** Lesson: the filters for destination addresses and VLANs. */

import type { Lesson } from "../recording/lesson.ts";

export const filters: Lesson = {
  id: "filters",
  title: "What the filters decide",
  goal:
    "You can predict for a frame whether a port receives it, from its address, its VLAN tag and " +
    "four registers.",
  experiment: {
    ports: 1,
    promiscuous: false,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp" },
      { do: "frame", port: 0, frame: "foreign" },
      { do: "frame", port: 0, frame: "broadcast" },
      { do: "frame", port: 0, frame: "multicast" },
      { do: "frame", port: 0, frame: "vlan" },
      { do: "round", port: 0 },
    ],
  },
  steps: [
    {
      at: { kind: "write", register: "FCTRL" },
      text: "`FCTRL` (8.2.3.7.1): the port accepts broadcasts, by `FCTRL.BAM`. `FCTRL.UPE` and " +
        "`FCTRL.MPE` are 0: it accepts neither every unicast frame nor every multicast frame. With " +
        "both bits set, the port is promiscuous.",
      look: "register",
    },
    {
      at: { kind: "decide", frame: 1 },
      text: "Frame 1 has the port's own address, which is in `RAL[0]` (8.2.3.7.8) and `RAH[0]` " +
        "(8.2.3.7.9) since the device loaded it from the EEPROM. It passes.",
      look: "packet",
    },
    {
      at: { kind: "drop", frame: 2 },
      text:
        "Frame 2 has the address of another station, and no receive address matches. It ends here. " +
        "The host's memory never sees it.",
      question: {
        ask: "Which bit would let it pass?",
        answer: "`FCTRL.UPE`, unicast promiscuous enable.",
      },
      look: "packet",
    },
    {
      at: { kind: "decide", frame: 3 },
      text: "Frame 3 is a broadcast, and passes by `FCTRL.BAM`.",
      look: "packet",
    },
    {
      at: { kind: "drop", frame: 4 },
      text: "Frame 4 is a multicast frame. The multicast table, `MTA` (8.2.3.7.7), is empty, and " +
        "`MCSTCTRL.MFE` is 0. `MTA` has a bit for each value of 12 bits of the address: several " +
        "addresses share one bit, so a program has to look again.",
      look: "packet",
    },
    {
      at: { kind: "decide", frame: 5 },
      text:
        "Frame 5 has a VLAN tag, and the port's address. `VLNCTRL.VFE` is 0: the VLAN filter is " +
        "off, and each tag passes. With `VFE`, the tag's bit in `VFTA` (8.2.3.7.11) would decide.",
      question: {
        ask:
          "`VLNCTRL.VFE` is 1, and the tag's bit in `VFTA` is 1, but the destination address is " +
          "another station's. Does the frame pass?",
        answer: "No. It has to pass both: the filter of addresses first, and then that of VLANs.",
      },
      look: "packet",
    },
  ],
};
