/**
 * `nic.ts selftest`: on whole cards all checks pass, and each fault of a card fails exactly its check.
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { type PacketBatch, UsageError } from "../../mod.ts";
import { CHECKS, type RunOptions, selftest } from "../../nic/selftest.ts";
import type { Result } from "../../nic/selftest/check.ts";
import { ALL_SIZES } from "../../nic/selftest/traffic.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { cable } from "../../sim/wires/cable.ts";
import { Card } from "../support/faulty_card.ts";
import {
  assertRefused,
  ffiOnly,
  Program,
  run,
  Sim,
  TemporaryDirectory,
} from "../support/processes.ts";

/** Bytes of the packet that a faulty data path spoils; no other check sends one of this size. */
const SPOILED = 60 + 51 * 175;
/** Some sizes of packets: all of them take a second. */
const SIZES = Array.from({ length: 300 }, (_, i) => 60 + 51 * i);
/** Checks that a port without a partner skips. */
const OF_TWO = ["cable", "link loss"];

/** Runs the self-test, and asserts that each port has one result of each check, and is closed. */
async function test(cards: Card[], options: Partial<RunOptions> = {}): Promise<Result[]> {
  const results = await selftest(cards, {
    ...{
      force: false,
      linkMs: 200,
      silenceMs: 200,
      sizes: SIZES,
      stopped: () => false,
      onResult: () => {},
    },
    ...options,
  });
  const checks = CHECKS.flatMap((check) => cards.map(({ number }) => `${number} ${check}`));
  assertEquals(results.map(({ port, check }) => `${port} ${check}`).sort(), checks.sort());
  for (const card of cards) assertEquals(card.log.at(-1) ?? "close", "close");
  return results;
}

/** Runs the self-test on whole cards: they pass, and the self-test violates no rule of the datasheet. */
async function runWhole(cards: Card[], options: Partial<RunOptions> = {}): Promise<Result[]> {
  const results = await test(cards, options);
  assertEquals(checksOf(results, "FAILED"), []);
  for (const card of cards) assertEquals(card.nic.rules.violations, []);
  return results;
}

/** Returns the checks with a verdict. */
function checksOf(results: readonly Result[], verdict: Result["verdict"]): string[] {
  return results.filter((result) => result.verdict === verdict).map(({ check }) => check);
}

/** Two cards that a cable joins. */
function cabled(signal = true, options: NicOptions = {}): [Card, Card] {
  const a = new Card({ ...options, mac: Uint8Array.of(2, 0, 0, 0, 5, 0x10) }, 1);
  const b = new Card({ ...options, mac: Uint8Array.of(2, 0, 0, 0, 5, 0x20) }, 2);
  [a.nic.wire, b.nic.wire] = cable(signal);
  [a.other, b.other] = [b, a];
  return [a, b];
}

const BOARDS: readonly [name: string, options: NicOptions, skipped: readonly string[]][] = [
  ["82599 SFP+", {}, []],
  ["82599 with a passive cable", { module: "passive-cable" }, []],
  ["82599 KX4", { deviceId: 0x10f7 }, ["module"]],
  ["X540", { deviceId: 0x1528 }, ["module"]],
  ["X550", { deviceId: 0x1563 }, ["module"]],
];

for (const [name, options, skipped] of BOARDS) {
  Deno.test(`selftest() passes on an ${name}`, async () => {
    const results = await runWhole([new Card(options)], { sizes: ALL_SIZES });
    assertEquals(checksOf(results, "skipped").sort(), [...skipped, ...OF_TWO].sort());
  });
  Deno.test(`selftest() passes on two cabled ports of an ${name}`, async () => {
    const results = await runWhole(cabled(true, options));
    assertEquals([...new Set(checksOf(results, "skipped"))], skipped);
  });
}

Deno.test("selftest() skips interrupts through sysfs", async () => {
  const card = new Card();
  card.noInterrupts = "interrupts are not available through sysfs";
  const results = await runWhole([card]);
  assertEquals(checksOf(results, "skipped"), [...OF_TWO, "interrupts"]);
});

