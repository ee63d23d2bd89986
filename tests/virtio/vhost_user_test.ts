/**
 * The vhost-user transport with a scripted back-end in a process of its own: requests and their
 * order, packets in any order, and every kind of fault.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { path, stubs } from "../../native/stubs.ts";
import { UnixStream } from "../../src/unix_stream.ts";
import { DeviceError, Mempool, UsageError } from "../../mod.ts";
import { Feature, featureNames } from "../../virtio/features.ts";
import { ReconnectingDevice } from "../../wrappers/mod.ts";
import { Request, type RequestName } from "../../virtio/vhost_user_socket.ts";
import { Program, PROJECT, TemporaryDirectory, until } from "../support/processes.ts";
import { everySize, openVhost, receiveAll, sendAll } from "../support/vhost_user.ts";
import type { Fault, Script } from "../support/vhost_user_backend.ts";
import type { Nonsense } from "../support/vhost_user_ring.ts";

const PROTOCOL_FEATURES = 1n << 30n;
const MQ = 1n << 0n, REPLY_ACK = 1n << 3n, STATUS = 1n << 16n;
/** Deadline for a back-end that will not answer, in milliseconds. */
const SHORT_MS = 300;
/** A device with all features that the driver supports. */
const FULL = script(
  Feature.VERSION_1 | Feature.MRG_RXBUF | Feature.IN_ORDER | PROTOCOL_FEATURES,
  REPLY_ACK | STATUS,
);

function script(features: bigint, protocol = 0n): Script {
  return { features: features.toString(16), protocol: protocol.toString(16) };
}

/** The back-end's process, which has a script for each connection. */
class Backend implements AsyncDisposable {
  private constructor(readonly socket: string, readonly program: Program) {}

