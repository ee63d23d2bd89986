/**
 * Counts of a cable's traffic by Linux's driver, by the software NIC, and at the host's end of the
 * cable. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import { tool, until } from "../support/processes.ts";
import type { Link, LinuxGuest } from "./linux_ixgbe.ts";

/** Time without traffic after which the cable counts as quiet, in milliseconds. */
const SILENCE_MS = 300;
/** Bytes of a frame that only the NIC counts: the CRC. */
const CRC = 4;
/**
 * Bytes of padding of a TCP reset, since the shortest frame has 60 bytes. The host may send resets
 * when a connection ends; no other frame here is that short.
 */
const RESET_PADDING = 6;
const QUEUES = 2;
/** How often traffic is repeated that the NIC has missed frames of. */
const ATTEMPTS = 5;

/** Counts at one time, or the differences between two times. */
export interface Counts {
  /** Counts of the driver and of the NIC's registers, from `ethtool -S`. */
  readonly driver: Readonly<Record<string, number>>;
  /** Counts of the model, which the driver cannot clear. */
  readonly nic: Readonly<Record<string, number>>;
  /** Counts at the host's end: `rx` is what the guest has sent. Lengths are those on the wire. */
  readonly wire: Readonly<Record<"rx" | "tx", { packets: number; bytes: number }>>;
}

/** Waits until the cable is quiet, and reads the counts. */
export async function counts(guest: LinuxGuest, link: Link): Promise<Counts> {
  let found = await read(guest, link);
  await until("silence", async () => {
    await delay(SILENCE_MS);
    const before = JSON.stringify(found);
    found = await read(guest, link);
    return JSON.stringify(found) === before;
  });
  return found;
}

async function read(guest: LinuxGuest, { device, index, peer }: Link): Promise<Counts> {
  const show = ["ip", "-n", peer.name, "-s", "-j", "link", "show", peer.device];
  const [{ stats64: { rx, tx } }] = JSON.parse(await tool(...show));
  const snmp = await tool(...peer.command("cat", "/proc/net/snmp"));
  const [names, values] = [...snmp.matchAll(/^Tcp: (.*)$/gm)].map(([, line]) => line.split(" "));
  const padding = Number(values[names.indexOf("OutRsts")]) * RESET_PADDING;
  const driver = await guest.statistics(device);
  const nic = (await guest.sim.report()).ports[index].counters;
  return { driver, nic, wire: { rx, tx: { packets: tx.packets, bytes: tx.bytes + padding } } };
}

/** Runs a function, and returns by how much the counts have increased. */
export async function added(
  guest: LinuxGuest,
  link: Link,
  action: () => Promise<unknown>,
): Promise<Counts> {
  const before = await counts(guest, link);
  await action();
  const after = await counts(guest, link);
  const less = (a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.keys(a).map((name) => [name, a[name] - b[name]]));
  const wire = (way: "rx" | "tx") => ({
    packets: after.wire[way].packets - before.wire[way].packets,
    bytes: after.wire[way].bytes - before.wire[way].bytes,
  });
  return {
    driver: less(after.driver, before.driver),
    nic: less(after.nic, before.nic),
    wire: { rx: wire("rx"), tx: wire("tx") },
  };
}

/**
 * As {@linkcode added}, but runs the function again if the NIC has missed frames: a guest that gets
 * too little of a busy machine does not refill its rings in time, and its counts then differ.
 */
export async function addedWithoutMisses(
  guest: LinuxGuest,
  link: Link,
  action: () => Promise<unknown>,
): Promise<Counts> {
  for (let attempt = 1;; attempt++) {
    const difference = await added(guest, link, action);
    if (difference.nic.missed === 0 || attempt === ATTEMPTS) return difference;
  }
}

/**
 * Runs a function while both ends have fixed ARP entries: they would otherwise send ARP requests,
 * which are so short that they are padded on the way.
 */
export async function withNeighbours(
  guest: LinuxGuest,
  { device, address, peer }: Link,
  action: () => Promise<void>,
): Promise<void> {
  const guestMac = await guest.do(`cat /sys/class/net/${device}/address`);
  const show = ["ip", "-n", peer.name, "-j", "link", "show", peer.device];
  const [{ address: peerMac }] = JSON.parse(await tool(...show));
  const neighbour = (verb: string, ...more: string[]) =>
    tool("ip", "-n", peer.name, "neigh", verb, address, "dev", peer.device, ...more);
  await neighbour("replace", "lladdr", guestMac, "nud", "permanent");
  await guest.do(`arp -i ${device} -s ${peer.address} ${peerMac}`);
  await action();
  await guest.do(`arp -i ${device} -d ${peer.address}`);
  await neighbour("delete");
}

/** Asserts that the three counts are equal. */
export function assertSame({ driver, nic, wire }: Counts): void {
  assertEquals(nic.filtered + nic.missed + nic.ignored, 0, "all frames were for the guest");
  for (const [way, at] of [["rx", wire.tx], ["tx", wire.rx]] as const) {
    const { packets, bytes } = at;
    const byQueue = (what: string) => {
      const queues = Array.from({ length: QUEUES }, (_, i) => driver[`${way}_queue_${i}_${what}`]);
      return queues.reduce((sum, count) => sum + count);
    };
    const found = {
      model: nic[way === "rx" ? "received" : "transmitted"],
      registers: [driver[`${way}_pkts_nic`], driver[`${way}_bytes_nic`]],
      driver: [driver[`${way}_packets`], driver[`${way}_bytes`]],
      queues: [byQueue("packets"), byQueue("bytes")],
    };
    const registers = [packets, bytes + packets * CRC], frames = [packets, bytes];
    assertEquals(found, { model: packets, registers, driver: frames, queues: frames }, way);
  }
}
