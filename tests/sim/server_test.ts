/**
 * The vfio-user server of the NIC model, with a client that sends bytes on a socket.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { UsageError } from "../../src/errors.ts";
import { BAR0_BYTES, CONFIG_BYTES } from "../../sim/pci/config_space.ts";
import { Server } from "../../sim/pci/server.ts";
import { Command } from "../../sim/pci/connection.ts";
import { Hugepages } from "../support/hugepages.ts";

const CONFIG = 7;
const POSTED = 0x10;
const ERROR = 0x21;
/** Request of ioctl(2): sets or clears O_NONBLOCK. */
const FIONBIO = 0x5421;
const MAC = new Uint8Array([2, 0x69, 0x78, 0x79, 0, 7]);
const VERSION_JSON = '{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}\0';

/** A model with registers that keep their values, and a record of the server's other calls. */
class FakeModel {
  readonly registers = new Uint32Array(BAR0_BYTES / 4);
  readonly events: string[] = [];
  readonly ranges = new Map<number, Uint8Array>();
  readonly dma = {
    map: (iova: number, memory: ArrayBuffer, offset: number, bytes: number) => {
      this.ranges.set(iova, new Uint8Array(memory, offset, bytes));
    },
    unmap: (iova: number) => this.ranges.delete(iova),
  };
  read32(offset: number): number {
    this.events.push(`read ${offset}`);
    return this.registers[offset / 4];
  }
  write32(offset: number, value: number): void {
    this.registers[offset / 4] = value;
  }
  setBusMaster(on: boolean): void {
    this.events.push(`bus master ${on}`);
  }
  reset(kind: string): void {
    this.events.push(`reset ${kind}`);
  }
  disconnect(): void {
    this.events.push("disconnect");
  }
}

interface Reply {
  readonly id: number;
  readonly flags: number;
  readonly errno: number;
  readonly body: DataView;
  readonly fds: number[];
}

/** A client: a socket, and messages of header and body. */
class RawClient {
  readonly fd: number;
  readonly #server: Server;
  #id = 0;

  constructor(server: Server) {
    this.#server = server;
    this.fd = stubs.ixy_connect(path(server.path), 1);
    assert(this.fd >= 0);
    server.poll();
  }