/** Spoils packets of one size that arrive. */
function spoil(how: (batch: PacketBatch, index: number) => void): (card: Card) => void {
  return (card) => {
    card.onReceive = (batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (batch.packet(i).length === SPOILED) {
          how(batch, i);
          return;
        }
      }
    };
  };
}

/** Whether the card has been closed once. */
function once(card: Card, then: () => void): void {
  let first = true;
  card.onClose = () => {
    if (first) then();
    first = false;
  };
}

/** A fault: what it is, the check that it fails, and why. */
interface Fault {
  readonly what: string;
  readonly fails: string;
  readonly detail: RegExp;
  readonly options?: NicOptions;
  readonly make?: (card: Card) => void;
}

const FAULTS: readonly Fault[] = [
  {
    what: "whose DMA is never initialised",
    fails: "open",
    detail: /RDRXCTL .* after 1000 ms/,
    make: (card) => card.alterReads(R.RDRXCTL, (value) => value & ~R.RDRXCTL.DMAIDONE),
  },
  {
    what: "without a link",
    fails: "link",
    detail: /^no link after 0\.2 s: no light arrives/,
    make: (card) => card.nic.setLink(false),
  },
  {
    what: "with a damaged module",
    fails: "module",
    detail: /^10GBASE-SR: the checksums of its memory are wrong$/,
    options: { badChecksum: true },
  },
  {
    what: "with a bit that is stuck at 0",
    fails: "registers",
    detail: /^RDBAL\[77\] reads 0x55554500 after 0x55555500 was written$/,
    make: (card) => card.alterReads(R.RDBAL, (value) => value & ~0x1000, 77),
  },
  {
    what: "with a bit that is stuck at 1",
    fails: "registers",
    detail: /^MTA\[127\] reads 0x55555557/,
    make: (card) => card.alterReads(R.MTA, (value) => value | 2, 127),
  },
  {
    what: "with two registers at one address",
    fails: "registers",
    detail: /^VFTA\[3\] reads/,
    make: (card) => card.alterReads(R.VFTA, () => card.nic.read32(R.VFTA.offset + 16), 3),
  },
  {
    what: "that misreads a word of its EEPROM once it is open",
    fails: "EEPROM",
    detail: /^the checksum is wrong$/,
    make: (card) => {
      card.alterReads(R.EERD, (value) => {
        const open = card.log.includes("bus master on") && !card.log.includes("close");
        const wrong = open && (value & R.EERD.ADDR) === 0x15 << 2;
        return wrong ? value ^ 1 << 20 : value;
      });
    },
  },
  {
    what: "that changes a byte of a packet",
    fails: "loopback",
    detail: /\d+ corrupt, 0 out of order$/,
    make: spoil((batch, i) => batch.packet(i)[5000] ^= 1),
  },
  {
    what: "that changes the last byte of a packet",
    fails: "loopback",
    detail: /\d+ corrupt, 0 out of order$/,
    make: spoil((batch, i) => batch.packet(i)[SPOILED - 1] ^= 1),
  },
  {
    what: "that truncates a packet",
    fails: "loopback",
    detail: /\d+ corrupt, 0 out of order$/,
    make: spoil((batch, i) => batch.resize(i, SPOILED - 4)),
  },
  {
    what: "that loses a packet",
    fails: "loopback",
    detail: /^of 300 frames, 1 lost \(0 not sent, .*\), 0 corrupt, 0 out of order$/,
    make: spoil((batch, i) => batch.packet(i).fill(0)),
  },
  {
    what: "that delivers packets out of order",
    fails: "loopback",
    detail: /^of 300 frames, 0 lost \(.*\), 0 corrupt, 1 out of order$/,
    make: spoil(({ buffers, length }, i) => {
      if (length === 1) throw new Error("the packet comes alone");
      const next = i + 1 < length ? i + 1 : i - 1;
      [buffers[i], buffers[next]] = [buffers[next], buffers[i]];
    }),
  },
  {
    what: "that is promiscuous",
    fails: "filters",
    detail: /^a frame to another address passes$/,
    make: (card) => card.alterWrites(R.FCTRL, (value) => value | R.FCTRL.UPE),
  },
  {
    what: "that cannot be promiscuous",
    fails: "filters",
    detail: /^in promiscuous mode, a frame to another address does not pass$/,
    make: (card) => card.alterWrites(R.FCTRL, (value) => value & ~R.FCTRL.UPE),
  },
  {
    what: "that receives all multicast packets",
    fails: "filters",
    detail: /^a frame to a multicast group that was not joined passes$/,
    make: (card) => card.alterWrites(R.FCTRL, (value) => value | R.FCTRL.MPE),
  },
  {
    what: "that receives no multicast packets",
    fails: "filters",
    detail: /^a frame to a multicast group that was joined does not pass$/,
    make: (card) => card.alterWrites(R.MCSTCTRL, (value) => value & ~R.MCSTCTRL.MFE),
  },
  {
    what: "with a wrong RSS key",
    fails: "RSS",
    detail: /^hash of an IPv4 TCP packet is /,
    make: (card) => card.alterWrites(R.RSSRK, (value) => value ^ 0x100, 1),
  },
  {
    what: "that does not write hashes back",
    fails: "RSS",
    detail: /^hash of an IPv4 TCP packet is 0, not /,
    make: (card) => {
      card.onReceive = ({ pool, buffers, length }) => {
        for (let i = 0; i < length; i++) pool.rssHash[buffers[i]] = 0;
      };
    },
  },
  {
    what: "with a wrong redirection table",
    fails: "RSS",
    detail: /^an IPv[46] (TCP|UDP) packet comes in queue (3, not 0|2, not 1|1, not 2|0, not 3)$/,
    make: (card) => {
      for (let i = 0; i < R.RETA.count; i++) {
        card.alterWrites(R.RETA, (value) => value ^ 0x03030303, i);
        card.alterReads(R.RETA, (value) => value ^ 0x03030303, i);
      }
    },
  },
  ...(["GPTC", "GPRC", "GOTCL", "GORCL", "BPTC", "BPRC"] as const).map((name): Fault => ({
    what: `that does not count ${name}`,
    fails: "statistics",
    detail: new RegExp(`^${name.slice(0, 4)} counts 0, not \\d+$`),
    make: (card) => card.alterReads(R[name], () => 0),
  })),
  {
    what: "that counts errors",
    fails: "statistics",
    detail: /^0 missed and [1-9] errors are counted$/,
    make: (card) => {
      card.alterReads(R.CRCERRS, () => 1);
    },
  },
  {
    what: "that loses an interrupt",
    fails: "interrupts",
    detail: /^a packet in queue 2 causes no interrupt$/,
    make: (card) => card.vector = (vector) => vector === 2 ? -1 : vector,
  },
  {
    what: "that signals two vectors at once",
    fails: "interrupts",
    detail: /^a packet in queue \d interrupts queue 0$/,
    make: (card) => {
      const signal = card.vector;
      card.vector = (vector) => {
        if (vector !== 0) card.nic.onInterrupt?.(0);
        return signal(vector);
      };
    },
  },
  {
    what: "whose clock stands still",
    fails: "time stamps",
    detail: /^SYSTIM stands still$/,
    make: (card) => [R.SYSTIML, R.SYSTIMH].forEach((half) => card.alterReads(half, () => 5)),
  },
  {
    what: "whose clock is too fast",
    fails: "time stamps",
    detail: /^SYSTIM advances .* ms in .* ms$/,
    make: (card) => card.alterWrites(R.TIMINCA, (value) => value + 0x100000),
  },
  {
    what: "whose DMA does not come to rest",
    fails: "close",
    detail: /^port 1: STATUS .* did not come to rest while closing/,
    make: (card) => {
      card.alterReads(R.STATUS, (value) => value | R.STATUS.GIO_MASTER_ENABLE);
    },
  },
  {
    what: "that writes to memory after it was closed",
    fails: "close",
    detail: /^memory changes after closing, at byte 12345\d$/,
    make: (card) => {
      let pool: Uint8Array | undefined;
      card.onReceive = (batch) => pool = batch.pool.bytes;
      card.onClose = () => setTimeout(() => pool!.length > 0 && pool!.fill(7, 123456, 123457), 20);
    },
  },
  {
    what: "whose bus mastering stays on",
    fails: "close",
    detail: /^bus mastering is still on$/,
    make: (card) => card.isBusMaster = () => true,
  },
  {
    what: "that cannot be opened twice",
    fails: "reopen",
    detail: /RDRXCTL .* after 1000 ms/,
    make: (card) => {
      once(card, () => card.alterReads(R.RDRXCTL, (value) => value & ~R.RDRXCTL.DMAIDONE));
    },
  },
  {
    what: "that has no link when it is opened again",
    fails: "reopen",
    detail: /^no link after/,
    make: (card) => once(card, () => card.nic.setLink(false)),
  },
];

