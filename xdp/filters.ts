/**
 * The addresses that an interface receives for a device, as memberships of a packet socket: they add to
 * those of the kernel, and end with the process, so that nothing has to be restored.
 *
 * @module
 */

import { checkMulticast, checkUnicast } from "../src/driver.ts";
import { Membership } from "./abi.ts";
import type { NetworkInterface } from "./interface.ts";

/** Promiscuous mode, and the unicast and multicast addresses that the program has set. */
export class Filters {
  readonly #address: string;
  readonly #interface: NetworkInterface;
  #promiscuous = false;
  #mac: Uint8Array | undefined;
  #multicast: readonly Uint8Array[] = [];

  /** @param address The device's address, for messages. */
  constructor(address: string, at: NetworkInterface) {
    this.#address = address;
    this.#interface = at;
  }

  /** Turns promiscuous mode on or off. */
  setPromiscuous(on: boolean): void {
    if (on === this.#promiscuous) return;
    this.#interface.setMembership(on, Membership.PROMISCUOUS);
    this.#promiscuous = on;
  }

  /** The address that the program has set, else the interface's. */
  get mac(): Uint8Array {
    return this.#mac?.slice() ?? this.#interface.macAddress();
  }

  /**
   * Receives a unicast address besides the interface's own, instead of the one set before.
   *
   * @throws {UsageError} if it is not a unicast address.
   */
  setMac(mac: Uint8Array): void {
    checkUnicast(this.#address, mac);
    const before = this.#mac;
    this.#interface.setMembership(true, Membership.UNICAST, mac);
    this.#mac = mac.slice();
    if (before) this.#interface.setMembership(false, Membership.UNICAST, before);
  }

  /**
   * Receives these groups, and no longer those set before.
   *
   * @throws {UsageError} if one is not a multicast address.
   */
  setMulticast(addresses: readonly Uint8Array[]): void {
    checkMulticast(this.#address, addresses);
    for (const mac of addresses) this.#interface.setMembership(true, Membership.MULTICAST, mac);
    const before = this.#multicast;
    this.#multicast = addresses.map((mac) => mac.slice());
    for (const mac of before) this.#interface.setMembership(false, Membership.MULTICAST, mac);
  }
}
