/**
 * vhost-user devices with DPDK's testpmd: unchanged frames both ways with every kind of header,
 * network stacks behind it, and its end. Root only, to install the packages.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Device, DeviceError, Mempool, open } from "../../mod.ts";
import { Feature } from "../../virtio/features.ts";
import { ReconnectingDevice } from "../../wrappers/mod.ts";
import { readCapture, writeCapture } from "../support/captures.ts";
import { Namespace, ping } from "../support/namespaces.ts";
import {
  assertFailed,
  isRoot,
  requirePackages,
  Sim,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { droppedBy, startForwarder, stopProgram, totals } from "../support/programs.ts";
import { Testpmd } from "../support/testpmd.ts";
import { everySize, openVhost, receiveAll, sendAll } from "../support/vhost_user.ts";

/** Bytes of a ping that fills a frame. */
const LARGEST_PING = 1472;

/** Optional features. */
const LACKING: readonly (readonly [lacking: string, without: bigint])[] = [
  ["with all features", 0n],
  ["without MRG_RXBUF", Feature.MRG_RXBUF],
  ["without IN_ORDER", Feature.IN_ORDER],
];

/** Returns the size of a capture with these frames. */
function captureBytes(frames: readonly Uint8Array[]): number {
  return frames.reduce((sum, { length }) => sum + 16 + length, 24);
}

/** Asserts that frames move unchanged from testpmd to a device, and back into a capture. */
async function moveBothWays(
  testpmd: Testpmd,
  device: Device,
  frames: readonly Uint8Array[],
  capture: string,
): Promise<void> {
  await testpmd.forward();
  const received: Uint8Array[] = [];
  await until("every frame", () => {
    received.push(...receiveAll(device));
    device.checkAlive();
    return received.length >= frames.length;
  });
  assertEquals(received, frames);
  await sendAll(device, frames);
  await until("the capture", async () => (await Deno.stat(capture)).size >= captureBytes(frames));
  assertEquals(readCapture(capture), frames);
}

Deno.test({
  name: "VhostUserTransport moves frames of all sizes unchanged, with every kind of header",
  ignore: !isRoot,
  fn: async (t) => {
    const sent = everySize();
    const interfaces = ["legacy", "modern"] as const;
    for (const [virtio, headroom] of interfaces.flatMap((it) => [[it, 0], [it, 64]] as const)) {
      for (const [lacking, without] of LACKING) {
        await t.step(`${virtio}, ${lacking}, headroom ${headroom}`, async () => {
          await using directory = await TemporaryDirectory.make();
          const [socket, from, to] = ["v.sock", "in.pcap", "out.pcap"].map((f) =>
            directory.file(f)
          );
          writeCapture(from, sent);
          const capture = `net_pcap0,rx_pcap=${from},tx_pcap=${to}`;
          await using testpmd = await Testpmd.start(directory, [Testpmd.vhost(0, socket), capture]);
          using pool = new Mempool({ buffers: 16384, headroom });
          const options = { pool, rxEntries: 4096 };
          using device = await openVhost(socket, { virtio, without }, options);
          assertEquals((device.features & Feature.VERSION_1) !== 0n, virtio === "modern");
          assertEquals((device.features & Feature.MRG_RXBUF) !== 0n, without !== Feature.MRG_RXBUF);
          assertEquals((device.features & Feature.IN_ORDER) !== 0n, without !== Feature.IN_ORDER);
          await moveBothWays(testpmd, device, sent, to);
        });
      }
    }
  },
});

Deno.test({
  name:
    "vhost-user-server moves frames unchanged both ways, and testpmd connects to the next device",
  ignore: !isRoot,
  fn: async () => {
    const sent = everySize();
    await using directory = await TemporaryDirectory.make();
    const [socket, from, to] = ["v.sock", "in.pcap", "out.pcap"].map((f) => directory.file(f));
    writeCapture(from, sent);
    const address = `vhost-user-server:${socket}`;
    using pool = new Mempool({ buffers: 16384 });
    const options = { pool, rxEntries: 4096 };
    const opening = open(address, options);
    const capture = `net_pcap0,rx_pcap=${from},tx_pcap=${to}`;
    await using testpmd = await Testpmd.start(directory, [Testpmd.vhostClient(0, socket), capture]);
    {
      using device = await opening;
      await moveBothWays(testpmd, device, sent, to);
    }
    assertEquals(pool.freeCount, pool.buffers);
    using device = await open(address, options); // testpmd looks once a second
    await sendAll(device, sent);
    await until(
      "the capture",
      async () => (await Deno.stat(to)).size >= captureBytes([...sent, ...sent]),
    );
    assertEquals(readCapture(to), [...sent, ...sent]);
    await testpmd.quit();
    const gone = () =>
      until("an error", () => {
        device.checkAlive();
        return false;
      });
    await assertRejects(gone, DeviceError, "has closed the connection");
  },
});

