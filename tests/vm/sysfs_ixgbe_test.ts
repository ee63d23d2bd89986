/**
 * The ixgbe driver through sysfs, without an IOMMU, in a virtual machine whose kernel drives the
 * cards first. The forwarder takes them over, forwards by physical addresses, and gives them back.
 * Also: the memory of a forwarder that is killed, and X540s, whose PHY the kernel has put to sleep.
 *
 * @module
 */

import { assert, assertEquals, equal } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import {
  assertRefused,
  Sim,
  type SimPort,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { droppedBy } from "../support/programs.ts";
import { quitBroken } from "../support/violations.ts";
import { ALWAYS, FIRST_RESET, IN_TRAFFIC, RECEIVE_PATH, TAKEN_DOWN } from "./linux_known.ts";
import type { MemoryReport } from "./memory_program.ts";
import { FORWARD, Guest, stopForwarder } from "./vfio_guest.ts";

const NIC = "deno run --no-prompt --allow-ffi nic.ts";
const SLOTS = [3, 4];
const [A, B] = SLOTS.map((slot) => addressOf({ slot }));
/**
 * Frames to forward each way. At the generators' rate, a ring has room for two and a half seconds,
 * so that nothing is lost while the emulated processor compiles.
 */
const FRAMES = 1000, RATE = 200;
/** How long frames arrive while another program has a killed one's memory. */
const REUSE_SECONDS = 3;
/** Longest that they may take, and that the kernel's driver may take to detect a carrier. */
const FRAMES_MS = 60000, CARRIER_SECONDS = 20;

const LINUX = [...ALWAYS, IN_TRAFFIC, TAKEN_DOWN];
/** Violated by a card that receives when the guard has turned off its bus mastering. */
const GUARDED = "RDT: bus master is on before DMA is requested";
/** May be violated by a card without a guard, whose descriptors another program overwrites. */
const OVERWRITTEN = "RDBAL: buffers of BSIZEPACKET bytes in memory the device may write";

/**
 * Two ports of the software NIC, and a guest that has them as cards, with Linux's driver loaded.
 */
class Cards {
  constructor(readonly sim: Sim, readonly guest: Guest) {}

  /** Returns the kernel driver of each card: `ixgbe`, or an empty string. */
  async drivers(): Promise<string[]> {
    const names: string[] = [];
    for (const address of [A, B]) {
      const link = `/sys/bus/pci/devices/${address}/driver`;
      names.push(await this.guest.do(`[ ! -e ${link} ] || basename $(readlink ${link})`));
    }
    return names;
  }

  /** Returns the kernel interface of each card. */
  async interfaces(): Promise<string[]> {
    const list = `for a in ${A} ${B}; do ls /sys/bus/pci/devices/$a/net; done`;
    return (await this.guest.do(list)).split("\n");
  }

  /** Sets an interface up, and waits for its carrier. */
  async up(name: string): Promise<void> {
    const carrier = `[ "$(cat /sys/class/net/${name}/carrier)" = 1 ]`;
    const wait = `for i in $(seq ${CARRIER_SECONDS * 5}); do ${carrier} && exit 0; usleep 200000`;
    await this.guest.do(`ip link set ${name} up; ${wait}; done; exit 1`);
  }

  /** Returns whether each card has a link, while no driver has them. */
  async links(): Promise<boolean[]> {
    const up: boolean[] = [];
    for (const address of [A, B]) {
      const text = await this.guest.do(`${NIC} regs --json ${address} LINKS`);
      const { registers: [{ fields }] } = JSON.parse(text);
      up.push(fields.UP === 1);
    }
    return up;
  }

  /** Waits until the kernel receives packets of the generators on an interface. */
  async assertReceives(name: string): Promise<void> {
    const count = `cat /sys/class/net/${name}/statistics/rx_packets`;
    const before = Number(await this.guest.do(count));
    await this.sim.command("start");
    const more = `[ $(${count}) -gt ${before} ] && exit 0; usleep 200000`;
    await this.guest.do(`for i in $(seq 50); do ${more}; done; exit 1`);
    await this.sim.command("stop");
  }

  /**
   * Forwards, and asserts that all frames arrive in order and unchanged.
   *
   * @param said What the forwarder says about links.
   */
  async forward(options: string, said: string | RegExp = ""): Promise<void> {
    const forwarder = await this.guest.startForwarder(`${FORWARD} ${options} ${A} ${B}`);
    const before = await this.#statistics();
    await this.sim.command("start");
    const wanted = before.map(({ received }) => received + FRAMES);
    await this.sim.reaches(
      "frames each way",
      (ports) => ports.every(({ wireStatistics }, i) => wireStatistics.received >= wanted[i]),
      FRAMES_MS,
    );
    // Frames that the kernel received before have not come back.
    const kept = before.reduce((n, { sent, missed, received }) => n + sent - missed - received, 0);
    await this.sim.drain(() => kept + droppedBy(forwarder));
    const totals = await stopForwarder(forwarder, said);
    const after = await this.#statistics();
    for (const [from, to] of [[0, 1], [1, 0]]) {
      const since = (port: number, name: string) => after[port][name] - before[port][name];
      const sent = since(from, "sent"), received = since(to, "received");
      assertEquals(since(from, "missed"), 0);
      for (const name of ["reordered", "corrupt", "foreign"]) {
        assertEquals(since(to, name), 0, name);
      }
      const { dropped, txPackets } = totals[to];
      assertEquals([dropped, totals[from].rxPackets, txPackets, received], [0, sent, sent, sent]);
    }
  }

  /**
   * Kills the forwarder while it forwards. Then another program takes all free hugepages, and further
   * frames arrive.
   *
   * @param masters Whether bus mastering is on or off then, for each card.
   * @returns What that program has found.
   */
  async killAndReuse(options: string, masters: readonly boolean[]): Promise<MemoryReport> {
    const forwarder = await this.guest.startForwarder(`${FORWARD} ${options} ${A} ${B}`);
    if (options === "") { // it is out of the OOM killer's reach
      const scores = "for p in $(pidof ixy-guard); do cat /proc/$p/oom_score_adj; done";
      assertEquals(await this.guest.do(scores), "-1000\n-1000");
    }
    const first = await this.#statistics();
    await this.sim.command("start");
    await this.sim.reaches("traffic", (ports) => {
      return ports.every(({ wireStatistics }, i) => wireStatistics.received > first[i].received);
    });
    await forwarder.kill("KILL");
    assertEquals((await forwarder.finish()).code, 128 + 9);
    await this.sim.command("stop"); // the rings keep free descriptors until the program is ready
    await until(`bus mastering: ${masters}`, async () => {
      return equal(await this.guest.busMasters(A, B), masters);
    });
    const program = `deno run --no-prompt --allow-ffi tests/vm/memory_program.ts ${REUSE_SECONDS}`;
    const other = await this.guest.vm.start(program);
    await other.line((line) => line === '{"ready":true}');
    const before = await this.#statistics();
    await this.sim.command("start");
    const { code, stdout, stderr } = await other.finish();
    await this.sim.command("stop");
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    const after = await this.#statistics();
    assert(after.every(({ sent }, i) => sent >= before[i].sent + RATE), "frames arrive");
    return JSON.parse(stdout.trim().split("\n").at(-1)!);
  }

  /** Asserts that neither card has a kernel driver, and that bus mastering is off. */
  async assertFree(): Promise<void> {
    assertEquals(await this.drivers(), ["", ""]);
    assertEquals(await this.guest.busMasters(A, B), [false, false]);
  }

  async #statistics(): Promise<SimPort["wireStatistics"][]> {
    return (await this.sim.report()).ports.map(({ wireStatistics }) => wireStatistics);
  }

  /** Returns the number of violations of the datasheet so far. */
  async broken(): Promise<number> {
    const { ports } = await this.sim.report();
    return ports.reduce((sum, { broken }) => sum + broken, 0);
  }
}

