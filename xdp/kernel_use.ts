/**
 * What the kernel itself uses an interface for, and the XDP program on it, as rtnetlink(7) tells.
 *
 * @module
 */

import { decode, visible } from "../native/files.ts";
import { attributes, Netlink, NLM_F_DUMP, request, u32 } from "./netlink.ts";

const RTM_GETLINK = 18, RTM_GETADDR = 22, RTM_GETROUTE = 26;
/** Bytes of the structures before the attributes. */
const IFINFOMSG = 16, IFADDRMSG = 8, RTMSG = 12;
/** Attributes of a link: what it belongs to (a bridge, a bond), its XDP program. */
const IFLA_MASTER = 10, IFLA_XDP = 43, IFLA_XDP_ATTACHED = 2, IFLA_XDP_PROG_ID = 4;
/** Attributes of an interface on top of another: its name, the other's number, its kind. */
const IFLA_IFNAME = 3, IFLA_LINK = 5, IFLA_LINKINFO = 18, IFLA_INFO_KIND = 1;
/** Kinds that receive what arrives at the interface below. The link of a veth is its other end. */
const ABOVE: readonly string[] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];
/** The value of IFLA_XDP_ATTACHED for the generic mode. */
const ATTACHED_GENERIC = 2;
/** Attributes of addresses, and their scope: valid on the link only. */
const IFA_ADDRESS = 1, IFA_LOCAL = 2, SCOPE_LINK = 253;
/** Attributes of routes: the interface, or several (struct rtnexthop). The type of those to other machines. */
const RTA_OIF = 4, RTA_MULTIPATH = 9, RTN_UNICAST = 1;
const AF_INET6 = 10;

function linkAttributes(index: number): Map<number, Uint8Array> {
  const body = new Uint8Array(IFINFOMSG);
  new DataView(body.buffer).setInt32(4, index, true);
  const [message] = request(Netlink.ROUTE, RTM_GETLINK, body);
  return attributes(message, IFINFOMSG);
}

/** An interface, by number and name. */
interface Named {
  readonly index: number;
  readonly name: string;
}

/** Returns the kind of a virtual interface: `vlan`, `bond`; empty for others. */
function kindOf(link: ReadonlyMap<number, Uint8Array>): string {
  const info = link.get(IFLA_LINKINFO), kind = info && attributes(info, 0).get(IFLA_INFO_KIND);
  return kind ? textOf(kind) : "";
}

/** Returns whether an interface is a bond of others. */
export function isBond(index: number): boolean {
  return kindOf(linkAttributes(index)) === "bond";
}

/** Returns the interfaces on top of an interface, such as VLANs. */
function interfacesAbove(index: number): Named[] {
  return all(RTM_GETLINK, IFINFOMSG).flatMap((link) => {
    const found = attributes(link, IFINFOMSG), below = found.get(IFLA_LINK);
    if (!below || u32(below) !== index || !ABOVE.includes(kindOf(found))) return [];
    return [{ index: u32(link.subarray(4)), name: textOf(found.get(IFLA_IFNAME)!) }];
  });
}

/** Returns a text that may have a NUL at its end. */
function textOf(bytes: Uint8Array): string {
  return decode(bytes).replace(/\0+$/, "");
}

/** Returns the numbers of the interfaces of a route. */
function outputs(route: Uint8Array): number[] {
  const found = attributes(route, RTMSG), out = found.get(RTA_OIF), hops = found.get(RTA_MULTIPATH);
  const all = out ? [u32(out)] : [];
  for (let at = 0; hops && at + 8 <= hops.length;) {
    all.push(u32(hops.subarray(at + 4)));
    at += Math.max(8, hops[at] | hops[at + 1] << 8);
  }
  return all;
}

/** An XDP program on an interface. */
export interface AttachedProgram {
  /** Its ID; undefined if it has several, in several modes. */
  readonly id: number | undefined;
  /** Whether the kernel runs it in its generic mode. */
  readonly generic: boolean;
}

