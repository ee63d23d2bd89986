/**
 * QEMU's arguments for the guest's network cards.
 *
 * @module
 */

import { formatMac } from "../src/driver.ts";

/** Interfaces of a virtio device: the one from before version 1.0, both, or the one since. */
export const VIRTIO_KINDS = ["legacy", "transitional", "modern"] as const;

/** One of {@linkcode VIRTIO_KINDS}. */
export type VirtioKind = typeof VIRTIO_KINDS[number];

/** A virtio network card. */
export interface VirtioNic {
  /** Its interfaces. */
  readonly kind: VirtioKind;
  /** Its device number on the first bus, up to 31: 3 is 0000:00:03.0. */
  readonly slot: number;
  /** QEMU's `-netdev` for it, without the id. */
  readonly netdev: string;
  /** More properties: `{ mrg_rxbuf: "off", rx_queue_size: 1024 }`. */
  readonly properties?: Readonly<Record<string, string | number>>;
}

/**
 * Returns QEMU's arguments for a virtio network card. Its MAC address ends with its device number.
 */
export function virtioNic({ kind, slot, netdev, properties = {} }: VirtioNic): string[] {
  const all = {
    netdev: `net${slot}`,
    addr: `0x${slot.toString(16)}`,
    mac: formatMac(macOf({ slot })),
    romfile: "", // otherwise the firmware tries to boot from it
    "disable-legacy": kind === "modern" ? "on" : "off",
    "disable-modern": kind === "legacy" ? "on" : "off",
    ...properties,
  };
  const device = Object.entries(all).map(([name, value]) => `,${name}=${value}`).join("");
  return ["-netdev", `${netdev},id=net${slot}`, "-device", `virtio-net-pci${device}`];
}

/** Oldest version of QEMU that supports the cards of {@linkcode vfioUserNics}. */
export const VFIO_USER_QEMU = "10.1";

/**
 * Returns QEMU's arguments for cards that another process serves over vfio-user. The process maps
 * the guest's memory. It must accept doorbells as messages, and must serve before QEMU starts.
 * Requires {@linkcode VFIO_USER_QEMU}.
 *
 * @param addresses Address of each card: `vfio-user:PATH`.
 * @param slots Their device numbers on the first bus.
 * @param memory The guest's memory in MiB; default: 1024, as for a machine.
 */
export function vfioUserNics(
  addresses: readonly string[],
  slots: readonly number[],
  memory = 1024,
): string[] {
  const devices = addresses.flatMap((address, i) => {
    const socket = { type: "unix", path: address.replace(/^vfio-user:/, "") };
    const card = { driver: "vfio-user-pci", rombar: 0, addr: String(slots[i]), socket };
    return ["-device", JSON.stringify(card)]; // the only syntax that accepts a socket
  });
  const backend = `memory-backend-memfd,id=memory,size=${memory}M,share=on`;
  return ["-object", backend, "-machine", "memory-backend=memory", ...devices];
}

/** Returns the address of a card in the guest. */
export function addressOf({ slot }: Pick<VirtioNic, "slot">): string {
  return `0000:00:${slot.toString(16).padStart(2, "0")}.0`;
}

/** Returns the MAC address of a card. */
export function macOf({ slot }: Pick<VirtioNic, "slot">): Uint8Array {
  return Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, slot);
}
