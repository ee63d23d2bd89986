/**
 * The NIC model's program, as a process of its own: its command line, its signals, and clients that
 * are killed.
 *
 * @module
 */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import { parse } from "../../programs/command_line.ts";
import { CARD } from "../../sim/nic/timing.ts";
import { SIM } from "../../sim/options.ts";
import { UsageError } from "../../src/errors.ts";
import { Program, TemporaryDirectory, until } from "../support/processes.ts";

const MAIN = new URL("../../sim/main.ts", import.meta.url).pathname;
const FORWARD = new URL("../../fwd.ts", import.meta.url).pathname;
const NATIVE = new URL("../../native/", import.meta.url).href;

/** A client that agrees on a version, shares memory, becomes bus master, says so, and waits. */
const CLIENT = `
import { path, stubs } from ${JSON.stringify(`${NATIVE}stubs.ts`)};
import { Mapping } from ${JSON.stringify(`${NATIVE}mapping.ts`)};
const fd = stubs.ixy_connect(path(Deno.args[0]), 1);
const reply = new Uint8Array(4096), fds = new Int32Array(17);
let id = 0;
function call(command: number, body: Uint8Array, send: number[] = []) {
  const message = new Uint8Array(16 + body.length);
  const view = new DataView(message.buffer);
  view.setUint16(0, ++id, true);
  view.setUint16(2, command, true);
  view.setUint32(4, message.length, true);
  message.set(body, 16);
  stubs.ixy_send(fd, message, message.length, Int32Array.from(send), send.length, 0);
  const n = stubs.ixy_recv(fd, reply, reply.length, fds, 0);
  if (n < 16 || reply[8] !== 1) throw new Error("command " + command + ": " + n);
}
const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
call(1, new TextEncoder().encode('\\0\\0\\0\\0{"capabilities":{"max_msg_fds":16}}\\0'));
const memory = Mapping.memory(2 << 20, false);
call(2, words(32, 3, 0, 0, 0x200000, 0, 2 << 20, 0), [memory.fd]);
call(10, words(4, 0, 7, 4, 6));
call(9, words(0, 0, 7, 4));
console.log("up", (reply[32] | reply[33] << 8).toString(16));
setInterval(() => {}, 1000);
`;

function start(args: string[]): Program {
  return Program.start([Deno.execPath(), "run", "--allow-ffi", "--quiet", ...args]);
}

async function withDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  await using directory = await TemporaryDirectory.make();
  await test(directory.path);
}

Deno.test("sim/main.ts outlives clients that are killed, and cleans up at its end", () =>
  withDirectory(async (directory) => {
    const client = `${directory}/client.ts`;
    Deno.writeTextFileSync(client, CLIENT);
    const socket = `${directory}/nic.sock`;
    await using model = start([MAIN, "--socket", socket, "--wire", "none", "--json", "--quiet"]);
    assertEquals(await model.line(() => true), '{"ready":true}');
    for (let i = 0; i < 3; i++) {
      await using killed = start([client, socket]);
      assertEquals(await killed.line(() => true), "up 8086", `client ${i}`);
      killed.kill("SIGKILL");
    }
    // The memory of doorbells is the model's own; that of clients must not stay.
    const mapped = () =>
      Deno.readTextFileSync(`/proc/${model.pid}/maps`).split("memfd:ixy ").length - 1;
    for (let i = 0; i < 100 && mapped() > 1; i++) await delay(20);
    assertEquals(mapped(), 1);
    model.kill("SIGTERM");
    const total = JSON.parse(await model.line(() => true));
    assertEquals([total.total, total.violations, total.ports.length], [true, [], 1]);
    assertEquals((await model.finish()).code, 0);
    assertEquals([...Deno.readDirSync(directory)].map((entry) => entry.name), ["client.ts"]);
  }));

Deno.test("sim/main.ts waits without using the processor when there is no work", () =>
  withDirectory(async (directory) => {
    await using model = start([MAIN, "--socket", `${directory}/nic.sock`, "--quiet"]);
    assertEquals(await model.line(() => true), "ready");
    const ticks = () => {
      const fields = Deno.readTextFileSync(`/proc/${model.pid}/stat`).split(") ")[1];
      return Number(fields.split(" ")[11]) + Number(fields.split(" ")[12]);
    };
    let before = 0;
    await until(() => `a second of rest, not of ${ticks() - before} ticks of 10 ms`, async () => {
      before = ticks();
      await delay(1000);
      return ticks() - before < 15;
    });
  }));