  message(command: number, body: Uint8Array, flags = 0, size = 16 + body.length): Uint8Array {
    const bytes = new Uint8Array(16 + body.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, ++this.#id, true);
    view.setUint16(2, command, true);
    view.setUint32(4, size, true);
    view.setUint32(8, flags, true);
    bytes.set(body, 16);
    return bytes;
  }

  send(bytes: Uint8Array, fds: number[] = []): void {
    const message = Uint8Array.from(bytes);
    const n = stubs.ixy_send(this.fd, message, message.length, Int32Array.from(fds), fds.length, 0);
    assertEquals(n, message.length);
  }

  /** Returns what the server has sent: a reply, nothing yet, or the end. */
  receive(): Reply | "nothing" | "end" {
    const bytes = new Uint8Array(8192);
    const fds = new Int32Array(17);
    const n = stubs.ixy_recv(this.fd, bytes, bytes.length, fds, 0x40);
    if (n === -Errno.EAGAIN) return "nothing";
    if (n <= 0) return "end";
    const view = new DataView(bytes.buffer, 0, n);
    assertEquals(view.getUint32(4, true), n, "a reply has the size in its header");
    return {
      id: view.getUint16(0, true),
      flags: view.getUint32(8, true),
      errno: view.getUint32(12, true),
      body: new DataView(bytes.buffer, 16, n - 16),
      fds: [...fds.subarray(0, fds[16])],
    };
  }

  call(command: number, body: Uint8Array, fds: number[] = []): Reply {
    this.send(this.message(command, body), fds);
    this.#server.poll();
    const reply = this.receive();
    if (typeof reply === "string") throw new Error(`no reply to command ${command}: ${reply}`);
    assertEquals(reply.id, this.#id);
    return reply;
  }

  version(text = VERSION_JSON): Reply {
    return this.call(Command.VERSION, new TextEncoder().encode("\0\0\0\0" + text));
  }

  read(region: number, offset: number, count: number): Reply {
    return this.call(Command.REGION_READ, words([offset, 0, region, count]));
  }

  write(region: number, offset: number, data: number[]): Reply {
    const body = [...words([offset, 0, region, data.length]), ...data];
    return this.call(Command.REGION_WRITE, Uint8Array.from(body));
  }

  config32(offset: number): number {
    return this.read(CONFIG, offset, 4).body.getUint32(16, true);
  }

  close(): void {
    stubs.ixy_close(this.fd);
  }
}

function words(values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

interface Bench {
  readonly model: FakeModel;
  readonly server: Server;
  readonly log: string[];
  readonly doorbells: Mapping;
}

/** Runs a test with a server and a fake model; afterwards no descriptor may be open. */
function withServer(test: (bench: Bench) => void, share = true): void {
  const directory = Deno.makeTempDirSync();
  const before = openFiles();
  const model = new FakeModel();
  const log: string[] = [];
  const doorbells = Mapping.memory(BAR0_BYTES, false);
  const server = new Server({
    path: `${directory}/nic.sock`,
    model,
    deviceId: 0x10fb,
    mac: MAC,
    doorbells: share ? doorbells : undefined,
    log: (line) => log.push(line),
  });
  try {
    test({ model, server, log, doorbells });
  } finally {
    server.close();
    doorbells.unmap();
  }
  assertEquals(openFiles(), before, "descriptors left open");
  assertEquals([...Deno.readDirSync(directory)], [], "the socket is removed");
  Deno.removeSync(directory);
}

function connected(server: Server): RawClient {
  const client = new RawClient(server);
  client.version();
  return client;
}

Deno.test("Server answers VERSION with no more bytes than the request has", () => {
  for (const json of [VERSION_JSON, "{}\0", ""]) {
    withServer(({ server }) => {
      const client = new RawClient(server);
      const reply = client.version(json);
      assertEquals(reply.flags, 1);
      assert(reply.body.byteLength <= 4 + json.length);
      const text = new TextDecoder().decode(new Uint8Array(reply.body.buffer, 20, json.length));
      if (json === VERSION_JSON) {
        const { capabilities } = JSON.parse(text.slice(0, text.indexOf("\0")));
        assertEquals(capabilities, { max_msg_fds: 16, max_dma_maps: 16384 });
      }
      client.close();
    });
  }
});

Deno.test("Server ends a connection that does not begin with VERSION", () => {
  withServer(({ server, log }) => {
    const client = new RawClient(server);
    client.send(client.message(Command.DEVICE_RESET, new Uint8Array(0)));
    server.poll();
    assertEquals(client.receive(), "end");
    assertEquals(log.length, 1);
    client.close();
  });
});

Deno.test("Server shows an 82599 in configuration space", () => {
  withServer(({ server }) => {
    const client = connected(server);
    const { body } = client.read(CONFIG, 0, CONFIG_BYTES);
    const at = (offset: number) => body.getUint32(16 + offset, true);
    assertEquals(at(0), 0x10fb8086);
    assertEquals(at(8) >>> 16, 0x0200);
    const found: number[] = [];
    for (let cap = at(0x34) & 0xff; cap !== 0; cap = at(cap) >>> 8 & 0xff) {
      found.push(at(cap) & 0xff);
    }
    assertEquals(found, [0x01, 0x05, 0x11, 0x10], "PM, MSI, MSI-X and PCI Express");
    assertEquals(at(0x70) >>> 16 & 0x7ff, 63);
    assertEquals([at(0x144), at(0x148)], [0xff790007, 0x026978ff], "serial number: the MAC");
    client.close();
  });
});

Deno.test("Server shows the size of a BAR after a write of ones", () => {
  withServer(({ server }) => {
    const client = connected(server);
    for (const [offset, size] of [[0x10, BAR0_BYTES], [0x20, 16384]]) {
      client.write(CONFIG, offset, [0xff, 0xff, 0xff, 0xff]);
      assertEquals(-(client.config32(offset) & ~0xf), size);
    }
    client.write(CONFIG, 0, [1, 2, 3, 4]);
    assertEquals(client.config32(0), 0x10fb8086, "ids are read-only");
    client.close();
  });
});

Deno.test("Server passes bus mastering and function level reset on", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    client.write(CONFIG, 4, [6, 0]);
    assertEquals(model.events, ["bus master true"]);
    client.write(CONFIG, 0xa8, [0x10, 0xa8]);
    assertEquals(model.events, ["bus master true", "bus master false", "reset function"]);
    assertEquals(client.config32(0xa8) >>> 15 & 1, 0, "the reset bit reads as 0");
    client.write(CONFIG, 4, [6, 0]);
    client.call(Command.DEVICE_RESET, new Uint8Array(0));
    assertEquals(model.events.at(-1), "reset function");
    assertEquals(client.config32(4) & 6, 0);
    client.close();
  });
});

