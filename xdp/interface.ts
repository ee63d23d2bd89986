/**
 * A network interface of the kernel: its properties, and addresses that it receives for this process.
 *
 * It asks through ioctl(2), not through sysfs, what belongs to a network namespace: a socket belongs to that of
 * the process, while sysfs shows the one in which it was mounted. Memberships of a packet socket add
 * addresses and promiscuous mode. The kernel counts them, and removes those of a process that ends.
 *
 * @module
 */

import { decode, ifReadable, readText } from "../native/files.ts";
import { stubs } from "../native/stubs.ts";
import type { LinkStatus } from "../src/device.ts";
import { checkCall, DeviceError, UsageError } from "../src/errors.ts";
import {
  AF,
  ARPHRD_ETHER,
  DUPLEX_FULL,
  Ethtool,
  IFREQ,
  InterfaceFlag,
  Ioctl,
  Membership,
  packetMreq,
  SOCK,
  SOL,
} from "./abi.ts";

/** The speed that a driver reports if it does not know it. */
const SPEED_UNKNOWN = 0xffffffff;
const MAC_BYTES = 6, DRIVER_BYTES = 32;

/** Receive queues of an interface, as `ethtool -l` shows them. */
export interface Channels {
  /** Queues that receive. */
  readonly receive: number;
  /** The word for `ethtool -L` that sets their number: `combined` or `rx`. */
  readonly word: "combined" | "rx";
  /** The most that the driver supports. */
  readonly most: number;
}

/** What drives an interface. */
export interface InterfaceDriver {
  /** The name of the kernel driver. */
  readonly name: string;
  /** The PCI device ID of the card; undefined if it is none, or sysfs does not say. */
  readonly device?: number;
}

/** A network interface, open until {@linkcode NetworkInterface.prototype.close}. */
export class NetworkInterface {
  /** Its name when it was opened. */
  readonly name: string;
  /** Its number, which stays when it is renamed. */
  readonly index: number;
  readonly #address: string;
  /** A socket for ioctl(2). */
  readonly #control: number;
  /** A packet socket for memberships; -1 until one is needed. */
  #packet = -1;
  /** Names change. The last one is needed for ioctl(2). */
  #current: string;

