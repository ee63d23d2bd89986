/** Programs with --reconnect: the software NIC is killed and started again. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  assertRefused,
  ffiOnly,
  type Program,
  run,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { Cable, randomFrame, startProgram, totals } from "../support/programs.ts";

/** Ends a program by a signal; returns its totals. */
async function stop(program: Program) {
  program.kill("SIGTERM");
  const { code, stdout, stderr } = await program.finish();
  assertEquals(code, 0, stderr);
  return totals(stdout);
}

/** Waits until the last device of a program with JSON has a count. */
async function counts(program: Program, name: string, n: number): Promise<void> {
  await program.line((line) => JSON.parse(line).ports?.at(-1)[name] === n);
}

async function kill(sim: Sim): Promise<void> {
  sim.program.kill("SIGKILL");
  await sim.program.finish();
}

/** Sends frames one way, as many at once as a datagram socket holds, and waits for them. */
async function through(from: Cable, to: Cable, frames: number): Promise<void> {
  for (let i = 0; i < frames; i += 8) {
    for (let k = 0; k < 8; k++) from.send(randomFrame(60));
    await to.take(8);
  }
}

Deno.test("fwd.ts --reconnect goes on with a new server, and counts every packet", async () => {
  await using first = await TemporaryDirectory.make();
  await using second = await TemporaryDirectory.make();
  using a = new Cable(first.file("far"), first.file("near"));
  using b = new Cable(second.file("far"), second.file("near"));
  const start = (directory: TemporaryDirectory) => {
    return Sim.start(directory, [`dgram:${directory.file("near")},${directory.file("far")}`]);
  };
  await using simA = await start(first);
  await using killed = await start(second);
  const addresses = [...simA.addresses, ...killed.addresses];
  await using program = await startProgram("fwd.ts", ["--reconnect", ...addresses]);
  await through(a, b, 16);
  await through(b, a, 8);

  // Without a link, the NIC leaves packets in the ring.
  await killed.command("link 0 down");
  await killed.report();
  for (let i = 0; i < 24; i++) {
    a.send(randomFrame(60));
    await simA.report(); // the socket of the cable holds ten frames
  }
  await counts(program, "txPackets", 40);
  const ups = () => program.stderr.split("link up").length;
  const before = ups(); // on a busy machine, links may have come up after the program's start
  await kill(killed);
  await until("the end to be noticed", () => program.stderr.includes("closed the connection"));
  for (let i = 0; i < 8; i++) a.send(randomFrame(60));
  await counts(program, "dropped", 8);

  await using simB = await start(second);
  await until("a new connection", () => ups() > before);
  await through(a, b, 32);
  await through(b, a, 8);
  await counts(program, "txPackets", 16 + 24 + 32);
  await kill(simB); // a signal ends the program while it waits, too
  const ends = () => program.stderr.split("\n").filter((line) => line.includes("has closed"));
  await until("the end to be noticed", () => ends().length === 2);
  const { ports: [portA, portB] } = await stop(program);
  const { rxPackets: receivedA, txPackets: sentA } = portA;
  assertEquals({ receivedA, sentA }, { receivedA: 80, sentA: 16 });
  const { rxPackets, txPackets, lostInFlight, dropped, missed } = portB;
  assertEquals({ rxPackets, txPackets, lostInFlight, dropped, missed }, {
    ...{ rxPackets: 16, txPackets: 16 + 24 + 32, lostInFlight: 24, dropped: 8, missed: 0 },
  });
  assertMatch(
    ends()[0],
    /^vfio-user:\S+0\.sock: link down: .*start it again; this program reconnects$/,
  );
  await simA.quit();
});

Deno.test("pktgen.ts, pcap.ts and echo.ts --reconnect go on with a new server", async () => {
  await using directory = await TemporaryDirectory.make();
  const wires = ["cable:0", "cable:0", "none"];
  const sim = await Sim.start(directory, wires);
  const [a, b, c] = sim.addresses, file = directory.file("a.pcap");
  const args = ["--rate=1000", "--reconnect"];
  await using pktgen = await startProgram("pktgen.ts", [...args, a]);
  await using pcap = await startProgram("pcap.ts", ["--reconnect", "--interrupts", b, file], [
    `--allow-write=${file}`,
  ]);
  await using echo = await startProgram("echo.ts", ["--reconnect", "--interrupts", c, "192.0.2.9"]);
  const programs = [pktgen, pcap, echo];
  const received = async (n: number) => {
    await pcap.line((line) => JSON.parse(line).ports?.[0].written > n);
  };
  await received(100);
  await kill(sim);
  await until("the ends to be noticed", () => {
    return programs.every((program) => program.stderr.includes("closed the connection"));
  });
  await using again = await Sim.start(directory, wires);
  await until("new connections", () => programs.every(({ stderr }) => stderr.includes("link up")));
  const before = JSON.parse(await pcap.line((line) => JSON.parse(line).ports)).ports[0].written;
  await received(before + 100);
  const [{ ports: [sent] }, { ports: [taken] }] = [await stop(pktgen), await stop(pcap)];
  await stop(echo);
  assertEquals(taken.rxPackets, taken.written);
  // Some of the packets that count as lost in flight may have left before the server was killed.
  assertEquals(sent.txPackets + Number(sent.lostInFlight) >= taken.rxPackets, true);
  await again.quit();
});

Deno.test("Programs refuse --reconnect for hardware and with workers", async () => {
  const cases: [args: string[], sentence: RegExp][] = [
    [
      ["fwd.ts", "--reconnect", "0000:03:00.0", "04:00.0"],
      /0000:03:00\.0 and 04:00\.0 cannot reconnect/,
    ],
    [["pktgen.ts", "--reconnect", "0000:03:00.0"], /leave it out/],
    [
      ["fwd.ts", "--reconnect", "--workers=1", "vfio-user:a", "vfio-user:b"],
      /use either --reconnect or --workers/,
    ],
  ];
  for (const [[name, ...args], sentence] of cases) {
    assertRefused(await run(ffiOnly(name, args)), sentence);
  }
});