Deno.test("Server reads and writes registers in pieces of 1, 2, 4 and 8 bytes", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    client.write(0, 0x20, [1, 2, 3, 4, 5, 6, 7, 8]);
    assertEquals([...model.registers.subarray(8, 10)], [0x04030201, 0x08070605]);
    assertEquals(client.read(0, 0x20, 8).body.getBigUint64(16, true), 0x0807060504030201n);
    assertEquals(client.read(0, 0x22, 2).body.getUint16(16, true), 0x0403);
    assertEquals(client.read(0, 0x23, 1).body.getUint8(16), 4);
    client.write(0, 0x21, [0xaa]);
    assertEquals(model.registers[8], 0x0403aa01);
    client.close();
  });
});

Deno.test("Server does not reply to a posted write", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const body = words([0x40, 0, 0, 4, 77]);
    client.send(client.message(Command.REGION_WRITE, body, POSTED));
    server.poll();
    assertEquals(client.receive(), "nothing");
    assertEquals(model.registers[16], 77);
    client.close();
  });
});

Deno.test("Server answers invalid requests with an error, and continues", () => {
  withServer(({ server, log }) => {
    const client = connected(server);
    const wrong: [number, Uint8Array, number][] = [
      [Command.REGION_READ, words([BAR0_BYTES, 0, 0, 4]), Errno.EINVAL],
      [Command.REGION_READ, words([0, 1, 0, 4]), Errno.EINVAL],
      [Command.REGION_READ, words([2, 0, 0, 4]), Errno.EINVAL],
      [Command.REGION_READ, words([0, 0, 2, 4]), Errno.EINVAL],
      [Command.REGION_READ, words([0, 0, 9, 4]), Errno.EINVAL],
      [Command.REGION_READ, words([0, 0]), Errno.EINVAL],
      [Command.REGION_WRITE, words([0, 0, 0, 8, 1]), Errno.EINVAL],
      [Command.DMA_MAP, words([32, 3]), Errno.EINVAL],
      [Command.DEVICE_GET_REGION_INFO, words([32, 0, 9, 0, 0, 0, 0, 0]), Errno.EINVAL],
      [Command.DEVICE_GET_IRQ_INFO, words([16, 0, 5, 0]), Errno.EINVAL],
      [Command.DEVICE_SET_IRQS, words([20, 0x24, 2, 60, 5]), Errno.EINVAL],
      [99, new Uint8Array(0), 95],
    ];
    for (const [command, body, errno] of wrong) {
      const reply = client.call(command, body);
      assertEquals([reply.flags, reply.errno], [ERROR, errno], `command ${command}`);
    }
    assert(log.length > 0 && log.length <= 10, "some lines, but a limited number");
    assertEquals(client.config32(0), 0x10fb8086);
    client.close();
  });
});

Deno.test("Server assembles messages that come in pieces", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const first = client.message(Command.REGION_WRITE, words([0x44, 0, 0, 4, 5]), POSTED);
    const second = client.message(Command.REGION_READ, words([0x44, 0, 0, 4]));
    for (const byte of [...first, ...second]) {
      assertEquals(client.receive(), "nothing");
      client.send(Uint8Array.of(byte));
      server.poll();
    }
    const reply = client.receive();
    if (typeof reply !== "object") throw new Error(`no reply: ${reply}`);
    assertEquals(reply.body.getUint32(16, true), 5);
    client.send(Uint8Array.from([...first, ...second]));
    server.poll();
    assert(typeof client.receive() === "object", "two messages at once");
    assertEquals(model.registers[17], 5);
    client.close();
  });
});

Deno.test("Server leaves messages for its next turn after a long one", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const resets: number[] = [];
    model.reset = () => {
      const end = performance.now() + 2;
      while (performance.now() < end);
      resets.push(resets.length);
    };
    const posted = client.message(Command.DEVICE_RESET, new Uint8Array(0), POSTED);
    const last = client.message(Command.DEVICE_RESET, new Uint8Array(0));
    // The last message is complete only after the others have had their turns.
    client.send(Uint8Array.of(...posted, ...posted, ...posted, ...last.subarray(0, 9)));
    for (let turn = 1; turn <= 3; turn++) {
      assertEquals([server.poll(), resets.length], [true, turn]);
    }
    assertEquals(server.poll(), false);
    client.send(last.subarray(9));
    assertEquals([server.poll(), resets.length], [true, 4]);
    assertEquals((client.receive() as Reply).flags, 1);
    client.close();
  });
});