Deno.test("sim/main.ts obeys commands on stdin", () =>
  withDirectory(async (directory) => {
    const args = [MAIN, "--socket", `${directory}/nic.sock`, "--wire", "generator"];
    await using model = start([...args, "--control", "--quiet"]);
    assertEquals(await model.line(() => true), "ready");
    await delay(1500);
    await model.write("start\nlink 0 down\nlink 0 up\nstop\nstats");
    const stats = JSON.parse(await model.line(() => true));
    assertEquals(stats.ports[0].wire, "generator");
    assertEquals(stats.ports[0].wireStatistics.sent, 0, "no port receives");
    assertEquals(stats.ports[0].counters.received, 0);
    assertEquals(stats.ports[0].violations, 0);
    await model.write("x".repeat(100_000));
    await model.write("y".repeat(257) + "\nstats");
    await model.line((line) => line.startsWith("{"));
    await model.write("quit");
    assertStringIncludes(await model.line(() => true), "total");
    const { code, stderr } = await model.finish();
    assertEquals([code, stderr], [0, "a command has at most 256 characters\n".repeat(2)]);
  }));

Deno.test("sim/main.ts refuses invalid command lines with one sentence", () =>
  withDirectory(async (directory) => {
    const socket = `${directory}/nic.sock`;
    const wrong: [string[], string][] = [
      [[], "--socket"],
      [["--wire", "none"], "--socket"],
      [["--socket", socket, "--wire", "laser"], "a wire is generator"],
      [["--socket", socket, "--wire", "none", "--wire", "none"], "--wire twice"],
      [["--socket", socket, "--socket", socket], "--socket"],
      [["--socket", socket, "--wire", "cable:1"], "joins two ports"],
      [["--socket", socket, "--mac", "1:2"], "--mac"],
      [["--socket", socket, "--device-id", "ixgbe"], "--device-id"],
      [["--socket", socket, "--partner", "100,300"], "--partner takes 100, 1000,"],
      [["--plain", socket, "--partner", "100"], "a plain port's partner has all speeds"],
      [["--socket", socket, "--doorbells", "ring"], "--doorbells"],
      [["--socket", socket, "--seconds", "-1"], "--seconds"],
      [["--socket", socket, "--loud"], "--loud"],
      [["--socket", `${directory}/none/nic.sock`], "no such file"],
      [["--socket", directory], directory],
      [["--socket", socket, "--wire", `pcap:in=${directory}/none`], "no such file"],
      [["--socket", `${directory}/${"x".repeat(120)}`], "name too long"],
      [["--socket", socket, "--mac", "00:00:00:00:00:00"], "--mac"],
      [["--socket", directory, "--wire", `pcap:out=${directory}/a`], "not a socket"],
      [
        ["--socket", socket, "--wire", `pcap:out=${directory}/a`, "--trace", `${directory}/a`],
        "twice",
      ],
    ];
    for (const [args, part] of wrong) {
      const { code, stderr, stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-ffi", "--quiet", MAIN, ...args],
      }).output();
      const text = new TextDecoder().decode(stderr);
      assertEquals([code, stdout.length], [2, 0], `${args}: ${text}`);
      assertEquals(text.trimEnd().split("\n").length, 1, text);
      assertStringIncludes(text, part);
      assertEquals([...Deno.readDirSync(directory)], [], "no file is left");
    }
  }));

