/**
 * Run in the guest: sets a device's receive filters in several ways. After each, it prints a line,
 * receives frames up to the one that marks the end, and prints their names.
 *
 * @module
 */

import { type Device, open, PacketBatch } from "../../mod.ts";

/** The MAC address that the program sets. */
export const NEW_MAC: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0, 0x77);
/** The multicast address that the program sets. */
export const GROUP: Uint8Array = Uint8Array.of(1, 0, 0x5e, 0, 0, 251);
/** Name of the frame that marks the end. */
export const END = "end";

/** The settings of the filters, in the program's order. */
export type Phase =
  | "as opened"
  | "new MAC address"
  | "promiscuous"
  | "not promiscuous again"
  | "multicast"
  | "no multicast";

/** Offset of a frame's name, after the Ethernet header; the name ends with a 0. */
const NAME_AT = 14;
const DEADLINE_MS = 30000;

const PHASES: Record<Phase, (device: Device) => void> = {
  "as opened": () => {},
  "new MAC address": (device) => device.setMacAddress(NEW_MAC),
  "promiscuous": (device) => device.setPromiscuous(true),
  "not promiscuous again": (device) => device.setPromiscuous(false),
  "multicast": (device) => device.setMulticast([GROUP]),
  "no multicast": (device) => device.setMulticast([]),
};

/** Receives frames up to the one that marks the end; returns their names. */
function receive(device: Device, batch: PacketBatch): string[] {
  const names: string[] = [];
  const deadline = performance.now() + DEADLINE_MS;
  while (names.at(-1) !== END) {
    const late = performance.now() > deadline;
    if (device.rxQueues[0].receive(batch) === 0 && late) throw new Error(`no end after ${names}`);
    for (const frame of batch) {
      const name = frame.subarray(NAME_AT);
      names.push(new TextDecoder().decode(name.subarray(0, name.indexOf(0))));
    }
    batch.free();
  }
  return names.slice(0, -1);
}

async function main(): Promise<void> {
  const [address, virtio] = Deno.args;
  using device = await open(address, { virtio: virtio as "legacy" | "modern" });
  const batch = new PacketBatch(device.pool, 32);
  for (const [phase, prepare] of Object.entries(PHASES)) {
    prepare(device);
    console.log(JSON.stringify({ phase, mac: [...device.macAddress()] }));
    console.log(JSON.stringify(receive(device, batch)));
  }
}

if (import.meta.main) await main();
