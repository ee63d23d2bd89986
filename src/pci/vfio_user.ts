/**
 * Access to a PCI function through vfio-user: another process emulates the function and serves it on a
 * Unix socket (protocol version 0.0, as in libvfio-user and QEMU). It needs no root: the server maps
 * memory of this process by its descriptor, at I/O virtual addresses.
 *
 * @module
 */

import type { DmaMemory } from "../dma.ts";
import { DeviceError, lostMemory, UsageError } from "../errors.ts";
import type { Peer } from "../peer.ts";
import { MAX_FDS } from "../unix_stream.ts";
import { Command, Config } from "./function.ts";
import { FunctionBase } from "./function_base.ts";
import { type MappedArea, MappedBar, type RegionAccess } from "./mapped_bar.ts";
import { Interrupts, type IrqInfo, MSIX } from "./msix.ts";
import {
  checkBar,
  CONFIG_REGION,
  mapAreas,
  parseRegionInfo,
  REGION_INFO_BYTES,
  write64,
} from "./vfio_regions.ts";
import { VfioUserSocket } from "./vfio_user_socket.ts";

const VERSION = 1, DMA_MAP = 2, REGION_INFO = 5, IRQ_INFO = 7, SET_IRQS = 8;
const REGION_READ = 9, REGION_WRITE = 10;

const VERSION_REQUEST = new TextEncoder().encode(
  '\0\0\0\0{"capabilities":{"max_msg_fds":16}}\0',
);

/** A region of a function in another process. Every access is a message. */
class RemoteRegion implements RegionAccess {
  readonly #socket: VfioUserSocket;
  readonly #index: number;

  constructor(socket: VfioUserSocket, index: number) {
    this.#socket = socket;
    this.#index = index;
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    const reply = this.#socket.request(REGION_READ, access(this.#index, offset, bytes));
    if (reply.length < 16 + bytes) throw short(this.#socket, "a region read", reply.length);
    let value = 0;
    for (let i = 0; i < bytes; i++) value += reply[16 + i] * 2 ** (8 * i);
    return value;
  }

  /** Posted, as on PCI: it has no reply, and a later read takes effect after it. */
  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#socket.post(REGION_WRITE, access(this.#index, offset, bytes, value));
  }
}

/** A PCI function that another process serves on a Unix socket. */
export class VfioUserFunction extends FunctionBase {
  readonly addressing = "iova" as const;
  readonly behindIommu = false;
  protected readonly config: RegionAccess;
  readonly #socket: VfioUserSocket;
  readonly #interrupts: Interrupts;
  /** Areas of BARs in files of the server. */
  readonly #areas: MappedArea[] = [];
  /** The most file descriptors that the server takes with a message. */
  readonly #maxFds: number;
  #closed = false;

  /**
   * Connects to the server and negotiates the protocol version.
   *
   * @param address The address under which the function is opened.
   * @param socket Path of the server's socket; or a connection, with the reply to VERSION.
   * @throws {UsageError} if no server listens on the socket, or it is busy with another client.
   */
  constructor(address: string, socket: string | { socket: VfioUserSocket; reply: Uint8Array }) {
    super(address);
    this.#socket = typeof socket === "string" ? new VfioUserSocket(address, socket) : socket.socket;
    this.config = new RemoteRegion(this.#socket, CONFIG_REGION);
    this.#interrupts = new Interrupts(address, {
      info: () => this.#irqInfo(),
      set: (flags, count, fds) => this.#setIrqs(flags, count, fds),
    });
    try {
      const reply = typeof socket === "string"
        ? this.#socket.request(VERSION, VERSION_REQUEST)
        : socket.reply;
      if (reply.length < 4 || reply[0] !== 0 || reply[1] !== 0) {
        throw new DeviceError(address, "the server speaks another major version of vfio-user");
      }
      this.#maxFds = maxFds(address, reply.subarray(4));
      this.#socket.peer.answered();
    } catch (error) {
      throw refusal(this.#socket, error);
    }
  }

  /**
   * As the constructor, but other tasks run until the server answers.
   *
   * @throws {UsageError} as the constructor does.
   */
  static async open(address: string, path: string): Promise<VfioUserFunction> {
    const socket = new VfioUserSocket(address, path);
    let reply: Uint8Array;
    try {
      reply = await socket.firstRequest(VERSION, VERSION_REQUEST);
    } catch (error) {
      throw refusal(socket, error);
    }
    return new VfioUserFunction(address, { socket, reply });
  }

  get peer(): Peer {
    return this.#socket.peer;
  }

  claim(_force: boolean): void {
    this.claimCommand(Command.MEMORY);
  }

