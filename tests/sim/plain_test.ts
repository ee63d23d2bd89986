/**
 * The NIC model as ordinary PCI devices: programs drive it by PCI address, and give it physical
 * addresses. Needs root. The programs run in mount namespaces that contain the devices.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { TDT } from "../../ixgbe/registers.ts";
import { PlainDevice } from "../../sim/plain/device.ts";
import { PlainMemory } from "../../sim/plain/memory.ts";
import { offsetOf } from "../../src/registers.ts";
import { Hugepages } from "../support/hugepages.ts";
import {
  assertRefused,
  ffiOnly,
  Program,
  PROJECT,
  run,
  type Sim,
  until,
} from "../support/processes.ts";
import { ADDRESSES, Plain, plainTest } from "../support/plain_ports.ts";
import { droppedBy, stopProgram, type Totals } from "../support/programs.ts";

/** Asserts that every frame came through in order, or was counted where it was dropped. */
async function assertAccounted(sim: Sim, totals: Totals): Promise<void> {
  const ports = await sim.quit();
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt, foreign } = ports[to].wireStatistics;
    assert(received > 0, "frames are forwarded");
    assertEquals({ reordered, corrupt, foreign }, { reordered: 0, corrupt: 0, foreign: 0 });
    assertEquals(received, sent - missed - Number(totals.ports[to].dropped), "frames that arrive");
  }
}

plainTest(
  "sim/main.ts --plain serves a forwarder by PCI addresses, and loses nothing",
  async (directory) => {
    const free = Hugepages.free;
    await using plain = await Plain.start(directory, "generator:rate=100000");
    await using program = await plain.forwarder();
    await plain.sim.command("start");
    await plain.forwards(50000);
    await plain.sim.drain(() => droppedBy(program));
    const totals = await stopProgram(program);
    assertEquals(totals.ports.map((port) => port.address), ADDRESSES);
    await plain.sim.reaches(
      "both ports are released",
      (ports) => ports.every((port) => !port.connected),
    );
    await until("the hugepages to be free", () => Hugepages.free >= free);
    await assertAccounted(plain.sim, totals);
    assertEquals([...Deno.readDirSync(directory.file(`pci/${ADDRESSES[0]}`))], []);
  },
);

plainTest(
  "sim/main.ts --plain forwards full frames in small rings and batches",
  async (directory) => {
    await using plain = await Plain.start(directory, "generator:rate=20000,size=1514");
    await using program = await plain.forwarder("--rx-entries=64", "--tx-entries=64", "--batch=1");
    await plain.sim.command("start");
    await plain.forwards(10000);
    await plain.sim.drain(() => droppedBy(program));
    await assertAccounted(plain.sim, await stopProgram(program));
  },
);

plainTest(
  "sim/main.ts --plain outlives drivers that are killed, and serves the next",
  async (directory) => {
    const free = Hugepages.free;
    await using plain = await Plain.start(directory, "generator:rate=20000");
    await plain.sim.command("start");
    for (let i = 0; i < 3; i++) {
      await using program = await plain.forwarder("--no-guard");
      await plain.forwards(1000);
      program.kill("SIGKILL");
      await program.finish();
      await plain.sim.reaches("the end is noticed", (ports) => ports.every((p) => !p.connected));
      await until("the hugepages to be free", () => Hugepages.free >= free);
    }
    await plain.sim.quit();
  },
);

plainTest(
  "sim/main.ts --plain reuses the directories of a killed model",
  async (directory) => {
    {
      await using killed = await Plain.start(directory, "none");
      killed.sim.program.kill("SIGKILL");
      await killed.sim.program.finish();
    }
    await using plain = await Plain.start(directory, "generator:rate=20000");
    await using program = await plain.forwarder();
    await plain.sim.command("start");
    await plain.forwards(1000);
    await plain.sim.drain(() => droppedBy(program));
    await assertAccounted(plain.sim, await stopProgram(program));
  },
);

