/** A page attached to a software NIC that `fwd.ts` drives in another process. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { LiveBegin, LiveCommand, LiveState } from "../../../explorer/recording/live.ts";
import {
  descriptorSection,
  Layout,
  linkSection,
  OWNER,
  ownerSection,
  registerSection,
  RING,
  ringSection,
  statisticsSection,
} from "../../../explorer/recording/layout.ts";
import { LiveModel } from "../../../explorer/server/live/live_model.ts";
import { WebServer } from "../../../explorer/server/server.ts";
import { REGISTERS } from "../../../ixgbe/registers.ts";
import { parse } from "../../../programs/command_line.ts";
import { TemporaryDirectory } from "../../../programs/temporary_directory.ts";
import { SIM } from "../../../sim/options.ts";
import { UsageError } from "../../../src/errors.ts";
import { startProgram, stopProgram } from "../../support/programs.ts";

/** A page, as far as its state goes. */
class TestPage implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  layout = new Layout();
  cells = new Uint32Array(0);
  begins = 0;
  begin!: LiveBegin;
  state: LiveState | undefined;

  constructor({ url }: WebServer) {
    const address = new URL("live", url.replace("http", "ws"));
    const headers = { origin: new URL(url).origin };
    this.#socket = new WebSocket(address, { headers } as unknown as string[]);
    this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    this.#socket.onclose = () => this.#closed.resolve();
  }

  /** Resolves once the connection is closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Waits for a state that passes. */
  async until(wanted: (state: LiveState) => boolean): Promise<LiveState> {
    for (;;) {
      const { promise } = this.#changed;
      if (this.state !== undefined && wanted(this.state)) return this.state;
      await promise;
    }
  }

  send(type: LiveCommand["type"]): void {
    this.#socket.send(JSON.stringify({ type }));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  /** Returns the cells of a section. */
  view(section: string): Uint32Array {
    return this.layout.view(this.cells, section);
  }

  #hear(message: LiveBegin | LiveState): void {
    if (message.type === "begin") {
      this.begins++;
      this.begin = message;
      this.layout = new Layout(message.sections);
      this.cells = Uint32Array.from(message.state);
      return;
    }
    this.state = message;
    for (let i = 0; i < message.cells.length; i += 2) {
      this.cells[message.cells[i]] = message.cells[i + 1];
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}

/** Returns options for two ports with generators. */
function twoPorts(directory: TemporaryDirectory, rate = 20_000): ReturnType<typeof SIM.plan> {
  const ports = ["a", "b"].flatMap((name) => [
    ...["--socket", directory.file(name), "--wire", `generator:rate=${rate}`],
  ]);
  return parse(SIM, ports)!;
}

async function serveModel(model: LiveModel): Promise<WebServer> {
  const site = new Map([["index.html", new Uint8Array()]]);
  return await WebServer.start(site, 0, (socket) => model.take(socket));
}

Deno.test("a page sees what the device of a live run knows, and pauses the device", async () => {
  await using directory = await TemporaryDirectory.make();
  const options = twoPorts(directory);
  await using model = await LiveModel.start(options);
  await using server = await serveModel(model);
  await using page = new TestPage(server);
  const idle = await page.until(() => true);
  assertEquals(idle.connected, [false, false]);
  assertEquals(page.begin.device, "82599");
  assertEquals(page.begin.ports, ["a", "b"].map((name) => `vfio-user:${directory.file(name)}`));
  assertEquals(page.view(ringSection(0, "rx", 0)).length, 0);

  const fwd = await startProgram("fwd.ts", page.begin.ports);
  const busy = await page.until(({ connected, counters }) =>
    connected.every(Boolean) && counters.every(({ transmitted }) => transmitted > 1000)
  );
  assertEquals(busy.violations, []);
  assertEquals([...page.view(linkSection(0))], [1, 10_000]);
  const ctrl = page.view(registerSection(0))[REGISTERS.RXCTRL.offset / 4];
  assertEquals(ctrl & REGISTERS.RXCTRL.RXEN, REGISTERS.RXCTRL.RXEN);
  const sent = page.begin.statistics.indexOf("GPTC");
  assert(page.view(statisticsSection(1))[sent] > 0);

  page.send("pause");
  await page.until(({ paused }) => paused);
  const { counters } = await settled(page);
  for (const ring of ["rx", "tx"] as const) checkRing(page, ring);
  await using second = new TestPage(server); // sees the same, from its own beginning
  const same = await second.until(() => true);
  assertEquals(same.counters, counters);
  assertEquals([...second.cells], [...page.cells]);

  page.send("round");
  const after = await page.until((state) => state.counters[0].received !== counters[0].received);
  assert(after.paused);
  const taken = after.counters[0].received - counters[0].received;
  assert(taken <= 64, `${taken} frames in one round`);

  page.send("resume");
  await page.until((state) => state.counters[0].received > counters[0].received + 1000);
  await stopProgram(fwd);
  await page.until(({ connected }) => !connected.some(Boolean));
  await page.until(() => page.view(ringSection(0, "rx", 0)).length === 0);
  assert(page.begins >= 3); // before, with, and after the driver's rings
});

/** Waits until two states have the same counts. */
async function settled(page: TestPage): Promise<LiveState> {
  for (;;) {
    const { seconds, counters } = page.state!;
    const next = await page.until((state) => state.seconds > seconds);
    if (JSON.stringify(next.counters) === JSON.stringify(counters)) return next;
  }
}

/** Asserts that owners agree with head and tail. */
function checkRing(page: TestPage, ring: "rx" | "tx"): void {
  const cells = page.view(ringSection(0, ring, 0)), owners = page.view(ownerSection(0, ring, 0));
  const size = owners.length, { [RING.HEAD]: head, [RING.TAIL]: tail } = cells;
  assertEquals(cells[RING.RUNS], 1);
  assertEquals(page.view(descriptorSection(0, ring, 0)).length, size * 4);
  for (let i = head; i !== tail; i = (i + 1) % size) assertEquals(owners[i], OWNER.DEVICE, `${i}`);
  if (ring === "tx") return;
  const ours = owners.filter((owner) => owner === OWNER.DEVICE).length;
  assertEquals(ours, (tail - head + size) % size);
}

Deno.test("a page that never reads does not disturb the others, nor does one that sends nonsense", async () => {
  await using directory = await TemporaryDirectory.make();
  await using model = await LiveModel.start(twoPorts(directory));
  await using server = await serveModel(model);
  const { host, port } = new URL(server.url);
  using silent = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  const request = [
    ...["GET /live HTTP/1.1", `Host: ${host}`, `Origin: http://${host}`, "Connection: Upgrade"],
    ...[
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
  ];
  await silent.write(new TextEncoder().encode([...request, "", ""].join("\r\n")));
  await using page = new TestPage(server);
  for (const text of ["", "{", "null", "[]", '{"type":"quit"}', "x".repeat(1000)]) {
    await using rude = new TestPage(server);
    await rude.until(() => true);
    rude.sendText(text);
    await rude.closed;
  }
  const { seconds } = await page.until(() => true);
  await page.until((state) => state.seconds > seconds);
});

Deno.test("a device that was paused goes on once no page looks on", async () => {
  await using directory = await TemporaryDirectory.make();
  await using model = await LiveModel.start(twoPorts(directory));
  await using server = await serveModel(model);
  {
    await using first = new TestPage(server);
    await first.until(() => true);
    first.send("pause");
    await first.until(({ paused }) => paused);
    await using second = new TestPage(server);
    await second.until(() => true);
    await first[Symbol.asyncDispose]();
    second.send("round"); // its answer shows that the server has seen the end of the first page
    const { seconds } = second.state!;
    assert((await second.until((state) => state.seconds > seconds)).paused);
  }
  await using page = new TestPage(server);
  await page.until(({ paused }) => !paused);
});

Deno.test("the end of the model closes the pages, and removes the sockets", async () => {
  await using directory = await TemporaryDirectory.make();
  const model = await LiveModel.start(twoPorts(directory));
  await using server = await serveModel(model);
  await using page = new TestPage(server);
  await page.until(() => true);
  await model[Symbol.asyncDispose]();
  await page.closed;
  await model.ended;
  assertEquals([...Deno.readDirSync(directory.path)], []);
});

Deno.test("LiveModel.start() refuses a port that cannot be opened", async () => {
  await using directory = await TemporaryDirectory.make();
  const options = parse(SIM, ["--socket", directory.file("none/a.sock")])!;
  await assertRejects(() => LiveModel.start(options), UsageError, "none/a.sock");
});
