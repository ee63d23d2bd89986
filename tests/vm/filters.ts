/**
 * Which frames from its cable a card's receive filters accept: the host's part of
 * `filters_program.ts`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Machine } from "../../vm/machine.ts";
import { END, GROUP, NEW_MAC, type Phase } from "./filters_program.ts";
import type { Peer } from "./peers.ts";

const SIZE = 60, NAME_AT = 14;
const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
const STRANGER = Uint8Array.of(2, 0, 0, 0, 0, 0x99);
const OTHER_GROUP = Uint8Array.of(1, 0, 0x5e, 0, 0, 252);

const EXPECTED: Record<Phase, string[]> = {
  "as opened": ["own", "everybody"],
  "new MAC address": ["new", "everybody"],
  "promiscuous": ["own", "new", "stranger", "everybody", "group", "other group"],
  "not promiscuous again": ["new", "everybody"],
  "multicast": ["new", "everybody", "group"],
  "no multicast": ["new", "everybody"],
};

function frame(to: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(SIZE);
  frame.set(to);
  frame.set(new TextEncoder().encode(name), NAME_AT);
  return frame;
}

/** Asserts that a card receives the frames that its filters select, and no others. */
export async function assertFilters(
  vm: Machine,
  address: string,
  mac: Uint8Array,
  peer: Peer,
  virtio: string,
): Promise<void> {
  const frames = [
    ...[frame(mac, "own"), frame(NEW_MAC, "new"), frame(STRANGER, "stranger")],
    ...[frame(BROADCAST, "everybody"), frame(GROUP, "group"), frame(OTHER_GROUP, "other group")],
    frame(BROADCAST, END),
  ];
  const command = "deno run --no-prompt --allow-ffi tests/vm/filters_program.ts";
  const program = await vm.start(`${command} ${address} ${virtio}`);
  for (const [phase, expected] of Object.entries(EXPECTED)) {
    const said = await program.line(() => true);
    assertEquals(
      JSON.parse(said ?? JSON.stringify(program.stderr)),
      { phase, mac: [...(phase === "as opened" ? mac : NEW_MAC)] },
    );
    for (const frame of frames) peer.send(frame);
    assertEquals(JSON.parse((await program.line(() => true))!), expected, phase);
  }
  const { code, stderr } = await program.finish();
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
}