plainTest(
  "sim/main.ts --plain notes a driver's violations, and ends with 0",
  async (directory) => {
    await using plain = await Plain.start(directory, "none");
    await using program = await plain.forwarder();
    // Write a tail outside its ring, in place of the forwarder.
    using bar = await Deno.open(directory.file(`pci/${ADDRESSES[0]}/resource0`), { write: true });
    await bar.seek(offsetOf(TDT), Deno.SeekMode.Start);
    await bar.write(Uint8Array.of(0xff, 0xff));
    await plain.sim.reaches("a violation", ([port]) => port.violations > 0);
    await stopProgram(program);
    await plain.sim.program.write("quit");
    const { code, stderr } = await plain.sim.program.finish();
    assertMatch(stderr, /^note: .*0000:aa:00\.0: TDT\[0\] \(section .*\): inside the ring: .*\n$/);
    assertEquals(code, 0);
  },
);

plainTest("sim/main.ts --plain has the files that nic.ts list reads", async (directory) => {
  await using plain = await Plain.start(directory, "none");
  await using program = plain.program(ffiOnly("nic.ts", ["list"]));
  const { code, stdout, stderr } = await program.finish();
  assertEquals(stderr, "");
  assertMatch(stdout, /0000:aa:00\.0.*82599/);
  assertEquals(code, 0);
});

plainTest(
  "sim/main.ts --plain refuses invalid command lines with one sentence",
  async (directory) => {
    await using _plain = await Plain.start(directory, "none");
    const [taken, full] = [directory.file(`pci/${ADDRESSES[0]}`), directory.path];
    const cases: [args: string[], sentence: RegExp][] = [
      [[directory.file("none")], /none\/software-nic: no such file .*make the directory first/],
      [[full], /not empty: give a plain port an empty directory/],
      [[taken], /another model uses it/],
      [[taken, "--doorbells=trap"], /without messages/],
      [[taken, "--mac=1"], /six pairs/],
      [["none", "--plain", "none"], /two ports cannot have one path/],
      [[""], /--plain has no value: it takes a path/],
    ];
    for (const [args, sentence] of cases) {
      assertRefused(await run(ffiOnly("sim/main.ts", ["--plain", ...args])), sentence);
    }
  },
);

plainTest("sim/main.ts --plain leaves no file in a directory without room", async (directory) => {
  const place = directory.file("small");
  Deno.mkdirSync(place);
  const script =
    'mount -t tmpfs -o size=64k none "$0" && { "$@"; code=$?; ls -A "$0"; exit $code; }';
  const model = ffiOnly("sim/main.ts", ["--plain", place]);
  const result = await run(["unshare", "-m", "sh", "-c", script, place, ...model]);
  assertRefused(result, /cannot fill .*small\/resource0: no space left/); // and no file is listed
});

/** Shares hugepages, prints their addresses, and waits. */
const SHARER = `
import { Mapping } from "${PROJECT}native/mapping.ts";
const memory = Mapping.memory(3 << 21, true);
memory.physicalAddresses(1 << 21).forEach((_, i) => new Uint32Array(memory.buffer)[i << 19] = 7 + i);
console.log(JSON.stringify(memory.physicalAddresses(1 << 21)));
setInterval(() => {}, 1000);
`;

plainTest("PlainMemory finds hugepages of another process, and no others", async (directory) => {
  const file = directory.file("sharer.ts");
  await Deno.writeTextFile(file, SHARER);
  const args = ["run", "--quiet", "--no-config", "--allow-ffi", file];
  await using program = Program.start([Deno.execPath(), ...args]);
  const addresses: number[] = JSON.parse(await program.line((line) => line.startsWith("[")));
  const lines: string[] = [];
  const memory = new PlainMemory((line) => lines.push(line));
  const split = (address: number): [number, number] => [
    address % 2 ** 32,
    Math.floor(address / 2 ** 32),
  ];
  addresses.forEach((address, i) => {
    assert(memory.resolve(...split(address), 64));
    assertEquals([memory.words[memory.base / 4], memory.pages], [7 + i, 3]);
    const descriptor = Uint32Array.from(split(address + 4096));
    assertEquals(memory.follow(descriptor, 0), memory.base + 4096);
  });
  assertEquals(lines, []);
  const [first] = addresses, adjacent = addresses.includes(first + (1 << 21));
  assertEquals(memory.resolve(...split(first), 1 << 22), adjacent, "two pages, if contiguous");
  assertEquals(memory.resolve(0xffe00000, 0x3ff, 64), false);
  assertMatch(lines.join(), /no process has a hugepage at bus address 0x3ffffe00000/);
  assertEquals(memory.check(), true);
  program.kill("SIGKILL");
  await program.finish();
  assertEquals(memory.check(), false);
  memory.clear();
  assertEquals([memory.pages, memory.words.length, memory.check()], [0, 0, true]);
});

