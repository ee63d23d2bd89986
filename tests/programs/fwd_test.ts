/**
 * `fwd.ts` as a process: what it refuses and how, what it forwards between two ports of the
 * software NIC, and how it ends. It has `--allow-ffi` only.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname } from "node:path";
import { EEC, RAL } from "../../ixgbe/registers.ts";
import { path, stubs } from "../../native/stubs.ts";
import { offsetOf } from "../../src/registers.ts";
import { offline } from "../../vm/offline.ts";
import { Hugepages } from "../support/hugepages.ts";
import {
  assertFailed,
  assertRefused,
  ffiOnly,
  isRoot,
  Program,
  PROJECT,
  type Result,
  run,
  Sim,
  type SimPort,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import {
  Cable,
  droppedBy,
  randomFrame,
  startForwarder,
  stopProgram,
  type Totals,
} from "../support/programs.ts";

const GENERATORS = ["generator:rate=200000", "generator:rate=200000"];

function forwarder(...args: string[]): Promise<Result> {
  return run(ffiOnly("fwd.ts", args));
}

Deno.test("fwd.ts --help prints its usage", async () => {
  const { code, stdout, stderr } = await forwarder("--help");
  assertEquals(stderr, "");
  assertMatch(stdout, /^usage: /);
  assertEquals(code, 0);
});

Deno.test("fwd.ts refuses invalid command lines with one sentence", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const stale = directory.file("stale.sock");
  stubs.ixy_close(stubs.ixy_bind(path(stale), 1));
  await Deno.writeTextFile(directory.file("file"), "");
  await using _sim = await Sim.start(directory, ["none", "none"]);
  const [a, b] = [`vfio-user:${directory.file("0.sock")}`, `vfio-user:${directory.file("1.sock")}`];
  const cases: [rule: string, args: string[], sentence: RegExp][] = [
    ["no devices", [], /two devices/],
    ["one device", [a], /two devices/],
    ["three devices", [a, b, a], /two devices/],
    ["a device that is named twice", [a, a], /twice/],
    ["a device under two names", [a, a.replace("/0.sock", "/./0.sock")], /uses the device/],
    ["an unknown form of address", ["eth0", b], /"eth0" is not a device address/],
    ["an invalid PCI address", ["0000:03:20.0", b], /is not a device address/],
    ["a missing PCI device", ["ffff:ff:1f.7", b], /ffff:ff:1f\.7: no such PCI device/],
    ["a missing socket", [`vfio-user:${directory.file("none")}`, b], /no such file/],
    ["a socket without a server", [`vfio-user:${stale}`, b], /start the server/],
    ["a file that is not a socket", [`vfio-user:${directory.file("file")}`, b], /start the server/],
    ["a batch of 0", ["--batch=0", a, b], /--batch .* from 1 to 256/],
    ["a batch of 257", ["--batch=257", a, b], /--batch .* from 1 to 256/],
    ["half a packet", ["--batch=1.5", a, b], /--batch .* whole/],
    ["a batch that is not a number", ["--batch=many", a, b], /"many"/],
    ["--batch without a value", ["--batch"], /--batch/],
    ["a receive ring of 63", ["--rx-entries=63", a, b], /--rx-entries .* from 64 to 4096/],
    ["a receive ring of 4097", ["--rx-entries=4097", a, b], /--rx-entries .* from 64 to 4096/],
    [
      "a receive ring of 100",
      ["--rx-entries=100", a, b],
      /receive ring .* power of two, not 100 \(--rx-entries\)/,
    ],
    ["a transmit ring of 63", ["--tx-entries=63", a, b], /--tx-entries .* from 64 to 4096/],
    ["a transmit ring of 4097", ["--tx-entries=4097", a, b], /--tx-entries .* from 64 to 4096/],
    [
      "a transmit ring of 100",
      ["--tx-entries=100", a, b],
      /transmit ring .* power of two, not 100 \(--tx-entries\)/,
    ],
    [
      "buffers of 3000 bytes",
      ["--buffer-size=3000", a, b],
      /--buffer-size takes 2048, 4096, 8192 or 16384, not "3000"/,
    ],
    ["0 seconds", ["--seconds=0", a, b], /--seconds/],
    [
      "an unknown VirtIO interface",
      ["--virtio=old", a, b],
      /legacy or modern, not "old"/,
    ],
    ["a speed that is not a number", ["--speed=fast", a, b], /--speed takes numbers from 100 to/],
    [
      "a speed that the card cannot have",
      ["--speed=10000,2500", a, b],
      /0\.sock: an 82599 SFP\+ can have 1000 and 10000 Mbit\/s, not 2500: .* \(--speed\)$/m,
    ],
    [
      "a speed that the module cannot have",
      ["--speed=1000", a, b],
      /0\.sock: its module \(10GBASE-SR\) can have 10000 Mbit\/s, not 1000 Mbit\/s: .*--speed/,
    ],
    ["an unknown option", ["--frobnicate", a, b], /--frobnicate/],
    [
      "an option that a device does not support",
      ["--virtio=modern", a, "vhost-user:none"],
      /vfio-user:.*0\.sock: ixgbe devices .* `virtio`: leave it out \(--virtio\)/,
    ],
  ];
  for (const [rule, args, sentence] of cases) {
    await t.step(`fwd.ts refuses ${rule}`, async () => {
      assertRefused(await forwarder(...args), sentence);
    });
  }
});

Deno.test("fwd.ts names the permission that it needs", async () => {
  const command = ffiOnly("fwd.ts", ["vfio-user:a", "vfio-user:b"]);
  const result = await run(command.filter((word) => word !== "--allow-ffi"));
  assertRefused(result, /run it with `deno run --allow-ffi`, without a path$/m);
});

Deno.test("fwd.ts refuses related NICs by name", async (t) => {
  const relatives = [
    ["0x10c6", "an 82598"],
    ["0x10ed", "a virtual function"],
    ["0x15ac", "an X550EM"],
  ];
  for (const [id, name] of relatives) {
    await t.step(name, async () => {
      await using directory = await TemporaryDirectory.make();
      await using sim = await Sim.start(directory, ["none", "none"], [`--device-id=${id}`]);
      const result = await forwarder(...sim.addresses);
      assertRefused(result, new RegExp(`${id} \\(${name}.*not supported, because .*use an 82599`));
      await sim.quit();
    });
  }
});

Deno.test("fwd.ts --speed sets the speeds of copper links", async () => {
  await using directory = await TemporaryDirectory.make();
  // Without the option, the ends have no speed in common.
  const options = ["--device-id=0x1563", "--partner=2500"];
  await using sim = await Sim.start(directory, GENERATORS, options);
  await using forwarder = await startForwarder(sim.addresses, ["--speed=2500,1000"]);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((port) => count(port) > 100));
  await stopProgram(forwarder);
  await sim.quit();
});

Deno.test("fwd.ts refuses a device that another forwarder uses and goes on using", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  await using first = await startForwarder(sim.addresses);
  await sim.command("start");
  assertRefused(await forwarder(...sim.addresses), /end the program that uses the device/);
  const before = await received(sim);
  await sim.reaches("more frames", (ports) => ports.every((p, i) => count(p) > before[i]));
  await stopProgram(first);
  await sim.quit();
});

const PCI = "0000:aa:00.0", OTHER_PCI = "0000:bb:00.0";

/** Files like those in sysfs for PCI functions, bind-mounted in their place for one process. */
class FakePci {
  readonly #directory: TemporaryDirectory;

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    for (const device of [PCI, OTHER_PCI]) {
      Deno.mkdirSync(this.file("net/eth7", device), { recursive: true });
      const config = new DataView(new ArrayBuffer(256));
      config.setUint16(0, 0x8086, true);
      config.setUint16(2, 0x10fb, true);
      config.setUint16(4, 0x0406, true); // memory space, bus master, no legacy interrupt
      config.setUint16(10, 0x0200, true);
      Deno.writeFileSync(this.file("config", device), new Uint8Array(config.buffer));
      const registers = new DataView(new ArrayBuffer(512 * 1024));
      registers.setUint32(offsetOf(EEC), EEC.EE_PRES, true);
      registers.setUint32(offsetOf(RAL), 2, true); // a unicast address
      Deno.writeFileSync(this.file("resource0", device), new Uint8Array(registers.buffer));
      Deno.writeTextFileSync(this.file("enable", device), "1\n");
      Deno.writeTextFileSync(this.file("net/eth7/flags", device), "0x1002\n");
    }
  }

  file(name: string, device = PCI): string {
    return this.#directory.file(`pci/${device}/${name}`);
  }

  /** Gives the device a kernel driver; returns the file that would unbind it. */
  bind(driver: string): string {
    Deno.mkdirSync(this.#directory.file(`drivers/${driver}`), { recursive: true });
    const unbind = this.#directory.file(`drivers/${driver}/unbind`);
    Deno.writeTextFileSync(unbind, "");
    Deno.symlinkSync(this.#directory.file(`drivers/${driver}`), this.file("driver"));
    return unbind;
  }

  /** Sets the kernel's interface up. */
  up(): void {
    Deno.writeTextFileSync(this.file("net/eth7/flags"), "0x1003\n");
  }

  command(): number {
    return new DataView(Deno.readFileSync(this.file("config")).buffer).getUint16(4, true);
  }

  /** Runs the forwarder on these devices, if needed through other programs. */
  forward(options: readonly string[] = [], by: readonly string[] = []): Promise<Result> {
    return this.run([...by, ...ffiOnly("fwd.ts", [...options, PCI, OTHER_PCI])]);
  }

  run(
    command: readonly string[],
    mounts: readonly [string, string][] = [],
    env: Record<string, string> = {},
  ): Promise<Result> {
    const all = [[this.#directory.file("pci"), "/sys/bus/pci/devices"], ...mounts];
    const script = all.map(([from, to]) => `mount --bind '${from}' '${to}'`).join(" && ");
    return run(["unshare", "-m", "sh", "-c", `${script} && exec "$@"`, "sh", ...command], { env });
  }
}

/** Defines a test with fake PCI functions. */
function pciTest(name: string, test: (pci: FakePci, directory: TemporaryDirectory) => unknown) {
  Deno.test({
    name,
    ignore: !isRoot,
    fn: async () => {
      await using directory = await TemporaryDirectory.make();
      using _pages = new Hugepages(16);
      await test(new FakePci(directory), directory);
    },
  });
}

pciTest("fwd.ts refuses a PCI device without permission", async (pci, directory) => {
  const [deno, project, cache] = ["deno", "project", "cache"].map((name) => directory.file(name));
  await Deno.writeTextFile(deno, "");
  await Deno.mkdir(project);
  await Deno.mkdir(cache);
  await Deno.chown(cache, 65534, 65534);
  await Deno.chmod(directory.path, 0o755);
  const { configuration, files } = await offline(directory.file("std"));
  for (const [path, content] of files) {
    const file = directory.file(`std/${path}`);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeFile(file, content);
  }
  const config = directory.file("deno.json");
  await Deno.writeTextFile(config, configuration);
  const anyone = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const flags = ["--quiet", "--no-prompt", "--allow-ffi", `--config=${config}`];
  const args = ["run", ...flags, `${project}/fwd.ts`];
  // Deno, its cache and the project may be readable for root only.
  const mounts: [string, string][] = [[Deno.execPath(), deno], [PROJECT, project]];
  const result = await pci.run(
    ["setpriv", ...anyone, deno, ...args, PCI, OTHER_PCI],
    mounts,
    { DENO_DIR: cache },
  );
  assertRefused(result, /0000:aa:00\.0: no permission to open .*: run this as root/);
  assertEquals(pci.command(), 0x0406);
});

pciTest("fwd.ts refuses a PCI device if it may not read physical addresses", async (pci) => {
  const result = await pci.forward([], ["setpriv", "--bounding-set=-sys_admin"]);
  assertRefused(result, /physical addresses.*CAP_SYS_ADMIN/);
  assertEquals(pci.command(), 0x0406);
});

pciTest("fwd.ts refuses a PCI device that another forwarder uses", async (pci) => {
  using file = await Deno.open(pci.file("config"), { write: true });
  file.lockSync(true);
  assertRefused(await pci.forward(), /0000:aa:00\.0: another program/);
  assertEquals(pci.command(), 0x0406);
});

pciTest("fwd.ts refuses a PCI device that is not a NIC", async (pci) => {
  using file = await Deno.open(pci.file("config"), { write: true });
  await file.seek(10, Deno.SeekMode.Start);
  await file.write(new Uint8Array([0x06, 0x01]));
  assertRefused(await pci.forward(), /8086:10fb of class 0106 is not supported/);
  assertEquals(pci.command(), 0x0406);
});

pciTest("fwd.ts refuses a PCI device that is bound to vfio-pci, also with --force", async (pci) => {
  const unbind = pci.bind("vfio-pci");
  assertRefused(await pci.forward(["--force"]), /bound to vfio-pci/);
  assertEquals(await Deno.readTextFile(unbind), "");
  assertEquals(pci.command(), 0x0406);
});

pciTest("fwd.ts refuses a NIC whose kernel interface is up, and changes nothing", async (pci) => {
  const unbind = pci.bind("ixgbe");
  pci.up();
  assertRefused(await pci.forward(), /0000:aa:00\.0: .*eth7 is up: .*--force/);
  assertEquals(await Deno.readTextFile(unbind), "");
  assertEquals(pci.command(), 0x0406);
});

pciTest(
  "fwd.ts takes over a NIC whose interface is up with --force, and any other without",
  async (pci) => {
    const unbind = pci.bind("ixgbe");
    // Files do not read an EEPROM on request, so the forwarder gets no further.
    for (const options of [[], ["--force"]]) {
      assertFailed(await pci.forward(options), 1, /0000:aa:00\.0: EERD /);
      assertEquals(await Deno.readTextFile(unbind), PCI);
      assertEquals(pci.command(), 0x0403); // I/O and memory space, no bus master
      await Deno.writeTextFile(unbind, "");
      pci.up();
    }
  },
);

/** Returns the frames that have come back from a port. */
function count(port: SimPort): number {
  return port.wireStatistics.received;
}

async function received(sim: Sim): Promise<number[]> {
  return (await sim.report()).ports.map(count);
}

/** Stops generators and forwarder after so many frames each way; returns the counts of both. */
async function drain(
  sim: Sim,
  program: Program,
  frames: number,
): Promise<{ ports: readonly SimPort[]; totals: Totals }> {
  await sim.reaches("frames", (ports) => ports.every((port) => count(port) >= frames));
  await sim.drain(() => droppedBy(program));
  const totals = await stopProgram(program);
  return { totals, ports: await sim.quit() };
}

/** Asserts that every frame passed in order, or was counted where it was dropped. */
function assertAccounted(ports: readonly SimPort[], totals: Totals, size: number): void {
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt, foreign } = ports[to].wireStatistics;
    const [rx, tx] = [totals.ports[from], totals.ports[to]];
    assert(received > 0, "frames are forwarded");
    assertEquals({ reordered, corrupt, foreign }, { reordered: 0, corrupt: 0, foreign: 0 });
    assertEquals(received, sent - missed - Number(tx.dropped), "frames that arrive");
    assertEquals(rx.rxPackets, sent - missed, "frames that the driver receives");
    assertEquals(rx.rxBytes, rx.rxPackets * size);
    assertEquals(rx.missed, missed, "frames that the NIC had no descriptor for");
    assertEquals(rx.errors, 0);
    assertEquals(tx.txPackets, received, "frames that the driver transmits");
    assertEquals(tx.txBytes, received * size);
  }
}

Deno.test("fwd.ts forwards both ways and loses nothing without counting it", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  await using program = await startForwarder(sim.addresses);
  await sim.command("start");
  const { ports, totals } = await drain(sim, program, 100000);
  assertEquals(totals.ports.map((port) => port.address), [...sim.addresses]);
  assertAccounted(ports, totals, 60);
});

