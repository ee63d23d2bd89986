/** Places by hand: each text is on exactly one line of its file. */

import { assert, assertEquals } from "@std/assert";
import {
  BUS_MASTER,
  READ_PLACES,
  WRITE_PLACES,
} from "../../../explorer/recorder/ixgbe/model_places.ts";
import { CALLS, FATE_PLACES, PLACES } from "../../../explorer/recorder/ixgbe/places.ts";
import type { Place } from "../../../explorer/recording/step.ts";
import { REGISTERS } from "../../../ixgbe/registers.ts";
import { PROJECT } from "../../support/processes.ts";

/** Returns the lines of a place's file that contain its text. */
function linesOf({ file, text }: Place): string[] {
  return Deno.readTextFileSync(PROJECT + file).split("\n").filter((line) => line.includes(text));
}

for (
  const [name, places] of Object.entries({
    PLACES,
    FATE_PLACES,
    CALLS: Object.fromEntries(Object.entries(CALLS).map(([name, { source }]) => [name, source])),
    READ_PLACES,
    WRITE_PLACES,
    BUS_MASTER: { BUS_MASTER },
  })
) {
  Deno.test(`Each text of ${name} is on one line of its file`, () => {
    for (const place of Object.values<Place>(places)) {
      assertEquals(linesOf(place).length, 1, `${place.file}: ${place.text}`);
    }
  });
}

Deno.test("READ_PLACES and WRITE_PLACES are of registers that exist", () => {
  for (const name of [...Object.keys(READ_PLACES), ...Object.keys(WRITE_PLACES)]) {
    assert(Object.hasOwn(REGISTERS, name), name);
  }
});
