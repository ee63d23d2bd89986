/**
 * Messages of a hostile vfio-user client to the NIC model: valid ones, changed ones and any bytes,
 * with file descriptors of every kind. The server reports errors to its client alone. It does not
 * throw, even if a client truncates its memory; it keeps neither descriptors nor memory, and serves
 * the next client.
 *
 * @module
 */

import { Mapping } from "../../native/mapping.ts";
import { Open, path, stubs } from "../../native/stubs.ts";
import * as TABLE from "../../ixgbe/registers.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { BAR0_BYTES } from "../../sim/pci/config_space.ts";
import { Command } from "../../sim/pci/connection.ts";
import { Server } from "../../sim/pci/server.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { offsetOf } from "../../src/registers.ts";
import { checkFiles, openFiles } from "./files.ts";
import type { Random } from "./random.ts";
import { CheckedWire, frameOf } from "./registers.ts";
import { type Fuzzer, holds, operations, type Sequence, type Target } from "./target.ts";

const OPERATIONS = 1000;
const MAC = new Uint8Array([2, 0x69, 0x78, 0x79, 0, 7]);
const SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, MSG_DONTWAIT = 0x40;
const FIONBIO = 0x5421;
const POSTED = 0x10;
const CONFIG = 7;
/** Rounds of the server that a client needs at most to be served, when no other disturbs it. */
const ROUNDS = 64;
const VERSION_BODY = new TextEncoder().encode('\0\0\0\0{"capabilities":{"max_msg_fds":16}}\0');

/** Kinds of operations. */
const MESSAGE = 0, ACCESS = 1, MAP = 2, IRQS = 3, BYTES = 4, ROUND = 5, AGAIN = 6, DOORBELL = 7;
const ARRIVE = 8, QUEUE = 9, TRUNCATE = 10;

type Setup = { readonly doorbells: boolean };

function generate(random: Random): Sequence<Setup> {
  const file = () => random.oneIn(2) ? random.below(FILES) : random.pick(MEMORIES);
  const commands = Object.values(Command);
  const words = (n: number) => Array.from({ length: n }, () => random.edge());
  const registers = Array.from({ length: 4 }, () => random.below(BAR0_BYTES / 4) * 4);
  const list = Array.from({ length: OPERATIONS }, () => {
    switch (random.below(14)) {
      case 0: { // command, flags, error in the size, kind and number of descriptors, body
        const size = random.oneIn(8) ? random.edge() : 0;
        const flags = random.oneIn(4) ? random.edge() : random.pick([0, POSTED]);
        const command = random.oneIn(8) ? random.edge() & 0xffff : random.pick(commands);
        return [MESSAGE, command, flags, size, file(), random.below(4), ...words(random.below(12))];
      }
      case 1:
      case 2:
      case 3: { // posted, write, region, offset, bytes, value
        const offset = random.oneIn(4) ? random.edge() : random.pick(registers);
        const region = random.oneIn(4) ? random.below(10) : random.pick([0, CONFIG, CONFIG, 4]);
        const at = region === CONFIG ? random.below(4096) : offset;
        const bytes = random.oneIn(8) ? random.edge() : random.pick([1, 2, 4, 4, 4, 8]);
        return [ACCESS, random.below(2), random.below(2), region, at, bytes, random.edge()];
      }
      case 4:
      case 5: { // map or unmap, flags, kind of file, offset, address and length in pages
        const pages = random.oneIn(4) ? random.edge() : 1 + random.below(20);
        const place = random.oneIn(8) ? random.edge() : random.below(16);
        return [MAP, random.below(3), random.below(4), file(), random.below(4), place, pages];
      }
      case 6: { // flags, index, start, count, kind and number of descriptors
        const flags = random.oneIn(4) ? random.edge() : random.pick([0x24, 0x21, 0x22, 0x24]);
        const count = random.oneIn(4) ? random.edge() : random.below(17);
        return [IRQS, flags, random.below(6), random.below(66), count, file(), random.below(17)];
      }
      case 7:
        if (!random.oneIn(8)) return [ROUND, 0, 1];
        return [BYTES, ...Array.from({ length: random.below(40) }, () => random.below(256))];
      case 8:
        return random.oneIn(10) ? [AGAIN] : [ROUND, random.below(4), random.below(4)];
      case 9:
        return [DOORBELL, random.below(BAR0_BYTES / 4), random.edge()];
      case 10:
        return [ARRIVE, random.below(3000), random.word()];
      case 12:
        if (random.oneIn(2)) {
          return [TRUNCATE, random.pick([0, random.below(SHARED_BYTES), SHARED_BYTES])];
        }
        return [ROUND, random.below(4), 1];
      case 11: // queue, address, length, and memory to map first
        return [QUEUE, random.below(4), random.below(16), random.below(5), random.pick(MEMORIES)];
      default:
        return [ROUND, random.below(4), 1];
    }
  });
  return { setup: { doorbells: random.oneIn(2) }, operations: list };
}

/** Kinds of files to send. */
const FILES = 13;
/** Bytes of the file that a client truncates. */
const SHARED_BYTES = 1 << 16;
/** Files that the server can map: memory, and the file that a client truncates. */
const MEMORIES = [0, 1, 12, 12];