Deno.test("fwd.ts forwards full frames in small rings and batches", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = "generator:rate=50000,size=1514";
  await using sim = await Sim.start(directory, [wire, wire]);
  const options = ["--rx-entries=64", "--tx-entries=64", "--batch=1", "--no-touch"];
  await using program = await startForwarder(sim.addresses, options);
  await sim.command("start");
  const { ports, totals } = await drain(sim, program, 20000);
  assertAccounted(ports, totals, 1514);
});

Deno.test("fwd.ts forwards with doorbells as messages", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = "generator:rate=20000";
  await using sim = await Sim.start(directory, [wire, wire], ["--doorbells=trap"]);
  await using program = await startForwarder(sim.addresses, ["--batch=256"]);
  await sim.command("start");
  const { ports, totals } = await drain(sim, program, 10000);
  assertAccounted(ports, totals, 60);
});

function touched(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  copy[1]++;
  return copy;
}

/** Runs the forwarder between two cables, and a test with their far ends. */
async function between(
  options: readonly string[],
  test: (a: Cable, b: Cable) => Promise<void>,
): Promise<Totals> {
  await using directory = await TemporaryDirectory.make();
  const [nearA, farA, nearB, farB] = ["na", "fa", "nb", "fb"].map((name) => directory.file(name));
  using a = new Cable(farA, nearA);
  using b = new Cable(farB, nearB);
  const wires = [`dgram:${nearA},${farA}`, `dgram:${nearB},${farB}`];
  await using sim = await Sim.start(directory, wires);
  await using program = await startForwarder(sim.addresses, options);
  await test(a, b);
  const totals = await stopProgram(program);
  await sim.quit();
  return totals;
}