Deno.test({
  name: "fwd.ts joins testpmd as server and testpmd as client, whichever starts first",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const [client, server] = ["a.sock", "b.sock"].map((name) => directory.file(name));
    const addresses = [`vhost-user-server:${client}`, `vhost-user:${server}`];
    const ports = [Testpmd.vhostClient(0, client), Testpmd.vhost(1, server)];
    await using testpmd = await Testpmd.start(directory, ports, "flowgen");
    await testpmd.forward();
    for (let round = 0; round < 2; round++) {
      const before = [await testpmd.counts(0), await testpmd.counts(1)];
      await using forwarder = await startForwarder(addresses);
      for (const port of [0, 1]) {
        const { rx } = before[port];
        await until("frames", async () => (await testpmd.counts(port)).rx > rx + 1000);
      }
      forwarder.kill("SIGTERM");
      const { code, stdout, stderr } = await forwarder.finish();
      assertEquals([code, stderr], [0, `${addresses[0]}: waiting for a back-end to connect\n`]);
      const [a, b] = totals(stdout).ports;
      assertEquals([a.errors, b.errors], [0, 0]);
      assert(a.rxPackets > 1000 && b.rxPackets > 1000);
    }
    await testpmd.quit();
  },
});

Deno.test({
  name: "VirtioDevice moves frames in each of several pairs of queues",
  ignore: !isRoot,
  fn: async (t) => {
    const frames = everySize();
    for (const virtio of ["legacy", "modern"] as const) {
      for (const [used, offered] of [[2, 2], [2, 3]]) {
        await t.step(`${virtio}, ${used} of ${offered}`, async () => {
          await using directory = await TemporaryDirectory.make();
          const socket = directory.file("v.sock"), pairs = [...Array(used).keys()];
          // A single port is its own peer: frames of a queue return through the queue of that
          // number.
          const port = Testpmd.vhost(0, socket, offered);
          await using testpmd = await Testpmd.start(directory, [port], "io", used);
          using stack = new DisposableStack();
          const pools = pairs.map(() => stack.use(new Mempool({ buffers: 4096 })));
          const options = { pools, rxQueues: used, txQueues: used };
          using device = await openVhost(socket, { virtio }, options);
          assertEquals((device.features & Feature.MQ) !== 0n, true);
          await testpmd.forward();
          const sent = pairs.map((pair) => frames.filter((_, i) => i % used === pair));
          const received = pairs.map(() => [] as Uint8Array[]);
          // Every ring has room for all frames that are on their way.
          for (let i = 0; i < sent[0].length; i += 128) {
            const some = sent.map((frames) => frames.slice(i, i + 128));
            for (const pair of pairs) await sendAll(device, some[pair], pair);
            await until("frames to come back", () => {
              for (const pair of pairs) received[pair].push(...receiveAll(device, pair));
              device.checkAlive();
              return pairs.every((pair) => received[pair].length >= i + some[pair].length);
            });
          }
          assertEquals(received, sent);
          const { rx, tx } = await testpmd.counts(0);
          assertEquals([rx, tx], [frames.length, frames.length]);
        });
      }
    }
  },
});

Deno.test({
  name: "fwd.ts joins two network stacks behind vhost-user devices",
  ignore: !isRoot,
  fn: async () => {
    await requirePackages("iproute2", "ping");
    await using directory = await TemporaryDirectory.make();
    const sockets = ["a.sock", "b.sock"].map((name) => directory.file(name));
    const [tapA, tapB] = ["a", "b"].map((end) => `ixyv${Deno.pid}${end}`);
    await using testpmd = await Testpmd.start(directory, [
      ...[`net_tap0,iface=${tapA}`, Testpmd.vhost(0, sockets[0])],
      ...[`net_tap1,iface=${tapB}`, Testpmd.vhost(1, sockets[1])],
    ]);
    await using a = await Namespace.make(tapA, tapA, "192.0.2.1");
    await using b = await Namespace.make(tapB, tapB, "192.0.2.2");
    await testpmd.forward();
    const addresses = sockets.map((socket) => `vhost-user:${socket}`);
    for (const virtio of ["legacy", "modern"]) {
      await using forwarder = await startForwarder(addresses, ["--no-touch", `--virtio=${virtio}`]);
      await ping(a, b);
      await ping(b, a, LARGEST_PING);
      for (const { errors, dropped } of (await stopProgram(forwarder)).ports) {
        assertEquals([errors, dropped], [0, 0]);
      }
    }
    await testpmd.quit();
  },
});

