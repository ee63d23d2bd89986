/** Places by hand: each text is on exactly one line of its file. */

import { assert, assertEquals } from "@std/assert";
import type { Call } from "../../../explorer/recorder/calls.ts";
import {
  BUS_MASTER,
  READ_PLACES,
  WRITE_PLACES,
} from "../../../explorer/recorder/ixgbe/model_places.ts";
import { CALLS, FATE_PLACES, PLACES } from "../../../explorer/recorder/ixgbe/places.ts";
import { PROGRAM_PLACES } from "../../../explorer/recorder/program_buffers.ts";
import * as VIRTIO from "../../../explorer/recorder/virtio/places.ts";
import type { Place } from "../../../explorer/recording/step.ts";
import { REGISTERS } from "../../../ixgbe/registers.ts";
import { PROJECT } from "../../support/processes.ts";

/** Returns the lines of a place's file that contain its text. */
function linesOf({ file, text }: Place): string[] {
  return Deno.readTextFileSync(PROJECT + file).split("\n").filter((line) => line.includes(text));
}

/** The places of functions that the program calls. */
function sourcesOf(calls: Readonly<Record<string, Call>>): Record<string, Place> {
  return Object.fromEntries(Object.entries(calls).map(([name, { source }]) => [name, source]));
}

const GROUPS: Readonly<Record<string, Readonly<Record<string, Place>>>> = {
  PLACES,
  FATE_PLACES,
  CALLS: sourcesOf(CALLS),
  READ_PLACES,
  WRITE_PLACES,
  BUS_MASTER: { BUS_MASTER },
  PROGRAM_PLACES,
  "CALLS of VirtIO": sourcesOf(VIRTIO.CALLS),
  RX_PLACES: VIRTIO.RX_PLACES,
  TX_PLACES: VIRTIO.TX_PLACES,
  CONTROL_PLACES: VIRTIO.CONTROL_PLACES,
  PUBLISH_PLACES: VIRTIO.PUBLISH_PLACES,
  DEVICE_PLACES: VIRTIO.DEVICE_PLACES,
};

for (const [name, places] of Object.entries(GROUPS)) {
  Deno.test(`Each text of ${name} is on one line of its file`, () => {
    for (const place of Object.values(places)) {
      assertEquals(linesOf(place).length, 1, `${place.file}: ${place.text}`);
    }
  });
}

Deno.test("READ_PLACES and WRITE_PLACES are of registers that exist", () => {
  for (const name of [...Object.keys(READ_PLACES), ...Object.keys(WRITE_PLACES)]) {
    assert(Object.hasOwn(REGISTERS, name), name);
  }
});
