/**
 * A vfio-user server for one port. It presents the NIC model as a PCI function to one client at a
 * time: a driver of this project or QEMU. It is nonblocking: the model's one loop polls it.
 *
 * A client may be killed at any time. However it ends, the server unmaps its memory, and the port
 * is ready for the next client.
 *
 * @module
 */

import { Errno, stubs } from "../../native/stubs.ts";
import { BoundSocket, SOCK } from "../../src/bound_socket.ts";
import { ClientMemory, MAX_RANGES } from "./client_memory.ts";
import { Command, Connection, ConnectionEnd, type Request, RequestError } from "./connection.ts";
import { Eventfds, IRQ_COUNTS, IrqIndex } from "./eventfds.ts";
import type { Model } from "./model.ts";
import { putWords, regionAccess, REGIONS, Regions, type RegionsOptions } from "./regions.ts";

/** Options of a server. */
export interface ServerOptions extends RegionsOptions {
  /** Path of the socket. */
  readonly path: string;
  /** Takes a line about each error of a client. */
  readonly log: (line: string) => void;
}

const DEVICE_RESET_PCI = 0x3;
const IRQ_EVENTFD = 0x1;
const IRQ_NORESIZE = 0x8;
const ENOTSUP = 95;
const VERSION_REPLIES = [
  `{"capabilities":{"max_msg_fds":16,"max_dma_maps":${MAX_RANGES}}}\0`,
  '{"capabilities":{"max_msg_fds":16}}\0',
  "{}\0",
  "",
];
/** Maximum number of lines about one client. */
const MAX_LINES = 10;

/** Serves one port on one Unix socket. */
export class Server {
  /** Path of the socket. */
  readonly path: string;
  readonly #options: ServerOptions;
  readonly #model: Model;
  readonly #listener: BoundSocket;
  readonly #regions: Regions;
  readonly #memory: ClientMemory;
  readonly #eventfds = new Eventfds();
  #client: Connection | undefined;
  #negotiated = false;
  #lines = 0;
  #polls = 0;

  /**
   * Binds the socket and listens.
   *
   * @throws {UsageError} if another process serves at the path, or no socket can be made there.
   */
  constructor(options: ServerOptions) {
    this.path = options.path;
    this.#options = options;
    this.#model = options.model;
    this.#memory = new ClientMemory(options.model.dma);
    this.#regions = new Regions(options);
    this.#listener = new BoundSocket(options.path, SOCK.STREAM | SOCK.NONBLOCK);
  }

  /** Whether a client is connected. */
  get connected(): boolean {
    return this.#client !== undefined;
  }

  /** Whether the client lets the port reach memory. */
  get busMaster(): boolean {
    return this.#regions.busMaster;
  }

  /** Number of memory ranges that the client has mapped. */
  get ranges(): number {
    return this.#memory.size;
  }

  /** A descriptor that becomes readable when there is work: the client, or the listening socket. */
  get fd(): number {
    return this.#client?.fd ?? this.#listener.fd;
  }

  /** Region reads answered so far. A loop waits briefly after one, since another often follows. */
  reads = 0;

  /** Handles waiting work, and returns whether there was any. */
  poll(): boolean {
    if (this.#client === undefined) return this.#accept();
    if (this.#memory.lost) {
      this.#endClient("the client has truncated a file of its memory: its connection ends");
      return true;
    }
    try {
      if (this.#client.poll(this.#handle)) return true;
    } catch (error) {
      // Whatever fails is this client's alone: the other ports go on.
      if (!(error instanceof ConnectionEnd)) {
        this.#endClient(`the client's request failed: ${error}`);
      } else this.#endClient(error.fault ? error.message : undefined);
      return true;
    }
    // Not in every round: it is a system call, and a second client can wait.
    if ((++this.#polls & 63) === 0) this.#refuse();
    return false;
  }

  /** Interrupts the client with an MSI-X vector. */
  interrupt(vector: number): void {
    this.#eventfds.interrupt(vector);
  }

  /** Ends the client's connection because of an error of the model; returns whether there is a client. */
  fail(error: unknown): boolean {
    if (this.#client === undefined) return false;
    this.#endClient(`the model cannot go on with the client's descriptors and registers: ${error}`);
    return true;
  }

  /** Ends the client's connection and removes the socket. */
  close(): void {
    if (this.#client !== undefined) this.#endClient(undefined);
    this.#listener.close();
  }

  #accept(): boolean {
    const fd = stubs.ixy_accept(this.#listener.fd);
    if (fd < 0) return false;
    this.#client = new Connection(fd);
    this.#negotiated = false;
    this.#lines = 0;
    return true;
  }

  /** Disconnects a second client at once, which would wait for a reply forever. */
  #refuse(): void {
    const fd = stubs.ixy_accept(this.#listener.fd);
    if (fd >= 0) stubs.ixy_close(fd);
  }

  #endClient(reason: string | undefined): void {
    const client = this.#client!;
    this.#client = undefined;
    if (reason !== undefined) this.#log(reason);
    const steps = [
      // The model drops its mappings before their memory is unmapped.
      () => this.#model.disconnect(),
      () => this.#memory.clear(),
      () => this.#eventfds.clear(),
      () => this.#regions.powerOn(),
      () => client.close(),
    ];
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        this.#log(`the client's connection ends with an error: ${error}`);
      }
    }
  }

  #log(line: string): void {
    this.#lines++;
    if (this.#lines <= MAX_LINES) this.#options.log(`${this.path}: ${line}`);
  }

  readonly #handle = (request: Request): void => {
    try {
      if (!this.#negotiated && request.command !== Command.VERSION) {
        throw new ConnectionEnd("the client did not begin with VERSION");
      }
      this.#dispatch(request);
    } catch (error) {
      if (error instanceof RangeError) {
        this.#fail(request, Errno.EINVAL, `command ${request.command} is too short`);
      } else if (error instanceof RequestError) {
        this.#fail(request, error.errno, error.message);
      } else {
        throw error;
      }
    }
  };

  #fail(request: Request, errno: number, message: string): void {
    this.#log(message);
    this.#client!.replyError(request, errno);
  }

  #dispatch(request: Request): void {
    switch (request.command) {
      case Command.REGION_WRITE:
        return this.#regionWrite(request);
      case Command.REGION_READ:
        return this.#regionRead(request);
      case Command.VERSION:
        return this.#version(request);
      case Command.DMA_MAP:
        return this.#dmaMap(request);
      case Command.DMA_UNMAP:
        return this.#dmaUnmap(request);
      case Command.DEVICE_GET_INFO:
        return this.#deviceInfo(request);
      case Command.DEVICE_GET_REGION_INFO:
        return this.#regionInfo(request);
      case Command.DEVICE_GET_IRQ_INFO:
        return this.#irqInfo(request);
      case Command.DEVICE_SET_IRQS:
        return this.#setIrqs(request);
      case Command.DEVICE_RESET:
        this.#regions.reset();
        return this.#client!.reply(request, 0);
      default:
        throw new RequestError(ENOTSUP, `command ${request.command} is not supported`);
    }
  }

