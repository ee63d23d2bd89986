/**
 * The parts of a frame, from Ethernet inwards: headers with their fields, payload and padding.
 * Damaged fields are shown with their values; a header that is cut short takes the bytes that are left.
 *
 * @module
 */

import { ipAt, MAC_BYTES, macAt } from "../../../../packets/addresses.ts";
import { ETHERTYPE, HEADER_BYTES } from "../../../../packets/protocols.ts";
import { ipv4, ipv6 } from "./ip_layers.ts";
import { Dissection, type Layer } from "./dissection.ts";

const ETHERTYPE_NAMES: Readonly<Record<number, string>> = {
  [ETHERTYPE.IPV4]: "IPv4",
  [ETHERTYPE.ARP]: "ARP",
  [ETHERTYPE.VLAN]: "VLAN",
  [ETHERTYPE.SERVICE_VLAN]: "service VLAN",
  [ETHERTYPE.IPV6]: "IPv6",
};
const ARP_OPERATIONS: Readonly<Record<number, string>> = { 1: "request", 2: "reply" };

/**
 * Divides a frame into its parts, which follow each other without gaps.
 *
 * @param frame The frame from its Ethernet header on, without CRC; of any length.
 */
export function layersOf(frame: Uint8Array): readonly Layer[] {
  const parts = new Dissection(frame);
  const type = ethernet(parts);
  switch (type) {
    case ETHERTYPE.ARP:
      arp(parts);
      break;
    case ETHERTYPE.IPV4:
      ipv4(parts);
      break;
    case ETHERTYPE.IPV6:
      ipv6(parts);
      break;
    default:
      if (type !== undefined && type < ETHERTYPE.LENGTH) parts.end = parts.at + type;
  }
  return parts.finish();
}

/** Adds the Ethernet header and VLAN tags; returns the EtherType, undefined if it is cut short. */
function ethernet(parts: Dissection): number | undefined {
  const { view } = parts;
  const whole = parts.header("Ethernet", 2 * MAC_BYTES, (field) => {
    field("destination", 0, MAC_BYTES, (at) => macAt(view, at));
    field("source", MAC_BYTES, MAC_BYTES, (at) => macAt(view, at));
  });
  if (!whole) return undefined;
  while (parts.left >= 2 && isTag(view.getUint16(parts.at))) {
    const tagged = parts.header("VLAN", HEADER_BYTES.VLAN, (field) => {
      field("tag's EtherType", 0, 2, etherType(view));
      field("priority", 2, 1, (at) => `${view.getUint8(at) >> 5}`);
      field("VLAN", 2, 2, (at) => `${view.getUint16(at) & 0xfff}`);
    });
    if (!tagged) return undefined;
  }
  const type = parts.left >= 2 ? view.getUint16(parts.at) : undefined;
  parts.header("Ethernet", 2, (field) => {
    if (type! < ETHERTYPE.LENGTH) field("length", 0, 2, () => `${type} bytes (IEEE 802.3)`);
    else field("EtherType", 0, 2, etherType(view));
  });
  return type;
}

function isTag(type: number): boolean {
  return type === ETHERTYPE.VLAN || type === ETHERTYPE.SERVICE_VLAN;
}

function etherType(view: DataView): (at: number) => string {
  return (at) => {
    const type = view.getUint16(at), name = ETHERTYPE_NAMES[type];
    return `0x${type.toString(16).padStart(4, "0")}${name === undefined ? "" : `, ${name}`}`;
  };
}

function arp(parts: Dissection): void {
  const { view } = parts;
  parts.header("ARP", HEADER_BYTES.ARP, (field) => {
    field("hardware type", 0, 2, (at) => `${view.getUint16(at)}`);
    field("protocol type", 2, 2, etherType(view));
    field("address sizes", 4, 2, (at) => `${view.getUint8(at)} and ${view.getUint8(at + 1)} bytes`);
    field("operation", 6, 2, (at) => {
      const operation = view.getUint16(at), name = ARP_OPERATIONS[operation];
      return name === undefined ? `${operation}` : `${operation}, ${name}`;
    });
    field("sender's MAC address", 8, MAC_BYTES, (at) => macAt(view, at));
    field("sender's IP address", 14, 4, (at) => ipAt(view, at, 4));
    field("target's MAC address", 18, MAC_BYTES, (at) => macAt(view, at));
    field("target's IP address", 24, 4, (at) => ipAt(view, at, 4));
  });
  parts.end = parts.at;
}