Deno.test("sim/main.ts captures the frames of a capture after a forwarder", () =>
  withDirectory(async (directory) => {
    const frames = Array.from({ length: 2000 }, (_, n) => {
      return Uint8Array.from(
        { length: 60 + (n * 31) % 1455 },
        (_, i) => i * 7 + n & 255 & ~(i ? 0 : 1),
      );
    });
    const input = `${directory}/in.pcap`;
    const output = `${directory}/out.pcap`;
    Deno.writeFileSync(input, capture(frames));
    const sockets = [`${directory}/a.sock`, `${directory}/b.sock`];
    await using model = start([
      ...[MAIN, "--json"],
      ...["--socket", sockets[0], "--wire", `pcap:in=${input},rate=5000`],
      ...["--socket", sockets[1], "--wire", `pcap:out=${output}`],
    ]);
    assertEquals(await model.line(() => true), '{"ready":true}');
    const devices = sockets.map((socket) => `vfio-user:${socket}`);
    await using _forwarder = start([
      FORWARD,
      "--no-touch",
      "--quiet",
      "--seconds",
      "20",
      ...devices,
    ]);
    let received = 0;
    for (let seconds = 0; received < frames.length && seconds < 15; seconds++) {
      received = JSON.parse(await model.line(() => true)).ports[1].wireStatistics.received;
    }
    assertEquals(received, frames.length);
    model.kill("SIGINT");
    assertEquals((await model.finish()).code, 0);
    assertEquals(Deno.readFileSync(output).length, Deno.readFileSync(input).length);
    assertEquals(framesIn(output), frames);
  }));

/** Returns a capture file with nanoseconds, little-endian. */
function capture(frames: readonly Uint8Array[]): Uint8Array {
  const header = Uint32Array.of(0xa1b23c4d, 0x00040002, 0, 0, 65535, 1);
  const records = frames.flatMap((frame) => {
    return [...new Uint8Array(Uint32Array.of(0, 0, frame.length, frame.length).buffer), ...frame];
  });
  return Uint8Array.from([...new Uint8Array(header.buffer), ...records]);
}

function framesIn(file: string): Uint8Array[] {
  const bytes = Deno.readFileSync(file);
  const view = new DataView(bytes.buffer);
  const frames: Uint8Array[] = [];
  for (let at = 24; at < bytes.length; at += 16 + frames.at(-1)!.length) {
    frames.push(bytes.slice(at + 16, at + 16 + view.getUint32(at + 8, true)));
  }
  return frames;
}

Deno.test("parse() of sim/main.ts takes delays by name, and refuses others", () => {
  const timing = (...args: string[]) => {
    const plan = parse(SIM, ["--socket", "a", ...args]);
    return plan?.timing;
  };
  assertEquals(timing(), { delays: {}, jitter: 0, seed: 1 });
  assertEquals(timing("--delays=link=5,dma=0.5", "--jitter=0.25", "--seed=9"), {
    ...{ delays: { link: 5, dma: 0.5 }, jitter: 0.25, seed: 9 },
  });
  assertEquals(timing("--delays", "card,link=5")?.delays, { ...CARD, link: 5 });
  for (const text of ["cards", "link", "link=", "link=x", "link=60001", "rain=3", "card,"]) {
    assertThrows(() => timing(`--delays=${text}`), UsageError, "is neither card nor one of reset,");
  }
  for (const option of ["--delays=card", "--link-failures=1"]) {
    assertThrows(() => parse(SIM, ["--plain", "/a", option]), UsageError, option.split("=")[0]);
  }
});

Deno.test("sim/main.ts with --delays forwards what fwd.ts gets, and records no violation", () =>
  withDirectory(async (directory) => {
    const sockets = [`${directory}/a.sock`, `${directory}/b.sock`];
    await using model = start([
      ...[MAIN, "--json", "--delays=card,link=100", "--jitter=0.5", "--link-failures=1"],
      ...sockets.flatMap((socket) => ["--socket", socket, "--wire", "generator:rate=2000"]),
    ]);
    assertEquals(await model.line(() => true), '{"ready":true}');
    const devices = sockets.map((socket) => `vfio-user:${socket}`);
    await using forwarder = start([FORWARD, "--quiet", "--seconds=60", ...devices]);
    const enough = (line: string) => {
      const { ports } = JSON.parse(line) as { ports: { wireStatistics: Record<string, number> }[] };
      return ports.every(({ wireStatistics }) => wireStatistics.received > 1000);
    };
    const { ports } = JSON.parse(await model.line(enough));
    for (const { wireStatistics: { reordered, corrupt } } of ports) {
      assertEquals([reordered, corrupt], [0, 0]);
    }
    forwarder.kill("SIGINT");
    assertEquals((await forwarder.finish()).code, 0);
    model.kill("SIGINT");
    assertEquals((await model.finish()).code, 0);
  }));