  static async start(directory: TemporaryDirectory, scripts: readonly Script[]): Promise<Backend> {
    const socket = directory.file("backend.sock");
    const file = `${PROJECT}tests/support/vhost_user_backend.ts`;
    const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi"];
    const program = Program.start([...deno, file, socket, JSON.stringify(scripts)]);
    const backend = new Backend(socket, program);
    try {
      await program.line((line) => line === "ready");
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return backend;
  }

  /** Returns the names of the requests of the next connection that has ended. */
  async requests(): Promise<string[]> {
    const numbers: number[] = JSON.parse(await this.program.line(() => true));
    const names = new Map<number, string>(Object.entries(Request).map(([name, n]) => [n, name]));
    return numbers.map((n) => names.get(n) ?? String(n));
  }

  /** Waits for its end, and asserts that it reports no errors. */
  async finish(): Promise<void> {
    const { code, stderr } = await this.program.finish();
    assertEquals([code, stderr], [0, ""]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/** Returns the number of this process's open files. */
function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** The requests that set up one queue. */
const QUEUE: RequestName[] = [
  ...["SET_VRING_CALL", "SET_VRING_NUM", "SET_VRING_BASE"] as const,
  ...["SET_VRING_ADDR", "SET_VRING_KICK"] as const,
];

/** The same if the back-end does not acknowledge requests. */
const UNACKNOWLEDGED = QUEUE.flatMap((name): RequestName[] => {
  return name === "SET_VRING_NUM" ? [name, "GET_FEATURES"] : [name];
});

Deno.test("VhostUserTransport sends only requests that the back-end supports", async (t) => {
  const cases: [offers: string, script: Script, requests: RequestName[]][] = [
    ["nothing", script(0n), [
      ...["SET_OWNER", "GET_FEATURES", "SET_FEATURES", "SET_MEM_TABLE"] as const,
      ...[...UNACKNOWLEDGED, ...UNACKNOWLEDGED] as const,
      ...["GET_FEATURES", "GET_VRING_BASE", "GET_VRING_BASE"] as const,
    ]],
    ["features of the protocol", script(PROTOCOL_FEATURES, REPLY_ACK), [
      ...["SET_OWNER", "GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES"] as const,
      ...["SET_FEATURES", "SET_MEM_TABLE", ...QUEUE, ...QUEUE] as const,
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE", "GET_FEATURES"] as const,
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE", "GET_VRING_BASE", "GET_VRING_BASE"] as const,
    ]],
    ["the device status", FULL, [
      ...["SET_OWNER", "GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES"] as const,
      ...["SET_STATUS", "SET_STATUS", "SET_STATUS", "SET_FEATURES"] as const,
      ...["SET_STATUS", "GET_STATUS", "SET_MEM_TABLE", ...QUEUE, ...QUEUE] as const,
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE", "SET_STATUS", "GET_FEATURES"] as const,
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE", "GET_VRING_BASE", "GET_VRING_BASE"] as const,
      "SET_STATUS",
    ]],
  ];
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, cases.map(([, script]) => script));
  for (const [offers, , requests] of cases) {
    await t.step(offers, async () => {
      using pool = new Mempool();
      (await openVhost(backend.socket, {}, { pool })).close();
      assertEquals(pool.freeCount, pool.buffers);
      assertEquals(await backend.requests(), requests);
    });
  }
  await backend.finish();
});

Deno.test("VirtioDevice moves packets with any order of returned buffers", async (t) => {
  const cases: [how: string, script: Script][] = [
    ["in order", { ...FULL, loop: "straight" }],
    ["in order, by a back-end without protocol features", { ...script(0n), loop: "straight" }],
    ["in reverse", {
      ...script(Feature.VERSION_1 | PROTOCOL_FEATURES, REPLY_ACK),
      loop: "reversed",
    }],
    ["by the last of a batch", { ...FULL, loop: "last" }],
  ];
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, cases.map(([, script]) => script));
  for (const [how, { loop }] of cases) {
    await t.step(how, async () => {
      using pool = new Mempool();
      {
        using device = await openVhost(backend.socket, {}, { pool, rxEntries: 64, txEntries: 64 });
        // One entry can stand for several packets only if they fill their buffers, with their
        // headers.
        const sent = everySize().map((frame, i) => {
          return loop === "last" ? new Uint8Array(pool.bufferSize - 12).fill(i) : frame;
        });
        const received: Uint8Array[] = [];
        for (let i = 0; i < sent.length; i += 48) {
          const some = sent.slice(i, i + 48);
          await sendAll(device, some);
          await until("packets to come back", () => {
            received.push(...receiveAll(device));
            device.checkAlive();
            return received.length >= i + some.length;
          });
        }
        const sorted = (frames: Uint8Array[]) => frames.toSorted((a, b) => a.length - b.length);
        assertEquals(loop === "reversed" ? sorted(received) : received, sent);
        const { rxPackets, txPackets } = device.statistics();
        assertEquals([rxPackets, txPackets], [sent.length, sent.length]);
      }
      assertEquals(pool.freeCount, pool.buffers);
      await backend.requests();
    });
  }
  await backend.finish();
});

/** A device with several pairs of queues. */
function several(pairs: number): Script {
  return { ...script(Feature.VERSION_1 | Feature.MQ | PROTOCOL_FEATURES, MQ | REPLY_ACK), pairs };
}

Deno.test("VhostUserTransport sets up and enables each queue of the used pairs", async () => {
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, [several(3)]);
  using pool = new Mempool();
  const device = await openVhost(backend.socket, {}, { pool, rxQueues: 2, txQueues: 2 });
  assertEquals(featureNames(device.features), ["MQ", "VERSION_1"]);
  device.close();
  assertEquals(pool.freeCount, pool.buffers);
  assertEquals(await backend.requests(), [
    ...["SET_OWNER", "GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES"],
    ...["GET_QUEUE_NUM", "SET_FEATURES", "SET_MEM_TABLE", ...QUEUE, ...QUEUE, ...QUEUE, ...QUEUE],
    ...[...Array<string>(4).fill("SET_VRING_ENABLE"), "GET_FEATURES"],
    ...[...Array<string>(4).fill("SET_VRING_ENABLE"), ...Array<string>(4).fill("GET_VRING_BASE")],
  ]);
  await backend.finish();
});

Deno.test("VirtioDevice moves packets in each of several pairs of queues", async () => {
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, [{ ...several(3), loop: "reversed" }]);
  using stack = new DisposableStack();
  const pools = [0, 1, 2].map(() => stack.use(new Mempool({ buffers: 1024 })));
  {
    const options = { pools, rxEntries: 64, txEntries: 64, rxQueues: 3, txQueues: 3 };
    using device = await openVhost(backend.socket, {}, options);
    const sent = pools.map((_, pair) => everySize().slice(500 * pair, 500 * pair + 200));
    const received = pools.map(() => [] as Uint8Array[]);
    for (let i = 0; i < 200; i += 40) {
      for (const pair of pools.keys()) await sendAll(device, sent[pair].slice(i, i + 40), pair);
      await until("packets to come back", () => {
        pools.forEach((_, pair) => received[pair].push(...receiveAll(device, pair)));
        device.checkAlive();
        return received.every(({ length }) => length >= i + 40);
      });
    }
    const bySize = (frames: Uint8Array[]) => frames.toSorted((a, b) => a.length - b.length);
    assertEquals(received.map(bySize), sent);
    assertEquals(device.statistics().rxPackets, 600);
  }
  for (const pool of pools) assertEquals(pool.freeCount, pool.buffers);
  await backend.requests();
  await backend.finish();
});