for (const { what, fails, detail, options, make } of FAULTS) {
  Deno.test(`selftest() fails "${fails}" of a card ${what}`, async () => {
    const card = new Card(options);
    make?.(card);
    const results = await test([card]);
    assertEquals(checksOf(results, "FAILED"), [fails]);
    assertMatch(results.find(({ check }) => check === fails)!.detail, detail);
  });
}

Deno.test('selftest() fails "cable" of a port that changes a byte of a packet', async () => {
  const cards = cabled();
  spoil((batch, i) => batch.packet(i)[5000] ^= 1)(cards[1]);
  const results = await test(cards);
  const failed = results.filter(({ verdict }) => verdict === "FAILED");
  // In loopback, port 2 receives the packet, too.
  assertEquals(failed.map(({ port, check }) => [port, check]), [[1, "cable"], [2, "loopback"]]);
});

Deno.test('selftest() fails "link loss" of ports whose links do not depend on each other', async () => {
  const results = await test(cabled(false));
  assertEquals(checksOf(results, "FAILED"), ["link loss", "link loss"]);
  const { detail } = results.find(({ verdict }) => verdict === "FAILED")!;
  assertMatch(detail, /^the other port still has a link 0\.\d s after it was ended$/);
});

Deno.test("selftest() leaves the link alone that a management controller uses", async () => {
  const card = new Card({ firmware: { veto: true } });
  const results = await runWhole([card]);
  const inLoopback = ["loopback", "filters", "RSS", "statistics", "interrupts"];
  assertEquals(checksOf(results, "skipped"), [...OF_TWO, ...inLoopback]);
  const looped = card.writes.filter(([offset, value]) => {
    return offset === R.HLREG0.offset && (value & R.HLREG0.LPBK) !== 0;
  });
  assertEquals(looped, []);
});

