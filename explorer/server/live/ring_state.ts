/**
 * The rings of a port, as the device knows them: the registers, and the descriptors in the driver's
 * memory.
 *
 * @module
 */

import { RX_DD, TX_DD } from "../../../ixgbe/descriptors.ts";
import { REGISTERS } from "../../../ixgbe/registers.ts";
import { offsetOf } from "../../../src/registers.ts";
import { RECEIVE, type RingRegisters, TRANSMIT } from "../../../sim/rings/ring.ts";
import type { Nic } from "../../../sim/nic/nic.ts";
import {
  descriptorSection,
  isBetween,
  type Layout,
  NONE,
  OWNER,
  ownerSection,
  RING,
  type RingName,
  ringSection,
} from "../../recording/layout.ts";

/** Words and bytes of a descriptor. */
const WORDS = 4, BYTES = 16;
/** The most rings of a port and direction that are shown: the first enabled ones. */
const MAX_RINGS = 16;
/** The words of a descriptor that have DD. */
const RX_STATUS_WORD = 2, TX_STATUS_WORD = 3;

/** A ring that is enabled. */
export interface RingPlace extends RingName {
  /** Number of descriptors. */
  readonly size: number;
}

/** Returns the enabled rings of a port. */
export function ringsOf(nic: Nic, port: number): RingPlace[] {
  return (["rx", "tx"] as const).flatMap((ring) => {
    const { control, length } = registersOf(ring), found: RingPlace[] = [];
    const enable = ring === "rx" ? REGISTERS.RXDCTL.ENABLE : REGISTERS.TXDCTL.ENABLE;
    for (let queue = 0; queue < control.count && found.length < MAX_RINGS; queue++) {
      const size = nic.view32(offsetOf(length, queue)) / BYTES;
      const enabled = (nic.view32(offsetOf(control, queue)) & enable) !== 0;
      if (enabled && size > 0) found.push({ port, ring, queue, size });
    }
    return found;
  });
}

/** Adds the sections of a ring. */
export function addRing(layout: Layout, { port, ring, queue, size }: RingPlace): void {
  layout.add(ringSection(port, ring, queue), RING.CELLS);
  layout.add(descriptorSection(port, ring, queue), size * WORDS);
  layout.add(ownerSection(port, ring, queue), size);
}

/** Writes a ring's state into its sections. */
export function viewRing(
  nic: Nic,
  { port, ring, queue, size }: RingPlace,
  layout: Layout,
  state: Uint32Array,
): void {
  const registers = registersOf(ring);
  const head = nic.view32(offsetOf(registers.head, queue));
  const tail = nic.view32(offsetOf(registers.tail, queue));
  const cells = layout.view(state, ringSection(port, ring, queue));
  cells[RING.RUNS] = 1;
  cells[RING.HEAD] = head;
  cells[RING.TAIL] = tail;
  cells[RING.NEXT] = cells[RING.FILL] = NONE; // only the driver knows
  const descriptors = layout.view(state, descriptorSection(port, ring, queue));
  const low = nic.view32(offsetOf(registers.baseLow, queue));
  const high = nic.view32(offsetOf(registers.baseHigh, queue));
  const { dma } = nic;
  if (dma.resolve(low, high, size * BYTES)) {
    descriptors.set(dma.words.subarray(dma.base / 4, dma.base / 4 + size * WORDS));
  } else {
    descriptors.fill(0);
  }
  const owners = layout.view(state, ownerSection(port, ring, queue));
  (ring === "rx" ? viewReceiveOwners : viewTransmitOwners)(owners, descriptors, head, tail);
}

function registersOf(ring: RingName["ring"]): RingRegisters {
  return ring === "rx" ? RECEIVE : TRANSMIT;
}

/** Outside head to tail: done descriptors have DD; the driver has written those with an address anew. */
function viewReceiveOwners(
  owners: Uint32Array,
  descriptors: Uint32Array,
  head: number,
  tail: number,
): void {
  const size = owners.length;
  for (let i = 0; i < size; i++) {
    const at = i * WORDS;
    if (isBetween(i, head, tail)) owners[i] = OWNER.DEVICE;
    else if (descriptors[at + RX_STATUS_WORD] & RX_DD) owners[i] = OWNER.DONE;
    else owners[i] = descriptors[at] | descriptors[at + 1] ? OWNER.ARMED : OWNER.DRIVER;
  }
}

/**
 * Outside head to tail, from the newest to the oldest: the device still has those that it has sent since
 * the last one with DD. All from that one on are done. Whether the driver has reclaimed them, it alone
 * knows.
 */
function viewTransmitOwners(
  owners: Uint32Array,
  descriptors: Uint32Array,
  head: number,
  tail: number,
): void {
  const size = owners.length;
  let done = false;
  for (let back = 1; back <= size; back++) {
    const i = (head - back + size) % size, at = i * WORDS;
    if (isBetween(i, head, tail)) {
      owners[i] = OWNER.DEVICE;
      continue;
    }
    const isDone = (descriptors[at + TX_STATUS_WORD] & TX_DD) !== 0;
    done ||= isDone;
    // The device clears the other words of a descriptor that it writes back.
    const used = isDone || (descriptors[at] | descriptors[at + 1] | descriptors[at + 2]) !== 0;
    owners[i] = !used ? OWNER.DRIVER : done ? OWNER.DONE : OWNER.DEVICE;
  }
}