Deno.test("VhostUserTransport refuses more pairs of queues than the back-end has", async (t) => {
  const none = script(Feature.VERSION_1 | PROTOCOL_FEATURES, MQ | REPLY_ACK);
  const [asked, unasked]: RequestName[][] = [["GET_QUEUE_NUM"], []];
  const cases: [rule: string, script: Script, requests: RequestName[], sentence: RegExp][] = [
    ["two pairs", several(2), asked, /has 2 pairs of queues, not 3: use fewer/],
    ["one pair", none, asked, /has 1 pair of queues, not 3/],
    ["a protocol without MQ", { ...several(3), protocol: "8" }, unasked, /has 1 pair of queues/],
  ];
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, cases.map(([, script]) => script));
  for (const [rule, , requests, sentence] of cases) {
    await t.step(rule, async () => {
      using pool = new Mempool();
      const files = openFiles();
      const open = () => openVhost(backend.socket, {}, { pool, rxQueues: 3, txQueues: 3 });
      const { message } = await assertRejects(open, UsageError);
      assertMatch(message, sentence);
      assertEquals([pool.freeCount, openFiles()], [pool.buffers, files]);
      assertEquals((await backend.requests()).slice(4), requests);
    });
  }
  await backend.finish();
});

Deno.test("VhostUserTransport refuses more pools than there are memory regions", async () => {
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, [several(8), several(8)]);
  using stack = new DisposableStack();
  const pools = Array.from({ length: 8 }, () => stack.use(new Mempool({ buffers: 1024 })));
  const open = (pools: Mempool[]) => {
    return openVhost(backend.socket, {}, { pools, rxQueues: 8, txQueues: 8 });
  };
  await assertRejects(() => open(pools), UsageError, "at most 8 memory regions");
  (await open(pools.with(7, pools[0]))).close();
  for (const pool of pools) assertEquals(pool.freeCount, pool.buffers);
  await backend.requests();
  await backend.requests();
  await backend.finish();
});