Deno.test("selftest() throws if a device cannot be used, and closes the other one", async () => {
  const [a, b] = [new Card({}, 1), new Card({ blankEeprom: true }, 2)];
  await assertRejects(() => test([a, b]), UsageError, "it has no EEPROM with a valid signature");
  assertEquals([a.log.at(-1), b.log.at(-1)], ["close", "close"]);
});

Deno.test("selftest() closes the device when the user stops it, and skips what is left", async () => {
  const card = new Card(), seen: string[] = [];
  const results = await test([card], {
    stopped: () => seen.length >= 4,
    onResult: ({ verdict }) => verdict === "ok" && seen.push(verdict),
  });
  const left = results.filter(({ verdict }) => verdict !== "ok");
  assertEquals(left.length, CHECKS.length - 4);
  assert(left.every(({ verdict, detail }) => verdict === "skipped" && detail === "interrupted"));
});

Deno.test("selftest() stops in the middle of a check", async () => {
  const card = new Card();
  let frames = 0;
  card.onReceive = ({ length }) => frames += length;
  await test([card], { stopped: () => frames > 50 });
  assert(frames < SIZES.length, "in loopback");
});

Deno.test("selftest() gives results without MAC and PCI addresses", async () => {
  const card = new Card();
  let opened = false;
  card.onClose = () => opened = true;
  card.alterReads(R.RAL, (value) => opened ? value | 1 : value); // a multicast address
  const results = await test([card]);
  assertEquals(checksOf(results, "FAILED"), ["reopen"]);
  const { detail } = results.at(-1)!;
  assertMatch(detail, /^port 1: its MAC address \(a MAC address\) \(RAL, RAH\) is not a unicast/);
  for (const result of results) assert(!/03:00\.0|02:00:00/.test(result.detail));
});

