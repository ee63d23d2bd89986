/**
 * Interrupts over VFIO: QEMU puts the software NIC behind the IOMMU of a virtual machine, whose
 * kernel signals the forwarder there with a vector for each queue and one for the link. The forwarder
 * does not run as root.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Sim, TemporaryDirectory, until } from "../support/processes.ts";
import { droppedBy } from "../support/programs.ts";
import { FORWARD, Guest, stopForwarder, USER } from "./vfio_guest.ts";

const SLOTS = [3, 4] as const;
/** Frames to forward each way, at a rate that leaves the forwarder time to sleep. */
const FRAMES = 300, RATE = 50;
/** Longest that they may take, in milliseconds. */
const FRAMES_MS = 60000;
/** Queues of each function, and flows that hashes distribute over all of them. */
const QUEUES = 2, FLOWS = 16;
/** Memory that the user may lock, in KiB. */
const LOCK = 65536;

/** Returns how often the guest's kernel has signalled each configured vector, by its name. */
async function interrupts(guest: Guest): Promise<Map<string, number>> {
  const lines = (await guest.do("cat /proc/interrupts")).split("\n");
  return new Map(
    lines.filter((line) => line.includes("vfio-msix")).map((line) => {
      const [, counts, name] = /^ *\d+:((?: +\d+)+) .*(vfio-msix\S+)$/.exec(line)!;
      return [name, counts.trim().split(/ +/).reduce((sum, count) => sum + Number(count), 0)];
    }),
  );
}

/** Returns a program's share of a processor in two seconds, and how often it sleeps. */
async function idle(guest: Guest, pid: string): Promise<{ part: number; sleeps: number }> {
  const task = `/proc/${pid}/task/${pid}`;
  const look = `cat /proc/uptime ${task}/schedstat && grep ^voluntary ${task}/status`;
  const [before, after] = (await guest.do(`${look}; sleep 2; ${look}`)).split(/(?<=switches:.*\n)/)
    .map((text) => text.match(/[\d.]+/g)!.map(Number));
  const [seconds, , nanoseconds, , , sleeps] = after.map((n, i) => n - before[i]);
  return { part: nanoseconds / 1e9 / seconds, sleeps };
}

Deno.test("fwd.ts --interrupts, as any user, sleeps by VFIO until a queue interrupts", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = `generator:rate=${RATE},size=300,flows=${FLOWS}`;
  await using sim = await Sim.start(directory, [wire, wire], ["--doorbells=trap"]);
  const qemu = VFIO_USER_QEMU;
  await using guest = await Guest.boot(vfioUserNics(sim.addresses, SLOTS), { qemu });
  const addresses = SLOTS.map((slot) => addressOf({ slot }));
  await guest.bind(...addresses);
  const asUser = await guest.addUser();
  for (const address of addresses) {
    await guest.do(`chown ${USER} ${await guest.groupFile(address)}`);
  }
  const options = `--interrupts --queues=${QUEUES}`;
  const forward = `${FORWARD} ${options} ${addresses.join(" ")}`;
  const forwarder = await guest.startForwarder(asUser(forward, LOCK));
  const pid = await guest.do("pidof deno");

  const silent = await idle(guest, pid);
  assert(silent.part < 0.5 && silent.sleeps > 5, JSON.stringify(silent));
  assertEquals(await guest.do(`stat -c %u /proc/${pid}`), String(USER));
  const before = await interrupts(guest);
  const names = addresses.flatMap((address) =>
    Array.from({ length: QUEUES }, (_, i) => `vfio-msix[${i}](${address})`)
  );
  const links = addresses.map((address) => `vfio-msix[${QUEUES}](${address})`);
  assertEquals([...before.keys()].sort(), [...names, ...links].sort());

  await sim.command("start");
  await sim.reaches(
    "frames each way",
    (ports) => ports.every(({ wireStatistics }) => wireStatistics.received >= FRAMES),
    FRAMES_MS,
  );
  await sim.drain(() => droppedBy(forwarder));
  const after = await interrupts(guest);
  const rose = names.filter((name) => after.get(name)! > before.get(name)!);
  assertEquals(rose, names, "the vectors of both queues of both functions");

  await sim.command("link 1 down");
  await until("the interrupt of the second function's link", async () => {
    const now = await interrupts(guest);
    return links.map((name) => now.get(name)! > after.get(name)!).join() === "false,true";
  });
  await sim.command("link 1 up");
  const said = [
    "link down: no light arrives: check the fibre and the other end",
    "link up at 10 Gbit/s",
  ]
    .map((line) => `${addresses[1]}: ${line}\n`).join("");
  await until("its state", () => forwarder.stderr === said);

  const totals = await stopForwarder(forwarder, said);
  assertEquals(await interrupts(guest), new Map());
  assertEquals(await guest.busMasters(...addresses), [false, false]);
  const ports = await sim.quit();
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt } = ports[to].wireStatistics;
    assertEquals({ missed, reordered, corrupt }, { missed: 0, reordered: 0, corrupt: 0 });
    assertEquals(totals[to].dropped, 0);
    assertEquals([totals[from].rxPackets, totals[to].txPackets, received], [sent, sent, sent]);
  }
});