/** Invalid content that a back-end writes to a used ring, and the error that it causes. */
const INVALID: readonly [name: string, nonsense: Nonsense, sentence: RegExp][] = [
  ["an id out of range", { queue: 0, entries: [[4096, 72]] }, /id 4096/],
  ["an id far out of range", { queue: 0, entries: [[2 ** 32 - 2, 72]] }, /id 4294967294/],
  ["an id beyond those posted", { queue: 0, entries: [[64, 72]] }, /id 64,/],
  ["an id that is returned twice", { queue: 0, entries: [[0, 72], [0, 72]] }, /id 0,/],
  ["an index far ahead", { queue: 0, entries: [], index: 30000 }, /index is 30000/],
  ["an index one too high", { queue: 0, entries: [], index: 65 }, /index is 65/],
  ["an index that decreases", { queue: 0, entries: [], index: 65535 }, /index is 65535/],
  ["a length of 0", { queue: 0, entries: [[0, 0]] }, /length of 0/],
  ["a length shorter than a header", { queue: 0, entries: [[0, 11]] }, /length of 11/],
  ["a length of a header", { queue: 0, entries: [[0, 12]] }, /length of 12/],
  ["a length beyond the buffer", { queue: 0, entries: [[0, 12 + 2049]] }, /length of 2061/],
  ["a length of 4 GiB", { queue: 0, entries: [[0, 2 ** 32 - 1]] }, /length of 4294967295/],
  ["an id within a chain", { queue: 1, entries: [[1, 0]] }, /id 1,/],
  ["an id that was not sent", { queue: 1, entries: [[8, 0]] }, /id 8,/],
  ["an id out of range in the transmit queue", { queue: 1, entries: [[4097, 0]] }, /id 4097/],
  [
    "an id that is returned twice in the transmit queue",
    { queue: 1, entries: [[0, 0], [0, 0]] },
    /id 0,/,
  ],
  ["an index beyond the sent packets", { queue: 1, entries: [], index: 5 }, /index is 5/],
];

Deno.test("VirtioDevice throws for invalid content of a used ring, and keeps its pool intact", async (t) => {
  const base = script(Feature.VERSION_1 | PROTOCOL_FEATURES, REPLY_ACK);
  await using directory = await TemporaryDirectory.make();
  const scripts = INVALID.map(([, nonsense]) => ({ ...base, nonsense }));
  await using backend = await Backend.start(directory, scripts);
  for (const [name, { queue }, sentence] of INVALID) {
    await t.step(name, async () => {
      using pool = new Mempool();
      {
        using device = await openVhost(backend.socket, {}, { pool, rxEntries: 64, txEntries: 64 });
        await sendAll(device, everySize().slice(0, 4));
        let error: unknown;
        await until("an error", () => {
          try {
            receiveAll(device);
            device.txQueues[0].reclaim();
          } catch (thrown) {
            error = thrown;
          }
          return error !== undefined;
        });
        const thrown = assertThrows(() => {
          throw error;
        }, DeviceError);
        for (
          const part of [/^vhost-user:.*backend\.sock: /, new RegExp(`queue ${queue}`), sentence]
        ) {
          if (!part.test(thrown.message)) throw new Error(`${thrown.message} lacks ${part}`);
        }
      }
      assertEquals(pool.freeCount, pool.buffers);
      await backend.requests();
    });
  }
  await backend.finish();
});

/**
 * Requests after a queue was started, and the number of buffers that the device has from then on.
 */
const STARTED: readonly RequestName[] = ["SET_VRING_ENABLE"], POSTED = 512;
/** Requests at which a back-end can fail, and the later one, if any, that detects the failure. */
const STEPS: readonly (readonly [request: RequestName, noticed?: RequestName])[] = [
  ["SET_OWNER", "GET_FEATURES"],
  ["GET_FEATURES"],
  ["GET_PROTOCOL_FEATURES"],
  ["SET_PROTOCOL_FEATURES", "SET_STATUS"],
  ["SET_STATUS"],
  ["SET_FEATURES"],
  ["GET_STATUS"],
  ["SET_MEM_TABLE"],
  ...QUEUE.map((name) => [name] as const),
  ["SET_VRING_ENABLE"],
];
const FAULTS: readonly (readonly [how: Fault, sentence: RegExp])[] = [
  ["close", /closed the connection during NAME: start it again$/],
  ["hang", /has not answered for 300 ms during NAME: start it again$/],
  ["refuse", /refused NAME \(1\): see its log$/],
  ["short", /answered NAME with 4 bytes: start it again$/],
  ["other", /answered NAME with request \d+, flags 5: start it again$/],
];