/** Longest time of the program on a busy machine, in milliseconds. */
const PROGRAM_MS = 120000;

/** Runs the program. */
async function program(args: readonly string[], flags: readonly string[] = []) {
  await using started = await Program.start(ffiOnly("nic.ts", ["selftest", ...args], flags));
  return await started.finish(PROGRAM_MS);
}

/** The numbers of results in a page's last line: ok, FAILED, skipped. */
function totalOf(page: string): number[] {
  const [, ...counts] = /^(\d+) ok, (\d+) FAILED, (\d+) skipped$/m.exec(page) ?? [];
  return counts.map(Number);
}

Deno.test("nic.ts selftest tests two ports of the software NIC, and writes its page to a file", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["cable:0,signal=1", "cable:0,signal=1"]);
  const file = directory.file("page.txt"), args = ["--report", file, ...sim.addresses];
  const { code, stdout, stderr } = await program(args, [`--allow-write=${file}`]);
  assertEquals([code, stderr], [0, ""], stdout);
  assertEquals(totalOf(stdout), [2 * CHECKS.length, 0, 0]);
  assertMatch(stdout, /^port 2 {4}through vfio-user$/m);
  const page = await Deno.readTextFile(file);
  assertEquals(page.split("\n").toSorted(), stdout.split("\n").toSorted(), "in another order");
  for (const address of sim.addresses) assert(!page.includes(address));
  await sim.quit(); // asserts that no rule was violated
});

Deno.test("nic.ts selftest prints JSON, and exits with 1 if a check fails", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"], ["--module", "none"]);
  const refused = await program(["--report", "page.txt", ...sim.addresses]);
  assertRefused(refused, /page\.txt: no permission to write it/);
  assertRefused(await program(["--report", "-", ...sim.addresses]), /--report takes a file/);
  const { code, stdout } = await program(["--json", ...sim.addresses]);
  assertEquals(code, 1);
  const { results, functions } = JSON.parse(stdout);
  assertEquals(functions, [
    { port: 1, through: "vfio-user", ids: null, link: null, iommu: null },
  ]);
  assertEquals(checksOf(results, "FAILED"), ["link", "module"]);
  await sim.quit();
});

Deno.test("nic.ts selftest closes the card at SIGINT, and exits with 1", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  await using started = await Program.start(ffiOnly("nic.ts", ["selftest", ...sim.addresses]));
  await started.line((line) => line.includes("EEPROM"));
  started.kill("SIGINT");
  const { code, stdout, stderr } = await started.finish();
  assertEquals([code, stderr], [1, ""]);
  assertMatch(stdout, /^port 1 {2}reopen {7}skipped {2}interrupted$/m);
  await sim.reaches("the port is released", (ports) => ports.every((port) => !port.connected));
  await sim.quit();
});

Deno.test("nic.ts selftest refuses what it cannot test, in one sentence", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = `vfio-user:${directory.file("0.sock")}`;
  const cases: [string[], RegExp][] = [
    [[], /selftest takes an address, or those of two ports that a cable joins/],
    [["a", "b", "c"], /selftest takes an address, or/],
    [["nowhere"], /"nowhere" is not the address of a PCI function/],
    [
      ["vhost-user:a.sock"],
      /selftest does not support VirtIO devices, only an 82599, X540 or X550/,
    ],
    [["vfio-user:/nowhere.sock"], /connect to \/nowhere\.sock/],
    [[socket, socket], /selftest takes two different ports/],
    [[socket, "--all"], /selftest has no option --all/],
  ];
  for (const [args, sentence] of cases) {
    assertRefused(await run(ffiOnly("nic.ts", ["selftest", ...args])), sentence);
  }
});