Deno.test("Server disconnects a client that sends anything but messages, and takes the next", () => {
  for (const size of [0, 15, 0x7fffffff]) {
    withServer(({ server, log }) => {
      const client = connected(server);
      client.send(client.message(Command.DEVICE_RESET, new Uint8Array(0), 0, size));
      server.poll();
      assertEquals(client.receive(), "end");
      assertEquals(log.length, 1);
      client.close();
      connected(server).close();
    });
  }
});

Deno.test("Server refuses VERSION with text that is not JSON", () => {
  withServer(({ server }) => {
    const client = new RawClient(server);
    assertEquals(client.version("{capabilities\0").errno, Errno.EINVAL);
    assertEquals(client.version().flags, 1);
    client.close();
  });
});

Deno.test("Server maps and unmaps the client's memory", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const memory = Mapping.memory(65536, false);
    const bytes = new Uint8Array(memory.buffer);
    const map = (iova: number, size: number, offset = 0) =>
      client.call(Command.DMA_MAP, words([32, 3, offset, 0, iova, 1, size, 0]), [memory.fd]).errno;
    const unmap = (iova: number, size: number) =>
      client.call(Command.DMA_UNMAP, words([24, 0, iova, 1, size, 0]));

    assertEquals(map(0x10000, 8192, 4096), 0);
    bytes[4096 + 5] = 99;
    assertEquals(model.ranges.get(0x100010000)![5], 99);
    assertEquals(map(0x11000, 4096), 17, "overlaps");
    assertEquals(map(0x20000, 65536, 4096), Errno.EINVAL, "beyond the file's end");
    assertEquals(map(0x20000, 100), Errno.EINVAL, "not whole pages");
    assertEquals(map(0x20000, 4096), 0);
    assertEquals(unmap(0x10000, 4096).errno, Errno.EINVAL, "half of a range");
    const reply = unmap(0x00000, 0x30000);
    assertEquals([reply.errno, reply.body.byteLength], [0, 24]);
    assertEquals(model.ranges.size, 0);
    assertEquals(unmap(0x70000, 4096).errno, 0, "never mapped");
    const noFile = client.call(Command.DMA_MAP, words([32, 1, 0, 0, 0x90000, 0, 4096, 0]));
    assertEquals(noFile.errno, 0, "memory without a descriptor");
    client.close();
    memory.unmap();
  });
});

Deno.test({
  name: "Server maps hugepages only whole, and outlives a client that maps part of one",
  ignore: Deno.uid() !== 0,
  fn: () =>
    withServer(({ server }) => {
      using _pages = new Hugepages(1);
      const client = connected(server);
      const memory = Mapping.memory(HUGEPAGE, true);
      const call = (command: number, size: number, fds: number[] = [], offset = 0) =>
        client.call(command, words([32, 3, offset, 0, 0, 1, size, 0]), fds).errno;
      assertEquals(call(Command.DMA_MAP, 4096, [memory.fd]), Errno.EINVAL);
      assertEquals(call(Command.DMA_MAP, 4096, [memory.fd], 4096), Errno.EINVAL);
      assertEquals(server.ranges, 0);
      assertEquals(call(Command.DMA_MAP, HUGEPAGE, [memory.fd]), 0);
      const unmap = client.call(Command.DMA_UNMAP, words([24, 0, 0, 1, HUGEPAGE, 0]));
      assertEquals([unmap.errno, server.ranges], [0, 0]);
      client.close();
      memory.unmap();
    }),
});

