/** Rings: owners, places on the circle, words. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { descriptorAt, spread } from "../../../../explorer/page/views/rings/geometry.ts";
import {
  descriptorState,
  ringsOf,
  ringState,
} from "../../../../explorer/page/views/rings/ring_state.ts";
import {
  descriptorWords,
  ownerSentence,
  pointersOf,
  runsInWords,
} from "../../../../explorer/page/views/rings/words.ts";
import type { Scene } from "../../../../explorer/page/views/scene.ts";
import {
  descriptorSection,
  FRAME_SECTION,
  Layout,
  NONE,
  ownerSection,
  ringSection,
  slotSection,
} from "../../../../explorer/recording/layout.ts";

const RX = { port: 0, ring: "rx", queue: 0 } as const;

/** A receive ring of eight: two done, one the driver's, three the device's, two armed. */
function scene(): Scene {
  const layout = new Layout(), entries = 8;
  for (const ring of ["rx", "tx"] as const) {
    layout.add(ringSection(0, ring, 0), 5);
    layout.add(descriptorSection(0, ring, 0), 4 * entries);
    layout.add(ownerSection(0, ring, 0), entries);
    layout.add(slotSection(0, ring, 0), entries);
  }
  layout.add(FRAME_SECTION, 16);
  const state = new Uint32Array(layout.length);
  layout.view(state, ringSection(0, "rx", 0)).set([1, 3, 6, 1, 1]);
  layout.view(state, ownerSection(0, "rx", 0)).set([0, 3, 3, 2, 2, 2, 1, 1]);
  layout.view(state, slotSection(0, "rx", 0)).set([NONE, 9, 10, 11, 12, 13, 14, 15]);
  layout.view(state, FRAME_SECTION)[9] = 4;
  return { layout, state, ports: ["0"], statistics: [] };
}

Deno.test("ringState() divides a ring into runs of one owner, and counts them", () => {
  const ring = ringState(scene(), RX);
  assertEquals(runsInWords(ring), "driver 0, done 1 to 2, device 3 to 5, armed 6 to 7");
  assertEquals(ring.counts, { driver: 1, armed: 2, device: 3, done: 2 });
});

Deno.test("ringsOf() lists rings of all ports, receive first", () => {
  assertEquals(ringsOf(scene()).map(({ ring }) => ring), ["rx", "tx"]);
});

Deno.test("descriptorState() names buffer and frame, and descriptorWords() says them", () => {
  const words = (index: number) => descriptorWords(descriptorState(scene(), { ...RX, index })!);
  assertEquals(words(1), "1: done, buffer 9, frame 4");
  assertEquals(words(3), "3: device, buffer 11");
  assertEquals(words(0), "0: driver");
  assertEquals(descriptorState(scene(), { ...RX, index: 8 }), undefined);
});

Deno.test("ownerSentence() says which register hands an armed descriptor over", () => {
  const ring = ringState(scene(), RX);
  assert(ownerSentence("armed", ring, 6).includes("the next write of RDT"));
});

Deno.test("ownerSentence() tells what the device may use from what it has not written back", () => {
  const ring = ringState(scene(), RX);
  assert(ownerSentence("device", ring, 5).includes("from head 3 up to tail 6"));
  assert(ownerSentence("device", ring, 2).includes("has not written the descriptor back"));
});

Deno.test("pointersOf() leaves out the index to fill of a receive ring if it is the one to look at", () => {
  const names = pointersOf(ringState(scene(), RX)).map(({ name, index }) => `${name} ${index}`);
  assertEquals(names, ["RDH 3", "RDT 6", "next 1"]);
});

Deno.test("descriptorAt() finds descriptors clockwise from the top, and none in the middle", () => {
  assertEquals(descriptorAt(1, -75, 8), 0);
  assertEquals(descriptorAt(75, 1, 8), 2);
  assertEquals(descriptorAt(-1, 75, 8), 4);
  assertEquals(descriptorAt(-1, -75, 8), 7);
  assertEquals(descriptorAt(0, 0, 8), undefined);
  assertEquals(descriptorAt(200, 0, 8), undefined);
});

Deno.test("spread() moves two names apart, also across the top", () => {
  const close = (pair: readonly [number, number], expected: [number, number]) =>
    pair.forEach((angle, i) => assertAlmostEquals(angle, expected[i]));
  close(spread(1, 2, 0.4), [1, 2]);
  close(spread(1, 1.2, 0.4), [0.9, 1.3]);
  close(spread(0.1, 2 * Math.PI - 0.1, 0.4), [0.2, -0.2]);
});
