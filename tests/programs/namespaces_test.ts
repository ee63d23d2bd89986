/**
 * `fwd.ts` between two network stacks: each port's cable leads to a TAP device in its own network
 * namespace, and Linux talks to itself through the driver. Then the software NIC replays a capture
 * of that traffic through the forwarder. As root only.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Namespace, ping, PORT, transfer } from "../support/namespaces.ts";
import {
  isRoot,
  Program,
  requirePackages,
  Sim,
  TemporaryDirectory,
  tool,
  until,
} from "../support/processes.ts";
import { startForwarder, stopProgram } from "../support/programs.ts";

const BYTES = 50_000_000;
/** Frames of a transfer to capture. */
const CAPTURED = 4000;
/** Longest Ethernet frame at an MTU of 1500 bytes. */
const LONGEST = 1514;

/** Returns lengths and hashes of the frames in a capture, in order, as tshark reads them. */
async function frames(file: string): Promise<string[]> {
  const fields = ["-T", "fields", "-e", "frame.len", "-e", "frame.md5_hash"];
  const hashed = ["-o", "frame.generate_md5_hash:TRUE"];
  const text = await tool("tshark", "-n", "-r", file, ...hashed, ...fields);
  return text.trim().split("\n");
}

/** Replays a capture through the forwarder; returns the capture of the output. */
async function replay(directory: TemporaryDirectory, file: string): Promise<string> {
  const [out, back] = [directory.file("out.pcap"), directory.file("back.pcap")];
  const wires = [`pcap:in=${file},out=${back}`, `pcap:out=${out}`];
  await using sim = await Sim.start(directory, wires);
  // The replay is as fast as the port takes it: a larger transmit ring has room for a burst.
  const options = ["--no-touch", "--tx-entries=4096"];
  await using forwarder = await startForwarder(sim.addresses, options);
  await sim.command("start");
  await sim.reaches(
    "the end of the capture",
    ([{ wireStatistics: from }, { wireStatistics: to }]) =>
      from.finished === 1 && to.received === from.sent,
  );
  const [a, b] = (await stopProgram(forwarder)).ports;
  assertEquals([a.errors, b.dropped], [0, 0]);
  await sim.quit();
  assertEquals((await Deno.stat(back)).size, 24, "nothing comes back");
  return out;
}

/** Sends bytes over TCP, and captures at the sender; returns the capture. */
async function capturedTransfer(
  directory: TemporaryDirectory,
  from: Namespace,
  to: Namespace,
): Promise<string> {
  const capture = directory.file("transfer.pcap");
  const options = ["-i", from.device, "-w", capture, "-c", String(CAPTURED), "-n", "-Z", "root"];
  await using tcpdump = Program.start(
    from.command("tcpdump", ...options, "tcp", "port", String(PORT)),
  );
  await until("tcpdump to listen", () => tcpdump.stderr.includes("listening on"));
  await transfer(directory, from, to, BYTES);
  assertEquals((await tcpdump.finish()).code, 0);
  return capture;
}

Deno.test({
  name: "fwd.ts connects two network stacks, and forwards a replay of their traffic in order",
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
      await t.step("50 MB pass over TCP with an unchanged hash", async () => {
        capture = await capturedTransfer(directory, a, b);
      });
      for (const { errors } of (await stopProgram(forwarder)).ports) assertEquals(errors, 0);
      await sim.quit();
    }
    await t.step("frames of that transfer pass again, identical and in order", async () => {
      const before = await frames(capture);
      assertEquals(before.length, CAPTURED);
      const lengths = before.map((frame) => Number(frame.split("\t")[0]));
      assert(lengths.every((length) => length >= 60 && length <= LONGEST), "no padding, no TSO");
      assert(lengths.includes(LONGEST), "full frames are among them");
      assertEquals(await frames(await replay(directory, capture)), before);
    });
  },
});