/** Two ports that generate. */
function startSim(directory: TemporaryDirectory, ...options: readonly string[]): Promise<Sim> {
  const wire = `generator:rate=${RATE},size=300`;
  return Sim.start(directory, [wire, wire], ["--doorbells=trap", ...options]);
}

/** A machine with these ports as cards. */
function boot(sim: Sim): Promise<Machine> {
  return Machine.boot({
    kernel: "full",
    machine: "q35",
    modules: ["ixgbe", "8021q"],
    programs: { ethtool: ["ethtool"] },
    qemu: VFIO_USER_QEMU,
    arguments: vfioUserNics(sim.addresses, SLOTS),
  });
}

Deno.test("fwd.ts takes 82599s from Linux's ixgbe by sysfs, and gives them back", async (t) => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await startSim(directory);
  await using vm = await boot(sim);
  const guest = Guest.of(vm), cards = new Cards(sim, guest);
  await guest.do("modprobe ixgbe");

  await t.step("a card whose interface is up is refused, and keeps working", async () => {
    const [a] = await cards.interfaces();
    await cards.up(a);
    const result = await guest.forward(A, B);
    assertRefused(result, new RegExp(`00:03\\.0: its kernel interface ${a} is up`));
    assertRefused(await vm.run(`${NIC} selftest ${A}`), /its kernel interface \S+ is up/);
    assertEquals(await cards.drivers(), ["ixgbe", "ixgbe"]);
    await cards.assertReceives(a);
    await guest.do(`ip link set ${a} down`);
  });
  await t.step(
    "a card whose interface is down is taken over, and --rebind gives it back",
    async () => {
      await cards.forward("--rebind");
      assertEquals(await cards.drivers(), ["ixgbe", "ixgbe"]);
      for (const name of await cards.interfaces()) {
        await cards.up(name);
        await cards.assertReceives(name);
      }
    },
  );
  await t.step("nic.ts selftest passes on a card whose interface is down", async () => {
    const [a] = await cards.interfaces();
    await guest.do(`ip link set ${a} down`);
    const { checks, failed, skipped } = await guest.selftest(A);
    assertEquals(failed, []);
    assertEquals(skipped, ["cable", "link loss", "interrupts"]);
    assertEquals(checks, 15);
    assertEquals(await guest.busMasters(A), [false]);
    await guest.do(`${NIC} restore ${A}`);
    assertEquals(await cards.drivers(), ["ixgbe", "ixgbe"]);
    const [again] = await cards.interfaces();
    await cards.up(again);
    await cards.assertReceives(again);
  });
  await t.step(
    "--force takes a card whose interface is up, with filters and VLANs of the kernel's driver",
    async () => {
      await guest.do("modprobe 8021q");
      for (const name of await cards.interfaces()) {
        const vlan = `${name}.7`;
        await guest.do(`ethtool -K ${name} ntuple on`);
        await guest.do(`ethtool -N ${name} flow-type udp4 dst-port 9 action 0`);
        await guest.do(
          `ip link add link ${name} name ${vlan} type vlan id 7 && ip link set ${vlan} up`,
        );
        await guest.do(`ip link set ${name} promisc on`);
      }
      await cards.forward("--force");
      await cards.assertFree();
      assertEquals(await guest.do("ls /sys/class/net"), "lo");
    },
  );
  await t.step("no rule of the datasheet is violated from opening to closing", async () => {
    const before = await cards.broken();
    assert(before > 0, "by Linux");
    await cards.forward("--rebind");
    assertEquals(await cards.broken(), before);
    await cards.assertFree(); // they had no driver before
  });
  await t.step(
    "after SIGKILL in traffic, the guard keeps memory that others use intact",
    async () => {
      const { pages, damaged } = await cards.killAndReuse("", [false, false]);
      assert(pages > 0);
      assertEquals(damaged, 0);
      await cards.forward("");
    },
  );
  await t.step("without a guard, the cards write to that memory", async () => {
    const { damaged } = await cards.killAndReuse("--no-guard", [true, true]);
    assert(damaged > 0);
  });
  await t.step("cards whose bus mastering was left on are taken over", async () => {
    assertEquals(await guest.busMasters(A, B), [true, true]);
    await cards.forward("");
    await guest.do(`${NIC} restore ${A} && ${NIC} restore ${B}`);
    assertEquals(await cards.drivers(), ["ixgbe", "ixgbe"]);
    const [a] = await cards.interfaces();
    await cards.up(a);
    await cards.assertReceives(a);
  });
  assertEquals(await guest.do("dmesg | grep -E 'WARNING:|BUG:|Call Trace|Tx Hang' || true"), "");
  const { rules } = await quitBroken(sim);
  assertEquals(rules.filter((rule) => ![...LINUX, OVERWRITTEN].includes(rule)), [GUARDED]);
});

Deno.test("fwd.ts finds a link on X540s whose PHY Linux has put to sleep", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await startSim(directory, "--device-id=0x1528");
  await using vm = await boot(sim);
  const guest = Guest.of(vm), cards = new Cards(sim, guest);
  await guest.do("modprobe ixgbe");
  for (const name of await cards.interfaces()) {
    await cards.up(name);
    await guest.do(`ip link set ${name} down`);
  }
  for (const address of [A, B]) await guest.do(`${NIC} bind ${address} none`);
  assertEquals(await cards.links(), [false, false]);
  const before = await cards.broken();
  // The link comes up after the forwarder has started, or just before.
  await cards.forward("", /^(0000:00:0[34]\.0: link (down: .*|up at 10 Gbit\/s)\n)*$/);
  assertEquals(await cards.links(), [true, true]);
  assertEquals(await cards.broken(), before);
  const { rules } = await quitBroken(sim);
  assertEquals(rules.filter((rule) => ![...LINUX, FIRST_RESET, RECEIVE_PATH].includes(rule)), []);
});