  /**
   * Requests a region and maps the areas that the server shares, for doorbells only. A server polls
   * shared memory, so it would act on other registers too late.
   */
  protected openBar(index: number): MappedBar {
    const request = new Uint32Array(REGION_INFO_BYTES / 4);
    request.set([REGION_INFO_BYTES, 0, index]);
    const fds: number[] = [];
    const reply = this.#socket.request(REGION_INFO, new Uint8Array(request.buffer), [], fds);
    try {
      const info = parseRegionInfo(reply);
      if (info === undefined) throw short(this.#socket, "a region's description", reply.length);
      const shared = fds.length > 0 ? info : { ...info, areas: [] };
      checkBar(this.address, index, shared);
      const areas = mapAreas(this.address, index, fds[0], shared, "peer");
      this.#areas.push(...areas);
      return new MappedBar(info.size, areas, new RemoteRegion(this.#socket, index), true);
    } finally {
      this.#socket.closeAll(fds);
    }
  }

  protected mapMemory(memory: DmaMemory): void {
    const request = new DataView(new ArrayBuffer(32));
    request.setUint32(0, 32, true);
    request.setUint32(4, 3, true); // readable and writable
    write64(request, 8, 0);
    write64(request, 16, memory.busAddress(0, this.addressing));
    write64(request, 24, memory.bytes);
    this.#socket.request(DMA_MAP, new Uint8Array(request.buffer), [memory.fd]);
  }

  override setBusMaster(on: boolean): void {
    if (on) this.peer.share(); // the server does no DMA before
    super.setBusMaster(on);
  }

  interrupts(vectors: number): readonly number[] {
    return this.#interrupts.enable(vectors);
  }

  #irqInfo(): IrqInfo {
    const request = new Uint8Array(new Uint32Array([16, 0, MSIX, 0]).buffer);
    const reply = this.#socket.request(IRQ_INFO, request);
    if (reply.length < 16) throw short(this.#socket, "an interrupt's description", reply.length);
    const words = new DataView(reply.buffer, reply.byteOffset);
    return { flags: words.getUint32(4, true), count: words.getUint32(12, true) };
  }

  #setIrqs(flags: number, count: number, fds: readonly number[]): void {
    for (let start = 0; start === 0 || start < fds.length; start += this.#maxFds) {
      const part = fds.slice(start, start + this.#maxFds);
      const request = new Uint32Array([20, flags, MSIX, start, part.length || count]);
      this.#socket.request(SET_IRQS, new Uint8Array(request.buffer), part);
    }
  }

  checkAlive(): void {
    this.#socket.checkAlive();
    if (this.#areas.some((area) => area.lost)) {
      throw new DeviceError(
        this.address,
        "the server has truncated the file of its doorbells: restart the server",
      );
    }
    for (const { lost } of this.mapped) if (lost) throw lostMemory(this.address);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#socket.alive) this.#stop();
    } catch (error) {
      // The process that serves the function may still do DMA, which `peer` takes into account.
      if (!(error instanceof DeviceError)) throw error;
    } finally {
      // The server unmaps memory of this process when the connection ends.
      this.#interrupts.close();
      this.closeBars();
      this.#socket.close();
      for (const memory of this.mapped) memory.unpin();
    }
  }

  #stop(): void {
    if (this.claimed) this.setBusMaster(false);
    this.#interrupts.disable();
    // Writes have no reply: this read shows that the server has handled them.
    if ((this.readConfig(Config.COMMAND, 2) & Command.BUS_MASTER) === 0) this.peer.stopped();
  }
}

/**
 * Returns how many file descriptors a server takes with a message, from the text of its VERSION reply.
 *
 * @throws {DeviceError} if the text is not what the protocol demands.
 */
function maxFds(address: string, text: Uint8Array): number {
  const wrong = (why: string) => {
    return new DeviceError(address, `the server's VERSION reply ${why}: update the server`);
  };
  const end = text.indexOf(0), json = text.subarray(0, end < 0 ? text.length : end);
  if (json.length === 0) return 1;
  let version: { readonly capabilities?: { readonly max_msg_fds?: unknown } } | null;
  try {
    version = JSON.parse(new TextDecoder().decode(json));
  } catch {
    throw wrong("has text that is not JSON");
  }
  const most = version?.capabilities?.max_msg_fds ?? 1; // 1 by default, as the protocol says
  if (!(Number.isInteger(most) && Number(most) >= 1)) {
    throw wrong(`limits file descriptors to ${JSON.stringify(most)}`);
  }
  return Math.min(Number(most), MAX_FDS);
}

/** Closes a connection whose start has failed, and returns the error to throw. */
function refusal(socket: VfioUserSocket, error: unknown): unknown {
  socket.close();
  if (!(error instanceof DeviceError)) return error;
  return new UsageError(`${error.message}, or end the program that uses the device`, {
    cause: error,
  });
}

function short({ address }: VfioUserSocket, what: string, bytes: number): DeviceError {
  return new DeviceError(address, `the server's reply to ${what} has only ${bytes} bytes`);
}

/** Returns the body of a REGION_READ or, with a value, of a REGION_WRITE. */
function access(region: number, offset: number, bytes: number, value?: number): Uint8Array {
  const body = new DataView(new ArrayBuffer(16 + (value === undefined ? 0 : 4)));
  write64(body, 0, offset);
  body.setUint32(8, region, true);
  body.setUint32(12, bytes, true);
  if (value === undefined) return new Uint8Array(body.buffer);
  body.setUint32(16, value, true);
  return new Uint8Array(body.buffer, 0, 16 + bytes);
}