Deno.test("VhostUserTransport names the request at which a back-end failed, and how", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const cases = STEPS.flatMap(([name, noticed]) => {
    // Only a request with an answer can be answered wrongly; only an acknowledged one can be
    // refused.
    const possible = noticed ? ["close", "hang"] : FAULTS.map(([how]) => how);
    return FAULTS.filter(([how]) => possible.includes(how))
      .filter(([how]) => how !== "refuse" || name.startsWith("SET"))
      .map(([how, sentence]) => ({ name, how, sentence, noticed: noticed ?? name }));
  });
  const scripts = cases.map(({ name, how }) => {
    return { ...FULL, fault: { request: Request[name], how } };
  });
  await using backend = await Backend.start(directory, [...scripts, FULL]); // runs until the last
  const files = openFiles();
  for (const { name, how, sentence, noticed } of cases) {
    await t.step(`${name}: ${how}`, async () => {
      using pool = new Mempool();
      const open = () => openVhost(backend.socket, { milliseconds: SHORT_MS }, { pool });
      const ofSize = noticed === "SET_VRING_NUM" && ["close", "refuse"].includes(how);
      const { message, cause } = await assertRejects(open, ofSize ? UsageError : DeviceError);
      const said = ofSize ? (cause as Error).message : message;
      assertMatch(said, new RegExp(sentence.source.replace("NAME", noticed)));
      assertMatch(message, /^vhost-user:.*backend\.sock: the server of this device /);
      // Once a queue was started, the back-end may still use its buffers, even if it closes.
      const kept = STARTED.includes(noticed) && how !== "refuse";
      assertEquals(pool.freeCount, pool.buffers - (kept ? POSTED : 0));
      pool[Symbol.dispose]();
      assertEquals(openFiles(), files + (kept ? 1 : 0)); // a descriptor of the back-end's process
      await backend.requests();
    });
  }
  (await openVhost(backend.socket, {}, {})).close();
  await backend.requests();
  await backend.finish();
});

Deno.test("Buffers of a back-end that has closed return once it answers again, or has ended", async () => {
  await using directory = await TemporaryDirectory.make();
  const close = { ...FULL, fault: { request: Request.SET_VRING_ENABLE, how: "close" as const } };
  await using backend = await Backend.start(directory, [close, FULL, close, FULL, close]);
  const small = { buffers: 512 + 64, memory: "pages" } as const; // a ring's, and some
  using pool = new Mempool(small);
  const fail = (pool: Mempool) => {
    return assertRejects(() => openVhost(backend.socket, {}, { pool }), DeviceError, "closed");
  };
  await fail(pool);
  assertEquals([pool.freeCount, pool.abandoned], [pool.buffers - POSTED, POSTED]);
  // The next device needs the buffers, which its own connection sets free.
  (await openVhost(backend.socket, {}, { pool })).close();
  assertEquals([pool.freeCount, pool.abandoned], [pool.buffers, 0]);
  {
    using disposed = new Mempool(small);
    await fail(disposed);
  }
  (await openVhost(backend.socket, {}, { pool })).close();
  await fail(pool);
  for (let i = 0; i < 5; i++) await backend.requests();
  await backend.finish();
  await assertRejects(
    () => openVhost(backend.socket, {}, { pool }),
    UsageError,
    "start the server",
  );
  assertEquals([pool.freeCount, pool.abandoned], [pool.buffers, 0]);
});

Deno.test("ReconnectingDevice goes on with a back-end that closes the connection, in a small pool", async () => {
  await using directory = await TemporaryDirectory.make();
  const looped = { ...script(PROTOCOL_FEATURES, STATUS), loop: "straight" as const };
  const closes = { ...looped, fault: { request: Request.GET_STATUS, how: "close" as const } };
  await using backend = await Backend.start(directory, [closes, closes, looped]);
  using pool = new Mempool({ buffers: 128, memory: "pages" }); // for one full ring, not for two
  {
    const open = () => openVhost(backend.socket, {}, { pool, rxEntries: 64, txEntries: 64 });
    await using device = await ReconnectingDevice.open(open);
    const frames = everySize().slice(0, 24), received: Uint8Array[] = [], mac = device.macAddress();
    for (let i = 0; i < 24; i += 8) {
      await sendAll(device, frames.slice(i, i + 8));
      await until("packets to come back", () => {
        received.push(...receiveAll(device));
        return received.length === i + 8;
      });
      if (i === 16) break;
      await until("the end of the connection", () => {
        device.checkAlive();
        return !device.connected;
      });
      await device.waitForLink();
      assertEquals(pool.abandoned, 0);
    }
    assertEquals(received, frames);
    assertEquals(device.macAddress(), mac);
    const { rxPackets, txPackets, txLost } = device.statistics();
    assertEquals({ rxPackets, txPackets, txLost }, { rxPackets: 24, txPackets: 24, txLost: 0 });
  }
  assertEquals(pool.freeCount, pool.buffers);
  for (let i = 0; i < 3; i++) await backend.requests();
  await backend.finish();
});