Deno.test("Server records no DMA range that it refuses, at the limits of addresses and numbers", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const memory = Mapping.memory(4096, false);
    const map = (iova: bigint, bytes = 4096n) => {
      const body = new DataView(new ArrayBuffer(32));
      body.setUint32(0, 32, true);
      body.setUint32(4, 3, true);
      body.setBigUint64(16, iova, true);
      body.setBigUint64(24, bytes, true);
      return client.call(Command.DMA_MAP, new Uint8Array(body.buffer), [memory.fd]).errno;
    };
    const end = 2n ** 53n;
    for (const iova of [end - 4096n, end, 2n ** 64n - 4096n]) {
      assertEquals(map(iova), Errno.EINVAL);
      assertEquals(server.ranges, 0);
    }
    assertEquals(map(end - 8192n), 0);
    model.dma.map = () => {
      throw new RangeError("the model refuses");
    };
    assertEquals(map(0n), Errno.EINVAL);
    assertEquals(server.ranges, 1);
    model.dma.map = () => {};
    // In an order that no search by halves has sorted.
    for (let i = 0; i < 16383; i++) {
      const iova = BigInt(i * 1021 % 16383) * 8192n;
      assertEquals(map(iova), 0);
      if (i === 1000) assertEquals(map(iova), 17, "overlaps");
    }
    assertEquals(map(1n << 40n), 28, "one too many");
    assertEquals(server.ranges, 16384);
    const unmap = (first: number, count: number) => {
      const body = new Uint8Array(Uint32Array.of(24, 0, first * 8192, 0, count * 8192, 0).buffer);
      return client.call(Command.DMA_UNMAP, body).errno;
    };
    assertEquals([unmap(0, 1000), server.ranges], [0, 15384]);
    assertEquals([unmap(1000, 15383), server.ranges], [0, 1]);
    assertEquals([unmap(0, 4000), server.ranges], [0, 1]);
    client.close();
    memory.unmap();
  });
});

Deno.test("Server refuses a DMA range of more than 1 TiB in all", () => {
  withServer(({ server, model }) => {
    const client = connected(server);
    const file = Deno.makeTempFileSync({ dir: "/dev/shm" });
    Deno.truncateSync(file, 2 ** 40 + 4096);
    const fd = stubs.ixy_open(path(file), 2, 0);
    Deno.removeSync(file);
    const map = (low: number, high: number, iova: number) =>
      client.call(Command.DMA_MAP, words([32, 3, 0, 0, 0, iova, low, high]), [fd]).errno;
    assertEquals(map(4096, 256, 0), 28);
    assertEquals(map(0, 256, 0), 0);
    assertEquals(map(4096, 0, 512), 28);
    client.call(Command.DMA_UNMAP, words([24, 0, 0, 0, 0, 256]));
    assertEquals([map(4096, 0, 512), model.ranges.size], [0, 1]);
    stubs.ixy_close(fd);
    client.close();
  });
});

Deno.test("Server refuses a DMA range of anything but a regular file", () => {
  withServer(({ server }) => {
    const client = connected(server);
    const map = (fd: number) =>
      client.call(Command.DMA_MAP, words([32, 3, 0, 0, 0, 1, 4096, 0]), [fd]).errno;
    const zero = stubs.ixy_open(path("/dev/zero"), 2, 0), eventfd = stubs.ixy_eventfd();
    for (const fd of [zero, eventfd]) {
      assertEquals(map(fd), Errno.EINVAL);
      stubs.ixy_close(fd);
    }
    client.close();
  });
});

Deno.test("Server ends the connection of a client whose request fails, and takes the next", () => {
  withServer(({ server, model, log }) => {
    const client = connected(server);
    model.write32 = () => {
      throw new SystemError("munmap", Errno.EINVAL);
    };
    client.send(client.message(Command.REGION_WRITE, words([0, 0, 0, 4, 1])));
    server.poll();
    assertEquals([server.connected, client.receive()], [false, "end"]);
    assertEquals(log.length, 1);
    client.close();
    const next = connected(server);
    assertEquals(next.config32(0), 0x10fb8086);
    next.close();
  });
});

Deno.test("Server releases everything when the client disconnects", () => {
  withServer(({ server, model, log }) => {
    const client = connected(server);
    const memory = Mapping.memory(4096, false);
    const eventfd = stubs.ixy_eventfd();
    client.call(Command.DMA_MAP, words([32, 3, 0, 0, 0x1000, 0, 4096, 0]), [memory.fd]);
    client.call(Command.DEVICE_SET_IRQS, words([20, 0x24, 2, 0, 1]), [eventfd]);
    client.write(CONFIG, 4, [6, 0]);
    // A descriptor with half a message is closed, too.
    client.send(client.message(Command.DMA_MAP, words([32]), 0, 48), [eventfd]);
    server.poll();
    client.close();
    server.poll();
    assertEquals(server.connected, false);
    assertEquals(server.ranges, 0);
    assertEquals(model.ranges.size, 0);
    assertEquals(model.events, ["bus master true", "disconnect", "bus master false"]);
    assertEquals(log, [], "a disconnect is not a fault");
    stubs.ixy_close(eventfd);
    memory.unmap();
    const next = connected(server);
    assertEquals(next.config32(4) & 6, 0);
    next.close();
  });
});