/** Returns the XDP program among the attributes of a link; undefined if there is none. */
function programIn(link: ReadonlyMap<number, Uint8Array>): AttachedProgram | undefined {
  const xdp = link.get(IFLA_XDP);
  const nested = xdp && attributes(xdp, 0), mode = nested?.get(IFLA_XDP_ATTACHED)?.[0] ?? 0;
  if (mode === 0) return undefined;
  const id = nested?.get(IFLA_XDP_PROG_ID);
  return { id: id && u32(id), generic: mode === ATTACHED_GENERIC };
}

/**
 * Returns the XDP program on an interface; undefined if it has none.
 *
 * @throws {SystemError} if the kernel refuses.
 */
export function attachedProgram(index: number): AttachedProgram | undefined {
  return programIn(linkAttributes(index));
}

/** A program on an interface above or below another one. */
export interface NamedProgram extends AttachedProgram {
  /** The name of its interface. */
  readonly name: string;
}

/**
 * Returns the XDP program on a bridge or bond that an interface is part of, or on an interface on top of it:
 * the kernel attaches no program below another one.
 *
 * @returns undefined if there is none.
 * @throws {SystemError} if the kernel refuses.
 */
export function programAbove(index: number): NamedProgram | undefined {
  const above = interfacesAbove(index), master = linkAttributes(index).get(IFLA_MASTER);
  if (master) {
    const number = u32(master), name = textOf(linkAttributes(number).get(IFLA_IFNAME)!);
    above.unshift({ index: number, name });
  }
  for (const { index, name } of above) {
    const program = attachedProgram(index);
    if (program) return { name, ...program };
  }
  return undefined;
}

/**
 * Returns the XDP program on a port of a bridge or bond: it gets frames before that does.
 *
 * @returns undefined if no port has one.
 * @throws {SystemError} if the kernel refuses.
 */
export function programOnPort(index: number): NamedProgram | undefined {
  for (const link of all(RTM_GETLINK, IFINFOMSG)) {
    const found = attributes(link, IFINFOMSG), master = found.get(IFLA_MASTER);
    const program = master && u32(master) === index ? programIn(found) : undefined;
    if (program) return { name: textOf(found.get(IFLA_IFNAME)!), ...program };
  }
  return undefined;
}

/**
 * Returns what the kernel's network stack uses an interface for, in words: its addresses, the default route,
 * a bridge or bond that it is part of, interfaces on top of it. Leaves out the
 * addresses of IPv6 that are valid on the link only: every interface has one.
 *
 * @throws {SystemError} if the kernel refuses.
 */
export function usesOf(index: number): string[] {
  return [
    ...addressesOf(index).map((address) => `the address ${address}`),
    ...defaultRoutesOf(index).map((family) => `the default route of ${family}`),
    ...(linkAttributes(index).has(IFLA_MASTER) ? ["a bridge or bond"] : []),
    ...interfacesAbove(index).map(({ name }) => `${visible(name)}, an interface on top of it`),
  ];
}

/** Asks for all objects of a type; `bytes` is the size of its structure. */
function all(type: number, bytes: number): Uint8Array[] {
  return request(Netlink.ROUTE, type, new Uint8Array(bytes), NLM_F_DUMP);
}

/** Returns addresses with the lengths of their prefixes. */
function addressesOf(index: number): string[] {
  return all(RTM_GETADDR, IFADDRMSG).flatMap((message) => {
    const [family, bits, , scope] = message;
    const automatic = family === AF_INET6 && scope === SCOPE_LINK;
    if (u32(message.subarray(4)) !== index || automatic) return [];
    const found = attributes(message, IFADDRMSG);
    const bytes = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS);
    return bytes ? [`${formatAddress(family, bytes)}/${bits}`] : [];
  });
}

/** Returns the protocols whose default route leads through an interface. */
function defaultRoutesOf(index: number): string[] {
  return all(RTM_GETROUTE, RTMSG).filter((message) => {
    const bits = message[1], type = message[7];
    return bits === 0 && type === RTN_UNICAST && outputs(message).includes(index);
  }).map(([family]) => family === AF_INET6 ? "IPv6" : "IPv4");
}

function formatAddress(family: number, bytes: Uint8Array): string {
  if (family !== AF_INET6) return bytes.join(".");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1); // shortens runs of zeros
}