/** Shares a file of hugepages, prints their addresses, truncates it, says so, and waits. */
const TRUNCATER = `
import { Mapping } from "${PROJECT}native/mapping.ts";
import { path, stubs } from "${PROJECT}native/stubs.ts";
const [file] = Deno.args, bytes = 3 << 21;
const fd = stubs.ixy_open(path(file), 0o102, 0o600);
Deno.truncateSync(file, bytes);
const memory = Mapping.file("hugepages", fd, bytes);
new Uint8Array(memory.buffer).fill(7);
console.log(JSON.stringify(memory.physicalAddresses(1 << 21)));
await Deno.stdin.read(new Uint8Array(1));
Deno.truncateSync(file, 0);
console.log("truncated");
setInterval(() => {}, 1000);
`;

plainTest("PlainMemory outlives a driver that truncates its hugepages", async (directory) => {
  const mount = directory.file("huge"), file = directory.file("truncater.ts");
  await Deno.mkdir(mount);
  assertEquals((await run(["mount", "-t", "hugetlbfs", "none", mount])).code, 0);
  try {
    await Deno.writeTextFile(file, TRUNCATER);
    const args = ["run", "-A", "--quiet", "--no-config", file, `${mount}/memory`];
    await using program = Program.start([Deno.execPath(), ...args]);
    const addresses: number[] = JSON.parse(await program.line((line) => line.startsWith("[")));
    const lines: string[] = [];
    const memory = new PlainMemory((line) => lines.push(line));
    const resolve = (address: number) => {
      return memory.resolve(address % 2 ** 32, Math.floor(address / 2 ** 32), 64);
    };
    assert(resolve(addresses[2]));
    assertEquals([memory.bytes[memory.base], memory.check()], [7, true]);
    await program.write("x");
    assertEquals(await program.line((line) => line === "truncated"), "truncated");
    assertEquals([memory.bytes[memory.base], memory.check()], [0, false]);
    assertMatch(lines.join(), /^a driver has truncated a file of its memory/);
    memory.clear();
    assertEquals([memory.check(), resolve(addresses[2])], [true, false]);
  } finally {
    await run(["umount", mount]);
  }
});

plainTest(
  "PlainDevice outlives a driver that truncates its files, and says so",
  async (directory) => {
    const log: string[] = [];
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    const device = new PlainDevice({
      path: directory.path,
      deviceId: 0x10fb,
      mac,
      log: (line) => log.push(line),
    });
    device.poll();
    for (const name of ["config", "resource0"]) await Deno.truncate(directory.file(name), 0);
    await until("the sentence", () => {
      device.nic.poll();
      device.poll();
      return log.length > 0;
    });
    assertMatch(log.join(), /^\S+: a driver has truncated this port's files: start/);
    device.close();
  },
);

/**
 * Checks of the self-test that need what a plain port lacks: a bus driven bit by bit, settings that take
 * effect before the next packet, counters that reading clears, a clock that runs.
 */
const NOT_PLAIN = ["module", "filters", "statistics", "time stamps"];

plainTest("nic.ts selftest passes on a plain port, but for what it lacks", async (directory) => {
  await using plain = await Plain.start(directory, "none");
  await using program = plain.program(ffiOnly("nic.ts", ["selftest", "--json", ADDRESSES[0]]));
  const { stdout, code } = await program.finish(120000);
  const results: { check: string; verdict: string; detail: string }[] = JSON.parse(stdout).results;
  const failed = results.filter(({ verdict }) => verdict === "FAILED");
  assertEquals(failed.filter(({ check }) => !NOT_PLAIN.includes(check)), []);
  assert(failed.some(({ check }) => check === "statistics"), "reading does not clear counters");
  assertEquals(code, 1);
  const { detail } = results.find(({ check }) => check === "interrupts")!;
  assertEquals(detail, "interrupts are not available through sysfs");
});