Deno.test("Server shares the pages of tail registers", () => {
  withServer(({ server, doorbells }) => {
    const client = connected(server);
    const ask = (argsz: number) =>
      client.call(Command.DEVICE_GET_REGION_INFO, words([argsz, 0, 0, 0, 0, 0, 0, 0]));
    const small = ask(32);
    assertEquals([small.body.byteLength, small.fds.length], [32, 0]);
    const argsz = small.body.getUint32(0, true);
    assert(argsz > 32);
    assertEquals(small.body.getUint32(12, true), 0);
    const { body, fds } = ask(argsz);
    assertEquals([body.byteLength, body.getUint32(4, true)], [argsz, 0xf]);
    assertEquals(body.getUint16(32, true), 1);
    const areas = Array.from({ length: body.getUint32(40, true) }, (_, i) => {
      return [body.getUint32(48 + i * 16, true), body.getUint32(56 + i * 16, true)];
    });
    assertEquals(areas, [[0x1000, 0x1000], [0x6000, 0x2000], [0xd000, 0x1000]]);

    const mapping = Mapping.file("doorbells", fds[0], 0x2000, body.getUint32(24, true) + 0x6000);
    const tails = new Uint32Array(mapping.buffer);
    tails[0x18 / 4] = 11;
    assertEquals(new Uint32Array(doorbells.buffer)[0x6018 / 4], 11);
    stubs.ixy_close(fds[0]);
    mapping.unmap();
    client.close();
  });
});

Deno.test("Server shares no pages without doorbells", () => {
  withServer(({ server }) => {
    const client = connected(server);
    const reply = client.call(
      Command.DEVICE_GET_REGION_INFO,
      words([4096, 0, 0, 0, 0, 0, 0, 0]),
    );
    assertEquals([reply.body.byteLength, reply.body.getUint32(4, true)], [32, 3]);
    assertEquals(reply.fds, []);
    client.close();
  }, false);
});

Deno.test("Server interrupts through the eventfd assigned last", () => {
  withServer(({ server }) => {
    const client = connected(server);
    const fds = [stubs.ixy_eventfd(), stubs.ixy_eventfd(), stubs.ixy_eventfd()];
    const count = (fd: number) => {
      const value = new BigUint64Array(1);
      return stubs.ixy_read(fd, value, 8) === 8 ? Number(value[0]) : 0;
    };
    const set = (values: number[], sent: number[]) =>
      assertEquals(client.call(Command.DEVICE_SET_IRQS, words([20, ...values]), sent).errno, 0);
    set([0x24, 2, 3, 2], [fds[0], fds[1]]);
    server.interrupt(4);
    server.interrupt(4);
    server.interrupt(5);
    assertEquals(fds.map(count), [0, 2, 0]);
    set([0x24, 2, 4, 1], [fds[2]]);
    server.interrupt(4);
    assertEquals(fds.map(count), [0, 0, 1]);
    set([0x21, 2, 0, 0], []);
    server.interrupt(3);
    assertEquals(fds.map(count), [0, 0, 0]);
    for (const fd of fds) stubs.ixy_close(fd);
    client.close();
  });
});

Deno.test("Server does not wait for room in a client's eventfd", () => {
  withServer(({ server }) => {
    const client = connected(server);
    const eventfd = stubs.ixy_eventfd();
    const flag = (nonblocking: number) =>
      assertEquals(stubs.ixy_ioctl(eventfd, FIONBIO, Int32Array.of(nonblocking)), 0);
    const fill = () => stubs.ixy_write(eventfd, BigUint64Array.of(2n ** 64n - 2n), 8);
    flag(0);
    assertEquals(fill(), 8);
    const set = (flags: number) =>
      client.call(Command.DEVICE_SET_IRQS, words([20, flags, 2, 0, 1]), flags & 4 ? [eventfd] : []);
    assertEquals(set(0x24).errno, 0);
    assertEquals(fill(), -Errno.EAGAIN, "the server has made it nonblocking");
    server.interrupt(0);
    assertEquals(set(0x21).errno, 0, "a trigger");
    flag(0); // the client shares the flag
    server.interrupt(0);
    const count = new BigUint64Array(1);
    assertEquals([stubs.ixy_read(eventfd, count, 8), count[0]], [8, 2n ** 64n - 2n]);
    server.interrupt(0);
    assertEquals([stubs.ixy_read(eventfd, count, 8), count[0]], [8, 1n]);
    stubs.ixy_close(eventfd);
    client.close();
  });
});

