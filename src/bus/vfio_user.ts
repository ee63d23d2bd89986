/**
 * The vfio-user bus: the function lives in another process, which serves it over a Unix socket
 * (protocol version 0.0 as libvfio-user and QEMU speak it). No root: the server maps our memory by
 * descriptor, at bus addresses of our choice.
 *
 * @module
 */

import { Mapping } from "../../native/native.ts";
import type { DmaMemory } from "../dma.ts";
import { DeviceError, UsageError } from "../errors.ts";
import { type Bar, type Bus, Command, Config, type Doorbell, writeBusMaster } from "./bus.ts";
import { VfioUserSocket } from "./vfio_user_socket.ts";

const VERSION = 1, DMA_MAP = 2, REGION_INFO = 5, REGION_READ = 9, REGION_WRITE = 10;
const CONFIG_REGION = 7;
const FLAG_MMAP = 4;
const CAP_SPARSE_MMAP = 1;

/** A part of a region that the server lets us map. */
interface Area {
  readonly offset: number;
  readonly mapping: Mapping;
  readonly words: Uint32Array;
}

/** A BAR of a function in another process: messages, but for the areas that the server shares. */
class RemoteBar implements Bar {
  readonly size: number;
  readonly #bus: VfioUserBus;
  readonly #index: number;
  readonly #areas: readonly Area[];

  constructor(bus: VfioUserBus, index: number, size: number, areas: readonly Area[]) {
    this.#bus = bus;
    this.#index = index;
    this.size = size;
    this.#areas = areas;
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    return this.#bus.readRegion(this.#index, offset, bytes);
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#bus.writeRegion(this.#index, offset, bytes, value);
  }

  doorbell(offset: number): Doorbell {
    for (const area of this.#areas) {
      const at = offset - area.offset;
      if (at >= 0 && at < area.mapping.bytes) {
        return { words: area.words, index: at >> 2, ring: undefined };
      }
    }
    const ring = (value: number) => this.write(offset, 4, value);
    return { words: new Uint32Array(1), index: 0, ring };
  }

  unmap(): void {
    for (const area of this.#areas) area.mapping.unmap();
  }
}

/** A PCI function that another process serves over a Unix socket. */
export class VfioUserBus implements Bus {
  readonly address: string;
  readonly addressing = "chosen" as const;
  readonly #socket: VfioUserSocket;
  readonly #bars = new Map<number, RemoteBar>();
  readonly #mapped = new Set<DmaMemory>();
  #claimed = false;
  #closed = false;

  /**
   * Connects and agrees on the protocol's version.
   *
   * @param address The address to show in messages.
   * @param socket Path of the server's socket.
   * @throws {UsageError} if nobody serves the socket, or the server is busy with another client.
   */
  constructor(address: string, socket: string) {
    this.address = address;
    this.#socket = new VfioUserSocket(address, socket);
    try {
      const request = new TextEncoder().encode('\0\0\0\0{"capabilities":{"max_msg_fds":16}}\0');
      const reply = this.#socket.request(VERSION, request);
      if (reply.length < 4 || reply[0] !== 0 || reply[1] !== 0) {
        throw new DeviceError(address, "the server speaks another major version of vfio-user");
      }
    } catch (error) {
      this.#socket.close();
      if (!(error instanceof DeviceError)) throw error;
      throw new UsageError(`${error.message}, or end the program that uses the device now`);
    }
  }

  /** Reads 1, 2 or 4 bytes of a region. */
  readRegion(region: number, offset: number, bytes: 1 | 2 | 4): number {
    const reply = this.#socket.request(REGION_READ, access(region, offset, bytes));
    if (reply.length < 16 + bytes) throw this.#short("a region read", reply.length);
    let value = 0;
    for (let i = 0; i < bytes; i++) value += reply[16 + i] * 2 ** (8 * i);
    return value;
  }

