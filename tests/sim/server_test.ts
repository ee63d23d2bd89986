/**
 * The vfio-user server of the NIC model: its messages, its memory and its socket.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Errno, path, stubs } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { UsageError } from "../../src/errors.ts";
import { BAR0_BYTES, CONFIG_BYTES } from "../../sim/pci/config_space.ts";
import { Server } from "../../sim/pci/server.ts";
import { Command } from "../../sim/pci/connection.ts";
import { Hugepages } from "../support/hugepages.ts";
import {
  CONFIG,
  connected,
  FakeModel,
  MAC,
  POSTED,
  RawClient,
  VERSION_JSON,
  withServer,
  words,
} from "../support/vfio_user_client.ts";

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
