/**
 * The forwarder between two network stacks: each port's cable leads to a TAP device in a network
 * namespace of its own, and Linux talks to itself through the driver. Then a capture of that traffic
 * is replayed through the forwarder, frame by frame. As root only.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  isRoot,
  Program,
  requirePackages,
  run,
  Sim,
  startForwarder,
  stopForwarder,
  TemporaryDirectory,
  tool,
  until,
} from "./processes.ts";

const BYTES = 50_000_000;
const PORT = 5001;
/** Frames that are captured of a transfer. */
const CAPTURED = 4000;
/** Longest Ethernet frame of an interface with the usual MTU of 1500 bytes. */
const LONGEST = 1514;

/** Takes one connection: prints how much came and its hash. */
const SERVER = `
import { createHash } from "node:crypto";
using listener = Deno.listen({ hostname: Deno.args[0], port: ${PORT} });
console.log("listening");
const connection = await listener.accept();
const hash = createHash("sha256");
let bytes = 0;
for await (const piece of connection.readable) {
  hash.update(piece);
  bytes += piece.length;
}
console.log(bytes, hash.digest("hex"));
`;

/** Sends random bytes over one connection: prints how much and its hash. */
const CLIENT = `
import { createHash } from "node:crypto";
using connection = await Deno.connect({ hostname: Deno.args[0], port: ${PORT} });
const hash = createHash("sha256");
const piece = new Uint8Array(50_000);
for (let bytes = 0; bytes < ${BYTES}; bytes += piece.length) {
  crypto.getRandomValues(piece);
  hash.update(piece);
  for (let sent = 0; sent < piece.length;) sent += await connection.write(piece.subarray(sent));
}
connection.closeWrite();
while (await connection.read(new Uint8Array(1)) !== null);
console.log(${BYTES}, hash.digest("hex"));
`;

/** A network namespace with one interface in it. */
class Namespace implements AsyncDisposable {
  private constructor(
    readonly name: string,
    readonly device: string,
    readonly address: string,
  ) {}

  /** Makes one and moves an interface of this machine into it. */
  static async make(name: string, device: string, address: string): Promise<Namespace> {
    await tool("ip", "netns", "add", name);
    const namespace = new Namespace(name, device, address);
    try {
      await tool("ip", "link", "set", device, "netns", name);
      await tool("ip", "-n", name, "address", "add", `${address}/24`, "dev", device);
      await tool("ip", "-n", name, "link", "set", device, "up");
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
    return namespace;
  }

  /** The command line of a program in it. */
  command(...command: string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tool("ip", "netns", "delete", this.name);
  }
}

/** Lengths and hashes of the frames in a capture, in order, as tshark sees them. */
async function frames(file: string): Promise<string[]> {
  const fields = ["-T", "fields", "-e", "frame.len", "-e", "frame.md5_hash"];
  const hashed = ["-o", "frame.generate_md5_hash:TRUE"];
  const text = await tool("tshark", "-n", "-r", file, ...hashed, ...fields);
  return text.trim().split("\n");
}

/** Replays a capture through the forwarder; returns the capture of what comes out. */
async function replay(directory: TemporaryDirectory, file: string): Promise<string> {
  const [out, back] = [directory.file("out.pcap"), directory.file("back.pcap")];
  const wires = [`pcap:in=${file},out=${back}`, `pcap:out=${out}`];
  await using sim = await Sim.start(directory, wires);
  // The capture comes as fast as the port takes it: a larger transmit ring has room for a burst of it.
  const options = ["--no-touch", "--tx-entries=4096"];
  await using forwarder = await startForwarder(sim.addresses, options);
  await sim.command("start");
  await sim.reaches(
    "the end of the capture",
    ([{ wireStatistics: from }, { wireStatistics: to }]) =>
      from.finished === 1 && to.received === from.sent,
  );
  const [a, b] = (await stopForwarder(forwarder)).ports;
  assertEquals([a.errors, b.dropped], [0, 0]);
  await sim.quit();
  assertEquals((await Deno.stat(back)).size, 24, "nothing comes back");
  return out;
}

/** Pings; every request is answered. */
async function ping(from: Namespace, to: Namespace): Promise<void> {
  const { code, stdout } = await run(
    from.command("ping", "-n", "-c", "5", "-i", "0.2", "-W", "5", to.address),
  );
  assertMatch(stdout, /^5 packets transmitted, 5 received, 0% packet loss/m);
  assertEquals(code, 0);
}

/** Sends bytes over TCP, and captures where it begins; returns the capture. */
async function transfer(
  directory: TemporaryDirectory,
  from: Namespace,
  to: Namespace,
): Promise<string> {
  const [server, client] = [directory.file("server.ts"), directory.file("client.ts")];
  const capture = directory.file("transfer.pcap");
  await Deno.writeTextFile(server, SERVER);
  await Deno.writeTextFile(client, CLIENT);
  const deno = [Deno.execPath(), "run", "--quiet", "--no-config", "--allow-net"];
  await using listener = Program.start(to.command(...deno, server, to.address));
  await listener.line((line) => line === "listening");
  const options = ["-i", from.device, "-w", capture, "-c", String(CAPTURED), "-n", "-Z", "root"];
  await using tcpdump = Program.start(
    from.command("tcpdump", ...options, "tcp", "port", String(PORT)),
  );
  await until("tcpdump to listen", () => tcpdump.stderr.includes("listening on"));
  const sent = await run(from.command(...deno, client, to.address), { milliseconds: 60000 });
  assertEquals(sent.stderr, "");
  const taken = await listener.finish();
  assertMatch(sent.stdout, /^50000000 [0-9a-f]{64}\n$/);
  assertEquals(taken.stdout, `listening\n${sent.stdout}`);
  assertEquals((await tcpdump.finish()).code, 0);
  return capture;
}

Deno.test({
  name: "fwd.ts joins two network stacks, and what passed passes again in order",
  ignore: !isRoot,
  fn: async (t) => {
    await requirePackages("iproute2", "ping", "tcpdump", "tshark");
    await using directory = await TemporaryDirectory.make();
    const [deviceA, deviceB] = ["a", "b"].map((end) => `ixy${Deno.pid}${end}`);
    let capture = "";
    {
      await using sim = await Sim.start(directory, [`tap:${deviceA}`, `tap:${deviceB}`]);
      await using a = await Namespace.make(deviceA, deviceA, "192.0.2.1");
      await using b = await Namespace.make(deviceB, deviceB, "192.0.2.2");
      await using forwarder = await startForwarder(sim.addresses, ["--no-touch"]);
      await t.step("every ping is answered", () => ping(a, b));
      await t.step("50 MB pass by TCP with their hash unchanged", async () => {
        capture = await transfer(directory, a, b);
      });
      for (const { errors } of (await stopForwarder(forwarder)).ports) assertEquals(errors, 0);
      await sim.quit();
    }
    await t.step("frames of that transfer pass once more, identical and in order", async () => {
      const before = await frames(capture);
      assertEquals(before.length, CAPTURED);
      const lengths = before.map((frame) => Number(frame.split("\t")[0]));
      assert(lengths.every((length) => length >= 60 && length <= LONGEST), "no padding, no TSO");
      assert(lengths.includes(LONGEST), "full frames are among them");
      assertEquals(await frames(await replay(directory, capture)), before);
    });
  },
});