  /**
   * Opens an interface.
   *
   * @param address The device's address, for messages.
   * @throws {UsageError} if there is none of this name, or it is not an Ethernet interface.
   */
  constructor(address: string, name: string) {
    this.#address = address;
    this.name = this.#current = name;
    if (new TextEncoder().encode(name).length >= IFREQ.NAME_BYTES || /[/\s\0]/.test(name)) {
      throw new UsageError(
        `${address}: an interface has a name of 1 to ${
          IFREQ.NAME_BYTES - 1
        } bytes without spaces ` +
          "and slashes: see `ip link`",
      );
    }
    this.#control = checkCall(address, "socket", stubs.ixy_socket(AF.INET, SOCK.DGRAM, 0));
    try {
      const found = this.#ioctl(Ioctl.GIFINDEX);
      if (found === undefined) {
        throw new UsageError(
          `${address}: this network namespace has no interface "${name}": \`ip link\` lists those it has`,
        );
      }
      this.index = found.getInt32(0, true);
      if (this.#ioctl(Ioctl.GIFHWADDR)?.getUint16(0, true) !== ARPHRD_ETHER) {
        throw new UsageError(
          `${address}: ${name} is not an Ethernet interface: use one that \`ip link\` shows with link/ether`,
        );
      }
    } catch (error) {
      stubs.ixy_close(this.#control);
      throw error;
    }
  }

  /** Makes a request about the interface; returns the union of struct ifreq, or undefined if refused. */
  #ioctl(request: number): DataView | undefined {
    const ifreq = new Uint8Array(IFREQ.BYTES);
    ifreq.set(new TextEncoder().encode(this.#current));
    if (stubs.ixy_ioctl(this.#control, request, ifreq) < 0) return undefined;
    return new DataView(ifreq.buffer, IFREQ.UNION);
  }

  /** Makes a request that every interface answers; as long as it exists. */
  #ask(request: number): DataView {
    this.checkPresent();
    const answer = this.#ioctl(request);
    if (answer === undefined) throw this.#gone();
    return answer;
  }

  #gone(): DeviceError {
    return new DeviceError(
      this.#address,
      `interface ${this.name} was deleted or moved to another network namespace: see \`ip link\``,
    );
  }

  /** Asks the interface's driver; returns its structure, or undefined if the driver does not answer. */
  #ethtool({ command, bytes }: { readonly command: number; readonly bytes: number }) {
    // The request and what it points to are in one piece of memory, as in `bpf.ts`.
    const memory = new Uint8Array(new ArrayBuffer(IFREQ.BYTES + bytes));
    memory.set(new TextEncoder().encode(this.#current));
    const struct = new DataView(memory.buffer, IFREQ.BYTES), view = new DataView(memory.buffer);
    struct.setUint32(0, command, true);
    const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
    view.setBigUint64(IFREQ.UNION, start + BigInt(IFREQ.BYTES), true);
    return stubs.ixy_ioctl(this.#control, Ioctl.ETHTOOL, memory) < 0 ? undefined : struct;
  }

  /**
   * Checks that the interface still exists in this network namespace.
   *
   * @throws {DeviceError} if it was deleted or moved to another namespace.
   */
  checkPresent(): void {
    const ifreq = new Uint8Array(IFREQ.BYTES);
    new DataView(ifreq.buffer).setInt32(IFREQ.UNION, this.index, true);
    if (stubs.ixy_ioctl(this.#control, Ioctl.GIFNAME, ifreq) < 0) throw this.#gone();
    const name = ifreq.subarray(0, IFREQ.NAME_BYTES);
    this.#current = decode(name.subarray(0, name.indexOf(0)));
  }

  /** Its MTU, in bytes: the most in a frame behind the Ethernet header. */
  mtu(): number {
    return this.#ask(Ioctl.GIFMTU).getInt32(0, true);
  }

  /** Its kernel driver, and what that drives; undefined if the driver does not say. */
  driver(): InterfaceDriver | undefined {
    const struct = this.#ethtool(Ethtool.GDRVINFO);
    if (struct === undefined) return undefined;
    const text = (offset: number) => {
      const bytes = new Uint8Array(struct.buffer, struct.byteOffset + offset, DRIVER_BYTES);
      return decode(bytes.subarray(0, bytes.indexOf(0)));
    };
    // Buses, unlike interfaces, are the same in all network namespaces.
    const file = `/sys/bus/pci/devices/${text(4 + 3 * DRIVER_BYTES)}/device`;
    const device = ifReadable(() => readText(file));
    return { name: text(4), ...(device && { device: Number(device) }) };
  }

  /** Its MAC address. */
  macAddress(): Uint8Array {
    const { buffer, byteOffset } = this.#ask(Ioctl.GIFHWADDR);
    return new Uint8Array(buffer, byteOffset + 2, MAC_BYTES).slice();
  }

  /** Its receive queues; undefined if its driver does not say. */
  channels(): Channels | undefined {
    const struct = this.#ethtool(Ethtool.GCHANNELS);
    if (struct === undefined) return undefined;
    const [mostRx, , , mostCombined, rx, , , combined] = Array.from(
      { length: 8 },
      (_, i) => struct.getUint32(4 + 4 * i, true),
    );
    if (mostCombined > 0) return { receive: rx + combined, word: "combined", most: mostCombined };
    return rx > 0 ? { receive: rx, word: "rx", most: mostRx } : undefined;
  }

  /** The state of its link. */
  linkStatus(): LinkStatus {
    const flags = this.#ask(Ioctl.GIFFLAGS).getUint16(0, true);
    if ((flags & InterfaceFlag.UP) === 0) {
      const reason = `the interface is down: run \`ip link set dev ${this.#current} up\``;
      return { up: false, megabits: 0, reason };
    }
    if ((flags & InterfaceFlag.RUNNING) === 0) return { up: false, megabits: 0 };
    const struct = this.#ethtool(Ethtool.GSET);
    if (struct === undefined) return { up: true, megabits: 0 };
    const speed = (struct.getUint16(12, true) | struct.getUint16(28, true) << 16) >>> 0;
    const full = struct.getUint8(14) === DUPLEX_FULL;
    // Drivers that do not know the speed report all ones, in 16 or in 32 bits.
    const megabits = speed === SPEED_UNKNOWN || speed === 0xffff ? 0 : speed;
    return { up: true, megabits, ...(full && { duplex: "full" }) };
  }

  /**
   * Adds or removes a membership: an address to receive, or promiscuous mode.
   *
   * @param type A type of {@linkcode Membership}.
   * @param mac The address; empty for promiscuous mode.
   * @throws {UsageError} if this process may not open a packet socket.
   * @throws {DeviceError} if the kernel refuses, or the interface is gone.
   */
  setMembership(add: boolean, type: number, mac: Uint8Array = new Uint8Array(0)): void {
    if (this.#packet < 0) {
      const fd = stubs.ixy_socket(AF.PACKET, SOCK.DGRAM, 0);
      this.#packet = checkCall(this.#address, "packet socket", fd, "this needs CAP_NET_RAW");
    }
    const option = add ? Membership.ADD : Membership.DROP;
    const mreq = packetMreq(this.index, type, mac);
    const result = stubs.ixy_setsockopt(this.#packet, SOL.PACKET, option, mreq, mreq.length);
    if (result < 0) this.checkPresent();
    checkCall(this.#address, "set addresses of the interface", result);
  }

  /** Closes it, which removes its memberships. */
  close(): void {
    stubs.ixy_close(this.#control);
    if (this.#packet >= 0) stubs.ixy_close(this.#packet);
  }
}