/**
 * Sends frames one way, at most as many at once as a datagram socket holds; returns those that
 * arrive.
 */
async function through(from: Cable, to: Cable, frames: Uint8Array<ArrayBuffer>[]) {
  const taken: Uint8Array[] = [];
  for (let i = 0; i < frames.length; i += 8) {
    const group = frames.slice(i, i + 8);
    for (const frame of group) from.send(frame);
    taken.push(...await to.take(group.length));
  }
  return taken;
}

Deno.test("fwd.ts increments byte 1 of each packet and changes no other byte", async () => {
  const sizes = [60, 61, 64, 1514];
  const frames = sizes.flatMap((size) => Array.from({ length: 10 }, () => randomFrame(size)));
  frames[0][1] = 255;
  await between([], async (a, b) => {
    assertEquals(await through(a, b, frames), frames.map(touched));
    assertEquals(await through(b, a, frames), frames.map(touched));
  });
});

Deno.test("fwd.ts --no-touch does not change packets", async () => {
  const frames = [60, 61, 1514].flatMap((size) => [randomFrame(size), randomFrame(size)]);
  const totals = await between(["--no-touch"], async (a, b) => {
    assertEquals(await through(a, b, frames), frames);
  });
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  const [{ rxPackets, rxBytes }, { txPackets, txBytes }] = totals.ports;
  assertEquals({ rxPackets, rxBytes }, { rxPackets: 6, rxBytes: bytes });
  assertEquals({ txPackets, txBytes }, { txPackets: 6, txBytes: bytes });
});