  #version(request: Request): void {
    const { body } = request;
    const client = this.#client!;
    if (this.#negotiated) throw new RequestError(Errno.EINVAL, "VERSION came twice");
    const major = body.getUint16(0, true);
    const minor = body.getUint16(2, true);
    if (major !== 0) throw new RequestError(Errno.EINVAL, `version ${major}.${minor} is not 0.x`);
    checkJson(new Uint8Array(body.buffer, body.byteOffset + 4, body.byteLength - 4));
    // QEMU does not accept a reply that is longer than its request.
    const json = VERSION_REPLIES.find((text) => 4 + text.length <= body.byteLength)!;
    client.out.setUint16(0, 0, true);
    client.out.setUint16(2, 0, true);
    new TextEncoder().encodeInto(json, client.outBytes.subarray(4));
    this.#negotiated = true;
    client.reply(request, 4 + json.length);
  }

  #dmaMap(request: Request): void {
    const { body } = request;
    this.#memory.map(
      body.getUint32(4, true),
      body.getBigUint64(8, true),
      body.getBigUint64(16, true),
      body.getBigUint64(24, true),
      request.fds[0],
    );
    this.#client!.reply(request, 0);
  }

  #dmaUnmap(request: Request): void {
    const { body } = request;
    this.#memory.unmap(
      body.getUint32(4, true),
      body.getBigUint64(8, true),
      body.getBigUint64(16, true),
    );
    this.#echo(request, 24);
    this.#client!.reply(request, 24);
  }

  #deviceInfo(request: Request): void {
    request.body.getUint32(12, true);
    putWords(this.#client!.out, 0, [16, DEVICE_RESET_PCI, REGIONS, IRQ_COUNTS.length]);
    this.#client!.reply(request, 16);
  }

  #regionInfo(request: Request): void {
    const room = request.body.getUint32(0, true);
    const index = request.body.getUint32(8, true);
    const { bytes, fds } = this.#regions.info(index, room, this.#client!.out);
    this.#client!.reply(request, bytes, fds);
  }

  #irqInfo(request: Request): void {
    const index = request.body.getUint32(8, true);
    if (index >= IRQ_COUNTS.length) {
      throw new RequestError(Errno.EINVAL, `there is no interrupt index ${index}`);
    }
    const flags = IRQ_EVENTFD | (index === IrqIndex.INTX ? 0 : IRQ_NORESIZE);
    putWords(this.#client!.out, 0, [16, flags, index, IRQ_COUNTS[index]]);
    this.#client!.reply(request, 16);
  }

  #setIrqs(request: Request): void {
    const { body } = request;
    this.#eventfds.set(
      body.getUint32(4, true),
      body.getUint32(8, true),
      body.getUint32(12, true),
      body.getUint32(16, true),
      new Uint8Array(body.buffer, body.byteOffset + 20, body.byteLength - 20),
      request.fds,
    );
    this.#client!.reply(request, 0);
  }

  #regionRead(request: Request): void {
    const access = regionAccess(request.body);
    this.#echo(request, 16);
    this.#regions.read(access, this.#client!.out, 16);
    this.#client!.reply(request, 16 + access.bytes);
    this.reads++;
  }

  #regionWrite(request: Request): void {
    const access = regionAccess(request.body);
    if (request.body.byteLength < 16 + access.bytes) throw new RangeError("data missing");
    this.#regions.write(access, request.body, 16);
    if (request.posted) return;
    this.#echo(request, 16);
    this.#client!.reply(request, 16);
  }

  /** Copies the first bytes of the request's body to the reply. */
  #echo(request: Request, bytes: number): void {
    const { body } = request;
    this.#client!.outBytes.set(new Uint8Array(body.buffer, body.byteOffset, bytes));
  }
}

function checkJson(bytes: Uint8Array): void {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  if (text === "") return;
  try {
    JSON.parse(text);
  } catch {
    throw new RequestError(Errno.EINVAL, "VERSION has text that is not JSON");
  }
}
