/**
 * The vhost-user transport with a back-end that is as strict as those built on rust-vmm: it ends
 * the connection at the first request that it does not accept.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, Mempool, open, type OpenOptions, UsageError } from "../../mod.ts";
import { Feature } from "../../virtio/features.ts";
import { ReconnectingDevice } from "../../wrappers/mod.ts";
import { TemporaryDirectory, until } from "../support/processes.ts";
import { everySize, openVhost, receiveAll, sendAll, StrictBackend } from "../support/vhost_user.ts";

/** Packets that are on their way at once. */
const BURST = 40;
/** What rust-vmm's network back-ends offer beside VERSION_1: checksums and EVENT_IDX. */
const OFFERED = Feature.VERSION_1 | 1n << 0n | 1n << 1n | 1n << 29n;

Deno.test("VhostUserTransport satisfies a back-end as strict as rust-vmm, and moves packets", async (t) => {
  const cases: [what: string, features: bigint, pairs: number][] = [
    ["one pair of queues", OFFERED, 1],
    ["MRG_RXBUF and IN_ORDER", OFFERED | Feature.MRG_RXBUF | Feature.IN_ORDER, 1],
    ["ORDER_PLATFORM and chains of two", OFFERED | Feature.ORDER_PLATFORM | 1n << 28n, 1],
    ["three pairs, without the feature MQ", OFFERED, 3],
  ];
  for (const [what, features, pairs] of cases) {
    await t.step(what, async () => {
      await using directory = await TemporaryDirectory.make();
      await using backend = await StrictBackend.start(directory, {
        ...{ features: features.toString(16), queues: 2 * pairs },
      });
      using stack = new DisposableStack();
      const pools = Array.from({ length: pairs }, () => stack.use(new Mempool({ buffers: 2048 })));
      const queues = pools.map((_, pair) => pair);
      {
        // Pools in the order of their creation are not in the order of their addresses.
        const options = { pools: pools.toReversed(), rxQueues: pairs, txQueues: pairs };
        using device = await openVhost(backend.socket, {}, options);
        assertEquals(
          (device.features & Feature.ORDER_PLATFORM) !== 0n,
          (features & Feature.ORDER_PLATFORM) !== 0n,
        );
        const frames = everySize(), received = queues.map((): Uint8Array[] => []);
        const sent = queues.map((pair) => frames.filter((_, i) => i % pairs === pair));
        for (let i = 0; i < sent[0].length; i += BURST) {
          const some = sent.map((frames) => frames.slice(i, i + BURST));
          for (const pair of queues) await sendAll(device, some[pair], pair);
          await until("packets to come back", () => {
            for (const pair of queues) received[pair].push(...receiveAll(device, pair));
            device.checkAlive();
            return queues.every((pair) => received[pair].length >= i + some[pair].length);
          });
        }
        assertEquals(received, sent);
      }
      for (const pool of pools) assertEquals(pool.freeCount, pool.buffers);
      assertEquals((await backend.report()).refused, undefined);
    });
  }
});

Deno.test("VhostUserTransport says which option to change if a strict back-end refuses a queue", async (t) => {
  const cases: [
    what: string,
    options: OpenOptions,
    sentence: RegExp,
    option: string,
    refused: string,
  ][] = [
    [
      "a receive queue that is too large",
      { rxEntries: 512 },
      /: the server of this device does not accept a queue of 512 descriptors .*queue 0.*: use fewer$/,
      "rxEntries",
      "SET_VRING_NUM: 512",
    ],
    [
      "a transmit queue that is too large",
      { txEntries: 256 },
      /: the server of this device does not accept a queue of 512 descriptors .*queue 1.*: use fewer$/,
      "txEntries",
      "SET_VRING_NUM: 512",
    ],
    [
      "more pairs than it has queues for",
      { rxQueues: 3, txQueues: 3 },
      /: the server of this device has 4 queues, which is 2 pairs: use 2, or configure it with more$/,
      "rxQueues",
      "SET_VRING_CALL: queue 4 of 4",
    ],
    [
      "more pairs than any reading of its number gives",
      { rxQueues: 5, txQueues: 5 },
      /: has 4 pairs of queues, not 5: use fewer, or configure the device with more$/,
      "rxQueues",
      "",
    ],
  ];
  await using directory = await TemporaryDirectory.make();
  await using backend = await StrictBackend.start(directory, {
    ...{ queues: 4, connections: cases.length },
  });
  for (const [what, options, sentence, option, refused] of cases) {
    await t.step(what, async () => {
      using pool = new Mempool({ buffers: 4096 });
      const open = () => openVhost(backend.socket, {}, { pool, ...options });
      const error = await assertRejects(open, UsageError);
      assertMatch(error.message, sentence);
      assertEquals(error.option, option);
      assertEquals(pool.freeCount, pool.buffers); // none was available to the back-end yet
      assertEquals((await backend.report()).refused ?? "", refused);
    });
  }
});

Deno.test("VhostUserTransport names the queue's size if a back-end without acknowledgements closes", async () => {
  await using directory = await TemporaryDirectory.make();
  await using backend = await StrictBackend.start(directory, { size: 128, protocol: "0" });
  using pool = new Mempool();
  const open = () => openVhost(backend.socket, {}, { pool });
  const error = await assertRejects(open, UsageError, "a queue of 256 descriptors");
  assertEquals(error.cause instanceof DeviceError, true);
});

Deno.test("ReconnectingDevice waits for the next back-end that connects, until it is closed", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("strict.sock"), waits: string[] = [];
  using pool = new Mempool({ buffers: 2048, memory: "pages" });
  const connect = (signal: AbortSignal) => {
    const onWait = (sentence: string) => waits.push(sentence);
    return open(`vhost-user-server:${socket}`, { pool, onWait, signal });
  };
  const first = StrictBackend.start(directory, { client: true });
  const device = await ReconnectingDevice.open(connect);
  const end = async (backend: StrictBackend) => {
    backend.program.kill("SIGKILL");
    await backend.program.finish();
    await until("the end of the connection", () => {
      device.checkAlive();
      return !device.connected;
    });
  };
  await end(await first);
  // Until the device is opened again, the old socket ends connections.
  await using second = await StrictBackend.start(directory, { client: true, connections: 100 });
  assertEquals((await device.waitForLink()).up, true);
  await end(second);
  await assertRejects(() => device.waitForLink(50), DeviceError, "no link after 50 ms");
  assertEquals([pool.freeCount, Deno.lstatSync(socket).isSocket], [pool.buffers, true]);
  await device[Symbol.asyncDispose]();
  assertThrows(() => Deno.lstatSync(socket), Deno.errors.NotFound);
  assertMatch(waits.at(-1)!, /strict.sock: waiting for a back-end to connect$/);
});