Deno.test("fwd.ts forwards jumbo frames if buffers hold them", async () => {
  const frames = [9000, 60, 15000].map(randomFrame);
  await between(["--buffer-size=16384"], async (a, b) => {
    assertEquals(await through(a, b, frames), frames.map(touched));
  });
});

Deno.test("fwd.ts drops and counts frames that buffers do not hold, and goes on", async () => {
  const [first, tooLong, wayTooLong, last] = [2048, 2049, 9000, 60].map(randomFrame);
  const totals = await between(["--no-touch"], async (a, b) => {
    assertEquals(await through(a, b, [first]), [first]);
    a.send(tooLong);
    a.send(wayTooLong);
    assertEquals(await through(a, b, [last]), [last]);
  });
  assertEquals(totals.ports[0].errors, 2);
  assertEquals(totals.ports[0].rxPackets, 2);
});

Deno.test("fwd.ts ends at SIGINT and SIGTERM with exit code 0, and leaves ports ready", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  await sim.command("start");
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const before = await received(sim);
    await using program = Program.start(ffiOnly("fwd.ts", sim.addresses));
    await sim.reaches("frames", (ports) => ports.every((p, i) => count(p) > before[i]));
    program.kill(signal);
    const { code, stdout, stderr } = await program.finish();
    assertEquals(stderr, "");
    assertEquals(code, 0);
    const [header, ...ports] = stdout.trim().split("\n").slice(-3);
    assertMatch(header, /^totals after [0-9.]+ s:$/);
    ports.forEach((line, i) => {
      const total = "\\d+ \\([0-9.]+ [kM]?pps, [0-9.]+ [kMG]?bit/s\\)";
      assertMatch(
        line,
        new RegExp(
          `^${sim.addresses[i]}: +received +${total}, sent +${total}, ` +
            "missed +\\d+, errors +\\d+, dropped +\\d+$",
        ),
      );
    });
    await sim.reaches("its end", (ports) => ports.every((port) => !port.connected));
  }
  const ports = await sim.quit();
  assertEquals(ports.map((port) => port.wireStatistics.corrupt), [0, 0]);
});