/** Files of every kind that a client can send. */
class Files {
  readonly #fds: number[];
  readonly #mappings: Mapping[];
  readonly #full: number;
  readonly #shared: string;

  constructor(directory: string) {
    const open = (name: string, mode: number) => stubs.ixy_open(path(name), mode, 0);
    const file = (name: string, bytes: number) => {
      const whole = `${directory}/${name}`;
      Deno.writeFileSync(whole, new Uint8Array(bytes));
      return whole;
    };
    this.#mappings = [Mapping.memory(1 << 16, false), Mapping.memory(1 << 20, false)];
    try {
      this.#mappings.push(Mapping.memory(HUGEPAGE, true));
    } catch {
      this.#mappings.push(Mapping.memory(HUGEPAGE, false)); // no hugepage is free
    }
    this.#full = stubs.ixy_eventfd();
    stubs.ixy_ioctl(this.#full, FIONBIO, new Int32Array(1)); // writes to it block
    stubs.ixy_write(this.#full, BigUint64Array.of(0xfffffffffffffffen), 8);
    this.#fds = [
      ...this.#mappings.map(({ fd }) => fd),
      ...[this.#full, stubs.ixy_eventfd()],
      ...[open("/dev/zero", Open.RDWR), open("/dev/null", Open.WRONLY)],
      open(file("empty", 0), Open.RDWR),
      open(file("short", 100), Open.RDWR),
      open(file("readonly", 8192), Open.RDONLY),
      open(directory, Open.RDONLY),
      stubs.ixy_bind(path(`${directory}/other.sock`), SOCK_STREAM),
      open(this.#shared = file("shared", SHARED_BYTES), Open.RDWR),
    ];
    holds(this.#fds.every((fd) => fd >= 0) && this.#fds.length === FILES, "all files are open");
  }

  get(kind: number): number {
    return this.#fds[kind % FILES];
  }

  /** Changes the size of a file, which the server may have mapped. */
  truncate(bytes: number): void {
    Deno.truncateSync(this.#shared, bytes);
  }

  /** Undoes what clients have done: the eventfd blocks, and the file has its size. */
  restore(): void {
    this.truncate(SHARED_BYTES);
    stubs.ixy_ioctl(this.#full, FIONBIO, new Int32Array(1));
  }

  close(): void {
    for (const fd of this.#fds.slice(this.#mappings.length)) stubs.ixy_close(fd);
    for (const mapping of this.#mappings) mapping.unmap();
  }
}

/** The client's end of a connection. */
class Client {
  readonly #fd: number;
  readonly #input = new Uint8Array(1 << 16);
  readonly #fds = new Int32Array(17);
  #id = 0;

  constructor(server: Server) {
    this.#fd = stubs.ixy_connect(path(server.path), SOCK_STREAM | SOCK_NONBLOCK);
    holds(this.#fd >= 0, "the server accepts a connection");
  }

  /** Sends a message; what the socket has no room for is lost. */
  message(
    command: number,
    body: Uint8Array,
    flags = 0,
    size = 0,
    fds: readonly number[] = [],
  ): void {
    const message = new Uint8Array(16 + body.length), view = new DataView(message.buffer);
    view.setUint16(0, ++this.#id & 0xffff, true);
    view.setUint16(2, command, true);
    view.setUint32(4, message.length + size, true);
    view.setUint32(8, flags, true);
    message.set(body, 16);
    this.bytes(message, fds);
  }

  words(
    command: number,
    words: readonly number[],
    flags = 0,
    size = 0,
    fds: readonly number[] = [],
  ) {
    this.message(command, new Uint8Array(Uint32Array.from(words).buffer), flags, size, fds);
  }

  bytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): void {
    const passed = Int32Array.from(fds.slice(0, 16));
    if (bytes.length > 0) {
      stubs.ixy_send(this.#fd, bytes, bytes.length, passed, passed.length, MSG_DONTWAIT);
    }
  }

  /** Reads what has arrived; returns the flags of the first message, or -1. */
  read(): number {
    const n = stubs.ixy_recv(this.#fd, this.#input, this.#input.length, this.#fds, MSG_DONTWAIT);
    if (n <= 0) return -1;
    for (const fd of this.#fds.subarray(0, this.#fds[16])) stubs.ixy_close(fd);
    return n >= 16 ? new DataView(this.#input.buffer).getUint32(8, true) : 0;
  }

  version(): void {
    this.message(Command.VERSION, VERSION_BODY);
  }

  close(): void {
    stubs.ixy_close(this.#fd);
  }
}

/** What enables both directions of the data path. */
const ENABLES = [
  [TABLE.DMATXCTL, TABLE.DMATXCTL.TE],
  [TABLE.RXCTRL, TABLE.RXCTRL.RXEN],
  [TABLE.SECRXCTRL, 0],
] as const;

/** Sends the message of an operation. */
function send(
  client: Client,
  files: Files,
  [kind, a, b, c, d, e, f, ...more]: readonly number[],
): void {
  const some = (kind: number, n: number) => Array.from({ length: n }, () => files.get(kind));
  switch (kind) {
    case MESSAGE:
      return client.words(a, [f ?? 0, ...more], b, c, some(d, e));
    case ACCESS: {
      const data = b === 0 ? [] : [f, f];
      const command = b === 0 ? Command.REGION_READ : Command.REGION_WRITE;
      return client.words(command, [d, 0, c, e, ...data], b * a * POSTED);
    }
    case MAP: {
      const [iova, pages] = [BigInt(e) + 0x10_0000n, BigInt(f)];
      const fields = [BigInt(d) << 12n, iova << 12n, pages << 12n];
      const words = [32, b, ...[...new Uint32Array(BigUint64Array.from(fields).buffer)]];
      if (a > 0) return client.words(Command.DMA_MAP, words, 0, 0, some(c, 1));
      return client.words(Command.DMA_UNMAP, [24, b & 2, ...words.slice(4)]);
    }
    case IRQS:
      return client.words(Command.DEVICE_SET_IRQS, [20, a, b, c, d], 0, 0, some(e, f));
    case BYTES:
      return client.bytes(Uint8Array.from([a, b, c, d, e, f, ...more].filter((n) => n >= 0)));
    case QUEUE: {
      const iova = 2 ** 32 + b * 4096;
      const map = [32, 3, 0, 0, 0, 1, SHARED_BYTES, 0]; // readable and writable, at 4 GiB
      client.words(Command.DMA_MAP, map, 0, 0, some(d, 1));
      client.words(Command.REGION_WRITE, [4, 0, CONFIG, 4, 6], POSTED); // bus master
      for (const [register, value] of ENABLES) {
        client.words(Command.REGION_WRITE, [register.offset, 0, 0, 4, value], POSTED);
      }
      for (
        const [low, high, length, control, tail] of [
          [TABLE.RDBAL, TABLE.RDBAH, TABLE.RDLEN, TABLE.RXDCTL, TABLE.RDT],
          [TABLE.TDBAL, TABLE.TDBAH, TABLE.TDLEN, TABLE.TXDCTL, TABLE.TDT],
        ]
      ) {
        const values = [[control, 0], [low, iova], [high, 1], [length, 128 << c], [
          control,
          1 << 25,
        ], [tail, 4]];
        for (const [register, value] of values as [typeof low, number][]) {
          const words = [offsetOf(register, a), 0, 0, 4, value >>> 0];
          client.words(Command.REGION_WRITE, words, POSTED);
        }
      }
    }
  }
}

function openServer(): Fuzzer {
  const directory = Deno.makeTempDirSync({ prefix: "ixy-fuzz-" });
  const files = new Files(directory);
  const doorbells = Mapping.memory(BAR0_BYTES, false);
  const words = new Uint32Array(doorbells.buffer);

  function run({ setup, operations }: Sequence<Setup>): void {
    const before = openFiles();
    files.restore();
    words.fill(0);
    const nic = new Nic({
      mac: MAC,
      pollDoorbells: setup.doorbells,
      ...(setup.doorbells && { doorbells: words }),
    });
    const wire = new CheckedWire();
    nic.wire = wire;
    const server = new Server({
      path: `${directory}/nic.sock`,
      model: nic,
      deviceId: 0x10fb,
      mac: MAC,
      doorbells: setup.doorbells ? doorbells : undefined,
      log: () => {},
    });
    nic.onInterrupt = (vector) => server.interrupt(vector);
    let client = new Client(server);
    try {
      client.version();
      for (const operation of operations) {
        const [kind, a, b] = operation;
        if (kind === ROUND) {
          for (let i = 0; i <= a; i++) {
            server.poll();
            nic.poll();
          }
          for (let i = 0; i < b; i++) client.read();
        }
        // After a client that sent no message, the next one comes.
        if (kind === AGAIN || kind === ROUND && !server.connected) {
          client.close();
          client = new Client(server);
          for (let i = 0; i < ROUNDS && server.connected; i++) server.poll();
          client.version();
        } else if (kind === TRUNCATE) files.truncate(a);
        else if (kind === DOORBELL) words[a] = b;
        else if (kind === ARRIVE) wire.deliver(nic, frameOf(a, b));
        else send(client, files, operation);
      }
      client.close();
      for (let i = 0; i < ROUNDS && server.connected; i++) server.poll();
      holds(!server.connected, "the server sees the end of a connection");
      holds(server.ranges === 0, "the server unmaps the memory of a client that is gone");
      client = new Client(server);
      client.version();
      for (let i = 0; i < ROUNDS; i++) server.poll();
      holds(client.read() === 1, "the server answers VERSION of the next client");
    } finally {
      client.close();
      server.close();
    }
    checkFiles(before);
  }

  return operations({
    generate,
    run,
    close() {
      files.close();
      doorbells.unmap();
      Deno.removeSync(directory, { recursive: true });
    },
  });
}

/** The target. */
export const MESSAGES: Target = {
  name: "vfio-user-messages",
  about: "messages and files of a hostile vfio-user client of the NIC model",
  attempts: 5,
  open: openServer,
};
