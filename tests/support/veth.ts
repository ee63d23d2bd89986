/**
 * A pair of virtual Ethernet interfaces: one for a device, and the other end, at which the test sends and
 * receives frames through a packet socket. As root only; not a test itself.
 *
 * @module
 */

import { checkErrno, Errno, stubs } from "../../native/stubs.ts";
import { ifReadable, readText } from "../../native/files.ts";
import { isRoot, tool } from "./processes.ts";

const AF_PACKET = 17, AF_INET = 2, SOCK_RAW = 3, SOCK_DGRAM = 2, NONBLOCK = 0x800;
const ETH_P_ALL = 3, SOL_PACKET = 263, PACKET_IGNORE_OUTGOING = 23;
const SIOCETHTOOL = 0x8946, ETHTOOL_STXCSUM = 0x17;
const LONGEST = 65536;

/** Whether this process may use AF_XDP, and the kernel knows it. */
export const canUseXdp: boolean = isRoot &&
  /^XDP\s/m.test(ifReadable(() => readText("/proc/net/protocols")) ?? "");

let made = 0;

/** Options of {@linkcode Veth.make}. */
export interface VethOptions {
  /** Queues of both ends (default: 1). */
  readonly queues?: number;
  /** MTU of both ends (default: 1500). */
  readonly mtu?: number;
}

/** A pair of interfaces without addresses. */
export class Veth implements AsyncDisposable {
  /** The name of the interface for a device. */
  readonly near: string;
  /** The name of the other end. */
  readonly far: string;
  #socket = -1;
  readonly #frame = new Uint8Array(LONGEST);
  readonly #nothing = new Int32Array(17);

  private constructor(number: number) {
    this.near = `ixy${Deno.pid}n${number}`;
    this.far = `ixy${Deno.pid}f${number}`;
  }

  /** Creates one, with both ends up. */
  static async make({ queues = 1, mtu = 1500 }: VethOptions = {}): Promise<Veth> {
    const pair = new Veth(made++), { near, far } = pair;
    const counts = ["numrxqueues", `${queues}`, "numtxqueues", `${queues}`];
    const rest = ["mtu", `${mtu}`, ...counts];
    await tool("ip", "link", "add", near, ...rest, "type", "veth", "peer", "name", far, ...rest);
    try {
      for (const name of [near, far]) {
        // Nothing but what the test sends: the kernel would look for IPv6 routers and neighbours.
        await Deno.writeTextFile(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
        turnChecksumsOff(name);
        await tool("ip", "link", "set", name, "up");
      }
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
    return pair;
  }

  /** The address of the device. */
  get address(): string {
    return `xdp:${this.near}`;
  }

  /** A packet socket at the other end. */
  get #wire(): number {
    if (this.#socket >= 0) return this.#socket;
    const fd = checkErrno("socket", stubs.ixy_socket(AF_PACKET, SOCK_RAW | NONBLOCK, 0));
    const one = Uint32Array.of(1), ll = new DataView(new ArrayBuffer(20));
    checkErrno("option", stubs.ixy_setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, one, 4));
    ll.setUint16(0, AF_PACKET, true);
    ll.setUint16(2, ETH_P_ALL); // in the order of the network
    ll.setInt32(4, indexOf(this.far), true);
    checkErrno("bind", stubs.ixy_bind_address(fd, new Uint8Array(ll.buffer), 20));
    return this.#socket = fd;
  }

  /** Starts to listen at the other end. */
  listen(): void {
    this.#wire;
  }

  /** Sends a frame from the other end to the device. */
  send(frame: Uint8Array): void {
    const bytes = new Uint8Array(frame);
    checkErrno("send", stubs.ixy_send(this.#wire, bytes, bytes.length, this.#nothing, 0, 0));
  }

  /** Takes the next frame that has arrived at the other end; undefined if there is none. */
  take(): Uint8Array | undefined {
    const frame = this.#frame;
    const n = stubs.ixy_read(this.#wire, frame, frame.length);
    return n === -Errno.EAGAIN ? undefined : frame.slice(0, checkErrno("receive", n));
  }

  /** Deletes both interfaces, also if one was moved to another namespace that is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket >= 0) stubs.ixy_close(this.#socket);
    await new Deno.Command("ip", { args: ["link", "delete", this.near], stderr: "null" }).output();
  }
}

/** Makes a request about an interface; returns the bytes behind its name. */
function ioctl(name: string, request: number, union: Uint8Array): DataView {
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(name));
  ifreq.set(union, 16);
  const fd = checkErrno("socket", stubs.ixy_socket(AF_INET, SOCK_DGRAM, 0));
  const n = stubs.ixy_ioctl(fd, request, ifreq);
  stubs.ixy_close(fd);
  checkErrno(`ioctl ${request} of ${name}`, n);
  return new DataView(ifreq.buffer, 16);
}

function indexOf(name: string): number {
  const SIOCGIFINDEX = 0x8933;
  return ioctl(name, SIOCGIFINDEX, new Uint8Array(0)).getInt32(0, true);
}

/** Makes the kernel compute checksums itself: those of a virtual interface never get into frames otherwise. */
function turnChecksumsOff(name: string): void {
  const value = Uint32Array.of(ETHTOOL_STXCSUM, 0);
  const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(value));
  ioctl(name, SIOCETHTOOL, new Uint8Array(BigUint64Array.of(pointer).buffer));
  if (value[0] !== ETHTOOL_STXCSUM) throw new Error("unreachable: keeps the value alive");
}