Deno.test("fwd.ts ends at SIGINT while packets wait for an unplugged cable", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  await using program = await startForwarder(sim.addresses);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((port) => count(port) > 0));
  await sim.command("link 1 down");
  const arrived = ({ counters }: SimPort) => counters.received + counters.missed;
  const before = arrived((await sim.report()).ports[0]);
  const full = "more frames than a transmit ring holds";
  await sim.reaches(full, ([port]) => arrived(port) > before + 10_000);
  program.kill("SIGINT");
  assertEquals((await program.finish()).code, 0);
  await sim.quit();
});

Deno.test("fwd.ts says that a link is down when it starts, and when that changes", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  const [a, b] = sim.addresses;
  const down = "link down: no light arrives: check the fibre and the other end";
  await sim.command("link 0 down");
  await using program = await startForwarder(sim.addresses, ["--quiet"]);
  const says = async (line: string, change?: string) => {
    if (change !== undefined) await sim.command(change);
    await until(line, () => program.stderr.endsWith(`${line}\n`));
  };
  await says(`${a}: ${down}`);
  await says(`${b}: ${down}`, "link 1 down");
  await says(`${a}: link up at 10 Gbit/s`, "link 0 up");
  program.kill("SIGINT");
  const { code, stderr } = await program.finish();
  assertEquals([code, stderr.split("\n").length], [0, 4], stderr);
  await sim.quit();
});