  /** Writes 1, 2 or 4 bytes of a region; posted, as on PCI: a later read comes after it. */
  writeRegion(region: number, offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#socket.post(REGION_WRITE, access(region, offset, bytes, value));
  }

  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    return this.readRegion(CONFIG_REGION, offset, bytes);
  }

  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.writeRegion(CONFIG_REGION, offset, bytes, value);
  }

  claim(_force: boolean): void {
    const command = this.readConfig(Config.COMMAND, 2);
    this.#claimed = true;
    this.writeConfig(Config.COMMAND, 2, (command | Command.MEMORY) & ~Command.BUS_MASTER);
  }

  bar(index: number): Bar {
    let bar = this.#bars.get(index);
    if (!bar) this.#bars.set(index, bar = this.#openBar(index));
    return bar;
  }

  /** Asks for a region and maps what the server shares of it. */
  #openBar(index: number): RemoteBar {
    const request = new Uint32Array(1024);
    request.set([4096, 0, index]);
    const fds: number[] = [];
    const reply = this.#socket.request(REGION_INFO, new Uint8Array(request.buffer), [], fds);
    try {
      if (reply.length < 32) throw this.#short("a region's description", reply.length);
      const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
      const size = read64(view, 16);
      if (size === 0) throw new DeviceError(this.address, `the device has no BAR ${index}`);
      const shared = (view.getUint32(4, true) & FLAG_MMAP) !== 0 && fds.length > 0;
      const areas = shared ? this.#mapAreas(view, index, size, fds[0]) : [];
      return new RemoteBar(this, index, size, areas);
    } finally {
      this.#socket.closeAll(fds);
    }
  }

  /** Maps the areas of the sparse-mmap capability, or the whole region where there is none. */
  #mapAreas(view: DataView, index: number, size: number, fd: number): Area[] {
    const base = read64(view, 24);
    const areas: Area[] = [];
    try {
      for (const [offset, bytes] of sparseAreas(view) ?? [[0, size]]) {
        if (bytes === 0 || offset + bytes > size) {
          throw new DeviceError(this.address, `the server shares bytes beyond BAR ${index}`);
        }
        const mapping = Mapping.file(`BAR ${index} of ${this.address}`, fd, bytes, base + offset);
        areas.push({ offset, mapping, words: new Uint32Array(mapping.buffer) });
      }
    } catch (error) {
      for (const area of areas) area.mapping.unmap();
      throw error;
    }
    return areas;
  }

  mapDma(memory: DmaMemory): void {
    if (this.#mapped.has(memory)) return;
    const request = new DataView(new ArrayBuffer(32));
    request.setUint32(0, 32, true);
    request.setUint32(4, 3, true); // readable and writable
    write64(request, 8, 0);
    write64(request, 16, memory.busAddress(0, this.addressing));
    write64(request, 24, memory.bytes);
    this.#socket.request(DMA_MAP, new Uint8Array(request.buffer), [memory.fd]);
    this.#mapped.add(memory);
    memory.hold();
  }

  setBusMaster(on: boolean): void {
    writeBusMaster(this, on);
  }

  check(): void {
    this.#socket.check();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#claimed && this.#socket.alive) this.setBusMaster(false);
    } catch (error) {
      // A server that ends while we close does no DMA, and has nothing to be told.
      if (!(error instanceof DeviceError)) throw error;
    } finally {
      // The server drops what it mapped of ours when the connection ends.
      for (const bar of this.#bars.values()) bar.unmap();
      this.#socket.close();
      for (const memory of this.#mapped) memory.release();
    }
  }

  #short(what: string, bytes: number): DeviceError {
    return new DeviceError(this.address, `the server's reply to ${what} has only ${bytes} bytes`);
  }
}

/** The body of a REGION_READ or, with a value, a REGION_WRITE. */
function access(region: number, offset: number, bytes: number, value?: number): Uint8Array {
  const body = new DataView(new ArrayBuffer(16 + (value === undefined ? 0 : 4)));
  write64(body, 0, offset);
  body.setUint32(8, region, true);
  body.setUint32(12, bytes, true);
  if (value === undefined) return new Uint8Array(body.buffer);
  body.setUint32(16, value, true);
  return new Uint8Array(body.buffer, 0, 16 + bytes);
}

/** Offset and size of each area in the sparse-mmap capability; undefined if there is none. */
function sparseAreas(view: DataView): [number, number][] | undefined {
  let at = view.getUint32(12, true);
  while (at >= 32 && at + 16 <= view.byteLength) {
    if (view.getUint16(at, true) === CAP_SPARSE_MMAP) {
      const room = Math.floor((view.byteLength - at - 16) / 16);
      const count = Math.min(view.getUint32(at + 8, true), room);
      return Array.from({ length: count }, (_, i) => {
        return [read64(view, at + 16 + 16 * i), read64(view, at + 24 + 16 * i)];
      });
    }
    const next = view.getUint32(at + 4, true);
    if (next <= at) break;
    at = next;
  }
  return undefined;
}

function read64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function write64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
