/**
 * The vfio-user server of the NIC model with clients that break the protocol, send messages in pieces, or
 * pass descriptors that they should not.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { BAR0_BYTES } from "../../sim/pci/config_space.ts";
import { Command } from "../../sim/pci/connection.ts";
import {
  connected,
  ERROR,
  POSTED,
  RawClient,
  type Reply,
  withServer,
  words,
} from "../support/vfio_user_client.ts";

/** Request of ioctl(2): sets or clears O_NONBLOCK. */
const FIONBIO = 0x5421;

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
    assertEquals(stubs.ixy_read(eventfd, count, 8), 8);
    assert(count[0] >= 2n ** 64n - 2n, String(count[0]));
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