Deno.test("Server refuses descriptors that could block it, or keep a dead client alive", () => {
  withServer(({ server, log }) => {
    const client = connected(server);
    const memory = Mapping.memory(4096, false);
    const reply = client.call(Command.DEVICE_SET_IRQS, words([20, 0x24, 2, 0, 1]), [memory.fd]);
    assertEquals(reply.errno, Errno.EINVAL);
    memory.unmap();
    client.send(client.message(Command.DEVICE_SET_IRQS, words([20]), 0, 36), [client.fd]);
    server.poll();
    assertEquals([server.connected, log.length], [false, 2]);
    client.close();
  });
});

Deno.test("Server has one client at a time, and disconnects a second at once", () => {
  withServer(({ server }) => {
    const first = connected(server);
    const second = new RawClient(server);
    for (let i = 0; i < 100; i++) server.poll();
    assertEquals(second.receive(), "end");
    assertEquals(first.config32(0), 0x10fb8086);
    second.close();
    first.close();
    for (let i = 0; i < 2; i++) server.poll();
    connected(server).close();
  });
});

/** Makes a FIFO ("p"), or a character device without a driver ("c"). */
function makeNode(at: string, kind: string): void {
  const numbers = kind === "c" ? ["240", "77"] : [];
  const { success } = new Deno.Command("mknod", { args: [at, kind, ...numbers] }).outputSync();
  assert(success);
}

Deno.test("Server removes its own socket, and not one that another process has bound since", () => {
  const directory = Deno.makeTempDirSync();
  const at = `${directory}/nic.sock`;
  const options = { path: at, model: new FakeModel(), deviceId: 1, mac: MAC, log: () => {} };
  const server = new Server(options);
  Deno.removeSync(at);
  const other = stubs.ixy_bind(path(at), 1);
  server.close();
  assertEquals(Deno.lstatSync(at).isSocket, true);
  stubs.ixy_close(other);
  const gone = new Server(options);
  Deno.removeSync(at);
  gone.close();
  Deno.removeSync(directory);
});

Deno.test("Server replaces only a dead socket", () => {
  const directory = Deno.makeTempDirSync();
  const at = `${directory}/nic.sock`;
  const options = { path: at, model: new FakeModel(), deviceId: 1, mac: MAC, log: () => {} };
  const dead = stubs.ixy_bind(path(at), 1);
  assertThrows(() => new Server(options), UsageError, "another process");
  stubs.ixy_close(dead);
  new Server(options).close();
  Deno.writeTextFileSync(at, "precious");
  assertThrows(() => new Server(options), UsageError, "not a socket");
  assertEquals(Deno.readTextFileSync(at), "precious");
  Deno.removeSync(at);
  const targets: readonly (() => void)[] = [
    () => Deno.symlinkSync(`${directory}/dead.sock`, at),
    () => Deno.mkdirSync(at),
    ...(Deno.uid() === 0 ? ["p", "c"] : ["p"]).map((kind) => () => makeNode(at, kind)),
  ];
  stubs.ixy_close(stubs.ixy_bind(path(`${directory}/dead.sock`), 1));
  for (const make of targets) {
    make();
    const { ino } = Deno.lstatSync(at);
    assertThrows(() => new Server(options), UsageError, "not a socket");
    assertEquals(Deno.lstatSync(at).ino, ino);
    Deno.removeSync(at);
  }
  assertThrows(
    () => new Server({ ...options, path: `${directory}/none/nic.sock` }),
    UsageError,
    "no such file",
  );
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("Server.fail() ends the client, and the next one finds the port reset", () => {
  withServer(({ model, server, log }) => {
    assertEquals(server.fail(new RangeError("out of bounds")), false, "there is no client");
    const client = connected(server);
    assertEquals(server.fail(new RangeError("out of bounds")), true);
    assertEquals([server.connected, log.length], [false, 1]);
    assert(log[0].endsWith("descriptors and registers: RangeError: out of bounds"), log[0]);
    assert(model.events.includes("disconnect"));
    client.close();
    const next = connected(server);
    assertEquals(next.config32(0) & 0xffff, 0x8086);
    next.close();
  });
});