Deno.test("VirtioDevice.checkAlive() throws if the back-end fails", async (t) => {
  const fault = (how: Fault) => ({ fault: { request: Request.GET_STATUS, how } });
  const modern = PROTOCOL_FEATURES | Feature.VERSION_1, legacy = PROTOCOL_FEATURES;
  const cases: [rule: string, script: Script, sentence: RegExp][] = [
    ["it closes", { ...script(legacy, STATUS), ...fault("close") }, /closed the connection/],
    ["it hangs", { ...script(legacy, STATUS), ...fault("hang") }, /300 ms during GET_STATUS/],
    ["it sends a short answer", { ...script(legacy, STATUS), ...fault("short") }, /with 4 bytes/],
    [
      "it sends a message without a request",
      { ...script(legacy, STATUS), ...fault("chatter") },
      /sent a message without a request/,
    ],
    ["it needs a reset", { ...script(modern, STATUS), status: 64 }, /cannot recover from/],
  ];
  await using directory = await TemporaryDirectory.make();
  await using backend = await Backend.start(directory, cases.map(([, script]) => script));
  for (const [rule, , sentence] of cases) {
    await t.step(rule, async () => {
      using pool = new Mempool();
      const { message } = await assertRejects(async () => {
        using device = await openVhost(backend.socket, { milliseconds: SHORT_MS }, { pool });
        await until("an error", () => {
          device.checkAlive();
          return false;
        });
      }, DeviceError);
      assertMatch(message, sentence);
      // A back-end that runs, but does not follow the protocol or has closed the connection, may still
      // use its buffers: chains of two descriptors.
      const stopped = /recover/.test(sentence.source);
      assertEquals(pool.freeCount, pool.buffers - (stopped ? 0 : POSTED));
      await backend.requests();
    });
  }
  await backend.finish();
});

Deno.test("VhostUserTransport refuses an interface or a socket that does not exist", async () => {
  await using directory = await TemporaryDirectory.make();
  const everything = script((1n << 64n) - 1n, (1n << 64n) - 1n);
  await using backend = await Backend.start(directory, [script(0n), everything]);
  using pool = new Mempool();
  const modern = () => openVhost(backend.socket, { virtio: "modern" }, { pool });
  await assertRejects(modern, UsageError, "use the legacy one");
  {
    // No feature that needs a configuration space, a control queue or an IOMMU.
    using device = await openVhost(backend.socket, { virtio: "legacy" }, { pool });
    assertEquals(featureNames(device.features), ["MRG_RXBUF", "ANY_LAYOUT", "IN_ORDER"]);
    assertEquals(device.linkStatus().up, true);
    const mac = device.macAddress();
    assertEquals([mac.length, mac[0] & 3], [6, 2]);
  }
  const none = () => openVhost(directory.file("none.sock"), {}, { pool });
  await assertRejects(none, UsageError, "start the server of this device first");
  assertEquals(pool.freeCount, pool.buffers);
  await backend.requests();
  await backend.requests();
  await backend.finish();
});

Deno.test("UnixStream throws if the server does not accept connections in time", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("full.sock"), kind = 1;
  const listener = stubs.ixy_bind(path(socket), kind);
  // The socket's backlog has room for some connections.
  const connections: UnixStream[] = [];
  const connect = () => {
    for (let i = 0; i < 100; i++) connections.push(new UnixStream("nic", socket, SHORT_MS));
  };
  assertThrows(connect, UsageError, "not accepted a connection for 300 ms");
  for (const connection of connections) connection.close();
  stubs.ixy_close(listener);
});