Deno.test({
  name: "fwd.ts forwards between a vfio-user and a vhost-user device with one pool",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("v.sock");
    await using sim = await Sim.start(directory, ["generator:rate=50000"]);
    // A single port is its own peer: the generator's packets return to it.
    await using testpmd = await Testpmd.start(directory, [Testpmd.vhost(0, socket)]);
    await testpmd.forward();
    const addresses = [...sim.addresses, `vhost-user:${socket}`];
    await using forwarder = await startForwarder(addresses, ["--no-touch"]);
    await sim.command("start");
    await sim.reaches("frames", ([port]) => port.wireStatistics.received > 20000);
    await sim.drain(async () => droppedBy(forwarder) + await testpmd.dropped());
    const [ports, vhost] = [await stopProgram(forwarder), await testpmd.counts(0)];
    const [{ wireStatistics: { received, reordered, corrupt, foreign } }] = await sim.quit();
    assertEquals({ reordered, corrupt, foreign }, { reordered: 0, corrupt: 0, foreign: 0 });
    assertEquals(ports.ports.map(({ errors }) => errors), [0, 0]);
    assertEquals(received, ports.ports[0].txPackets);
    assertEquals(vhost.tx, ports.ports[1].rxPackets);
    assertEquals(vhost.rx, ports.ports[1].txPackets);
  },
});

Deno.test({
  name: "fwd.ts ends with one sentence when the back-end ends in any way, and can be started again",
  ignore: !isRoot,
  fn: async (t) => {
    await using directory = await TemporaryDirectory.make();
    const sockets = ["a.sock", "b.sock"].map((name) => directory.file(name));
    const addresses = sockets.map((socket) => `vhost-user:${socket}`);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await t.step(signal, async () => {
        const ports = sockets.map((socket, i) => Testpmd.vhost(i, socket));
        await using testpmd = await Testpmd.start(directory, ports, "flowgen");
        await using forwarder = await startForwarder(addresses);
        await testpmd.forward();
        await until("frames", async () => (await testpmd.counts(0)).rx > 1000);
        testpmd.program.kill(signal);
        assertFailed(
          await forwarder.finish(),
          1,
          /vhost-user:\S+[ab]\.sock: the server of this device has closed .*: start it again$/m,
        );
        await testpmd.program.finish();
        if (signal === "SIGKILL") return; // the back-end leaves its sockets behind
        for (const socket of sockets) {
          await assertRejects(() => Deno.stat(socket), Deno.errors.NotFound);
        }
      });
    }
  },
});

Deno.test({
  name: "testpmd keeps running when fwd.ts ends in any way, and accepts the next one",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const sockets = ["a.sock", "b.sock"].map((name) => directory.file(name));
    const addresses = sockets.map((socket) => `vhost-user:${socket}`);
    const ports = sockets.map((socket, i) => Testpmd.vhost(i, socket));
    await using testpmd = await Testpmd.start(directory, ports, "flowgen");
    await testpmd.forward();
    for (const signal of ["SIGTERM", "SIGKILL", "SIGINT"] as const) {
      const before = await testpmd.counts(0);
      await using forwarder = await startForwarder(addresses);
      await until("frames", async () => (await testpmd.counts(0)).rx > before.rx + 1000);
      if (signal === "SIGKILL") forwarder.kill(signal);
      else assert((await stopProgram(forwarder, signal)).ports[0].rxPackets > 0);
      await forwarder.finish();
    }
    await testpmd.quit();
  },
});

Deno.test({
  name: "ReconnectingDevice goes on with a testpmd that was killed, and started again",
  ignore: !isRoot,
  fn: async (t) => {
    for (const scheme of ["vhost-user", "vhost-user-server"]) {
      await t.step(scheme, async () => {
        await using directory = await TemporaryDirectory.make();
        const socket = directory.file("v.sock"), frames = everySize().slice(0, 200);
        const client = scheme === "vhost-user" ? "" : ",client=1";
        const start = () => Testpmd.start(directory, [Testpmd.vhost(0, socket) + client]);
        using pool = new Mempool({ buffers: 2048 });
        const connect = (signal: AbortSignal) => open(`${scheme}:${socket}`, { pool, signal });
        const first = start();
        if (client === "") await first; // it listens
        await using device = await ReconnectingDevice.open(connect);
        const pass = async (testpmd: Testpmd, some: readonly Uint8Array[]) => {
          await testpmd.forward();
          await sendAll(device, some);
          const received: Uint8Array[] = [];
          await until("frames to come back", () => {
            received.push(...receiveAll(device));
            return received.length >= some.length;
          });
          assertEquals(received, some);
        };
        const killed = await first;
        await pass(killed, frames.slice(0, 100));
        killed.program.kill("SIGKILL");
        await killed.program.finish();
        await until("the end of the connection", () => {
          device.checkAlive();
          return !device.connected;
        });
        if (client === "") await Deno.remove(socket); // DPDK does not replace it
        const second = start();
        await device.waitForLink(60000);
        await using testpmd = await second;
        await pass(testpmd, frames.slice(100));
        const { rxPackets, txPackets, txLost } = device.statistics();
        assertEquals({ rxPackets, txPackets, txLost }, {
          rxPackets: 200,
          txPackets: 200,
          txLost: 0,
        });
      });
    }
  },
});
