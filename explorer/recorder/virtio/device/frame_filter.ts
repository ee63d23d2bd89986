/**
 * Which frames a VirtIO network device accepts, and the queue of each (VirtIO 1.3, sections 5.1.6.5.1,
 * 5.1.6.5.2 and 5.1.6.5.6). Commands of the control queue change it.
 *
 * @module
 */

import type { Decision } from "../../../recording/step.ts";

const ETHERNET_HEADER = 14, ADDRESS = 6;
const IPV4 = 0x0800, VLAN = 0x8100, VLAN_TAG = 4;
/** Offset of the addresses in an IPv4 header. The ports follow them if it has no options. */
const IPV4_ADDRESSES = 12;

/** The decision about a frame: whether the device accepts it, and why. */
export interface Verdict extends Decision {
  readonly accepted: boolean;
}

/** The filter of a device. A device that was reset accepts every frame. */
export class FrameFilter {
  /** The device's own address. */
  readonly mac: Uint8Array;
  promiscuous = true;
  allMulticast = false;
  #unicast: readonly string[] = [];
  #multicast: readonly string[] = [];

  /** Creates the filter of a device that was reset. */
  constructor(mac: Uint8Array) {
    this.mac = mac;
  }

  /** Sets the table of addresses from the data of a command: two lists, unicast and multicast. */
  setTable(data: Uint8Array): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const lists: string[][] = [];
    for (let at = 0; at + 4 <= data.length && lists.length < 2;) {
      const count = view.getUint32(at, true), list: string[] = [];
      at += 4;
      for (let i = 0; i < count && at + ADDRESS <= data.length; i++, at += ADDRESS) {
        list.push(key(data.subarray(at, at + ADDRESS)));
      }
      lists.push(list);
    }
    [this.#unicast = [], this.#multicast = []] = lists;
  }

  /** Returns whether the device accepts a frame, and why. */
  decide(frame: Uint8Array): Verdict {
    const accept = (accepted: boolean, by: string, reason: string, section: string): Verdict => {
      return { accepted, by, reason, section: `VirtIO ${section}` };
    };
    if (this.promiscuous) {
      const reason = "The device is in promiscuous mode: it accepts every frame.";
      return accept(true, "VIRTIO_NET_CTRL_RX_PROMISC", reason, "5.1.6.5.1");
    }
    const destination = key(frame.subarray(0, ADDRESS));
    if (destination === "ff:ff:ff:ff:ff:ff") {
      return accept(true, "broadcast", "The device accepts every broadcast.", "5.1.6.5.1");
    }
    if (frame[0] & 1) {
      if (this.allMulticast) {
        const reason = "The device accepts every multicast frame.";
        return accept(true, "VIRTIO_NET_CTRL_RX_ALLMULTI", reason, "5.1.6.5.1");
      }
      const listed = this.#multicast.includes(destination);
      const reason = `The table of multicast addresses ${listed ? "has" : "lacks"} ${destination}.`;
      return accept(listed, "VIRTIO_NET_CTRL_MAC_TABLE_SET", reason, "5.1.6.5.2");
    }
    if (destination === key(this.mac)) {
      const reason = `The frame's destination is the device's address, ${destination}.`;
      return accept(true, "mac", reason, "5.1.6.5.2");
    }
    const listed = this.#unicast.includes(destination);
    const reason = listed
      ? `The table of unicast addresses has ${destination}.`
      : `The frame is for ${destination}, not for ${key(this.mac)}, and the device is not in ` +
        "promiscuous mode.";
    return accept(listed, listed ? "VIRTIO_NET_CTRL_MAC_TABLE_SET" : "mac", reason, "5.1.6.5.2");
  }
}

/**
 * Returns the pair of queues for a frame: the same for both directions of a flow, so that answers arrive
 * on the pair on which a program sends. Frames without IPv4 are for the first pair.
 *
 * @param pairs Pairs in use.
 */
export function steer(frame: Uint8Array, pairs: number): number {
  if (pairs === 1) return 0;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let type = ETHERNET_HEADER - 2;
  if (frame.length > ETHERNET_HEADER + VLAN_TAG && view.getUint16(type) === VLAN) type += VLAN_TAG;
  const addresses = type + 2 + IPV4_ADDRESSES, ports = addresses + 8;
  if (ports + 4 > frame.length || view.getUint16(type) !== IPV4) return 0;
  const source = mix(view.getUint32(addresses), view.getUint16(ports));
  const destination = mix(view.getUint32(addresses + 4), view.getUint16(ports + 2));
  return (source ^ destination) % pairs;
}

/** Mixes an address and a port into 16 bits. */
function mix(address: number, port: number): number {
  return Math.imul(address ^ port << 8, 0x9e3779b1) >>> 16;
}

function key(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