for (const options of [[], ["--workers=1"], ["--interrupts"]]) {
  const shown = ["fwd.ts", ...options].join(" ");
  Deno.test(`${shown} brings up a link whose partner comes later, at its speed`, async () => {
    await using directory = await TemporaryDirectory.make();
    const board = ["--module=dual-SR", "--partner=1000"];
    await using sim = await Sim.start(directory, ["none", "none"], board);
    const [a] = sim.addresses;
    await sim.command("link 0 down");
    await using program = await startForwarder(
      sim.addresses,
      ["--quiet", ...options],
      options.includes("--workers=1") ? [`--allow-read=${PROJECT}`] : [],
    );
    const says = (line: string) => until(line, () => program.stderr.includes(`${a}: ${line}`));
    await says("link down: no light arrives");
    await sim.command("link 0 up");
    await says("link up at 1 Gbit/s");
    program.kill("SIGINT");
    assertEquals((await program.finish()).code, 0);
    await sim.quit();
  });
}

Deno.test("fwd.ts --seconds ends after that time", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  const { code, stdout, stderr } = await forwarder("--json", "--seconds=1.2", ...sim.addresses);
  assertEquals(stderr, "");
  assertEquals(code, 0);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map((line) => line.ready ?? line.total), [true, false, true]);
  await sim.quit();
});

Deno.test("fwd.ts fails with one sentence when the device's server is killed", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, GENERATORS);
  await using program = await startForwarder(sim.addresses);
  await sim.command("start");
  await sim.reaches("frames", (ports) => ports.every((port) => count(port) > 0));
  sim.program.kill("SIGKILL");
  const result = await program.finish(2000);
  assertFailed(result, 1, /vfio-user:.*: the server of this device has closed the connection/);
});
