/**
 * What the tests of the vfio-user server share: a model that records calls, and a client that sends bytes
 * on a socket. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Errno, path, stubs } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { BAR0_BYTES } from "../../sim/pci/config_space.ts";
import { Server } from "../../sim/pci/server.ts";
import { Command } from "../../sim/pci/connection.ts";

/** The region of the configuration space. */
export const CONFIG = 7;
/** Flags of a message: a request without reply, and a reply with an error number. */
export const POSTED = 0x10, ERROR = 0x21;
export const MAC = new Uint8Array([2, 0x69, 0x78, 0x79, 0, 7]);
export const VERSION_JSON = '{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}\0';

/** A model with registers that keep their values, and a record of the server's other calls. */
export class FakeModel {
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

export interface Reply {
  readonly id: number;
  readonly flags: number;
  readonly errno: number;
  readonly body: DataView;
  readonly fds: number[];
}

/** A client: a socket, and messages of header and body. */
export class RawClient {
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

export function words(values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

export function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

export interface Bench {
  readonly model: FakeModel;
  readonly server: Server;
  readonly log: string[];
  readonly doorbells: Mapping;
}

/** Runs a test with a server and a fake model; afterwards no descriptor may be open. */
export function withServer(test: (bench: Bench) => void, share = true): void {
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

export function connected(server: Server): RawClient {
  const client = new RawClient(server);
  client.version();
  return client;
}
