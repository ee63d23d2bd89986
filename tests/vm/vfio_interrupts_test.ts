/**
 * Interrupts over VFIO: QEMU puts the software NIC behind the IOMMU of a virtual machine, whose kernel
 * signals the forwarder in there.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Sim, TemporaryDirectory } from "../processes.ts";
import { FORWARD, Guest, stopForwarder } from "./vfio_guest.ts";

const SLOTS = [3, 4] as const;
/** Frames that shall have come through each way, at a rate that leaves the forwarder time to sleep. */
const FRAMES = 300, RATE = 50;
/** Longest that they may take, in milliseconds. */
const FRAMES_MS = 60000;

/** How often the kernel of the guest has signalled a vector of each function; -1 if none is set up. */
async function interrupts(guest: Guest, addresses: readonly string[]): Promise<number[]> {
  const lines = (await guest.do("cat /proc/interrupts")).split("\n");
  return addresses.map((address) => {
    const line = lines.find((line) => line.includes(`vfio-msix[0](${address})`));
    if (line === undefined) return -1;
    const processors = /^ *\d+:((?: +\d+)+) /.exec(line)![1].trim().split(/ +/);
    return processors.reduce((sum, count) => sum + Number(count), 0);
  });
}

/** The part of a processor that a program in the guest takes in two seconds, and how often it sleeps. */
async function idle(guest: Guest, pid: string): Promise<{ part: number; sleeps: number }> {
  const task = `/proc/${pid}/task/${pid}`;
  const look = `cat /proc/uptime ${task}/schedstat && grep ^voluntary ${task}/status`;
  const [before, after] = (await guest.do(`${look}; sleep 2; ${look}`)).split(/(?<=switches:.*\n)/)
    .map((text) => text.match(/[\d.]+/g)!.map(Number));
  const [seconds, , nanoseconds, , , sleeps] = after.map((n, i) => n - before[i]);
  return { part: nanoseconds / 1e9 / seconds, sleeps };
}

Deno.test("fwd.ts --interrupts sleeps by VFIO until an 82599 interrupts", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = `generator:rate=${RATE},size=300`;
  await using sim = await Sim.start(directory, [wire, wire], ["--doorbells=trap"]);
  const qemu = VFIO_USER_QEMU;
  await using guest = await Guest.boot(vfioUserNics(sim.addresses, SLOTS), { qemu });
  const addresses = SLOTS.map((slot) => addressOf({ slot }));
  await guest.bind(...addresses);
  const forwarder = await guest.startForwarder(`${FORWARD} --interrupts ${addresses.join(" ")}`);
  const pid = await guest.do("pidof deno");

  const silent = await idle(guest, pid);
  assert(silent.part < 0.5 && silent.sleeps > 5, JSON.stringify(silent));
  const before = await interrupts(guest, addresses);
  assert(before.every((n) => n >= 0), "both have a vector");

  await sim.command("start");
  await sim.reaches(
    "frames each way",
    (ports) => ports.every(({ wireStatistics }) => wireStatistics.received >= FRAMES),
    FRAMES_MS,
  );
  await sim.drain();
  const after = await interrupts(guest, addresses);
  assert(after.every((n, i) => n > before[i]), `${before} then ${after}`);

  const totals = await stopForwarder(forwarder);
  assertEquals(await interrupts(guest, addresses), [-1, -1]);
  assertEquals(await guest.busMasters(...addresses), [false, false]);
  const ports = await sim.quit();
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt } = ports[to].wireStatistics;
    assertEquals({ missed, reordered, corrupt }, { missed: 0, reordered: 0, corrupt: 0 });
    assertEquals([totals[from].rxPackets, totals[to].txPackets], [sent, received]);
    assertEquals(received, sent - totals[to].dropped);
  }
});
