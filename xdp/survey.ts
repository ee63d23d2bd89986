/**
 * All network interfaces of this network namespace, and what their drivers can do for AF_XDP. Changes
 * nothing.
 *
 * @module
 */

import { decode } from "../native/files.ts";
import { SystemError } from "../src/errors.ts";
import { ARPHRD_ETHER, InterfaceFlag } from "./abi.ts";
import { attachedProgram, isBond, programOnPort, usesOf } from "./kernel_use.ts";
import { attributes, Netlink, NLM_F_DUMP, request, u32 } from "./netlink.ts";

const RTM_GETLINK = 18, IFINFOMSG = 16;
const IFLA_IFNAME = 3, IFLA_MTU = 4;
/** The controller of generic netlink: it knows the numbers of families by their names. */
const GENL_ID_CTRL = 16, CTRL_CMD_GETFAMILY = 3, CTRL_ATTR_FAMILY_ID = 1, CTRL_ATTR_FAMILY_NAME = 2;
/** The family "netdev" (linux/netdev.h), since Linux 6.3. */
const NETDEV_CMD_DEV_GET = 1, NETDEV_A_DEV_IFINDEX = 1, NETDEV_A_DEV_XDP_FEATURES = 3;
/** Features: programs in the driver, and their redirection; zero-copy. */
const REDIRECTS = 3, ZERO_COPY = 8;
/** Bytes of struct genlmsghdr. */
const GENL_HEADER = 4;

/** A network interface. */
export interface InterfaceSurvey {
  /** The address for `open`: `xdp:eth0`. */
  readonly address: string;
  /** Its name. */
  readonly name: string;
  /** Whether it is up. */
  readonly up: boolean;
  /** Its MTU, in bytes. */
  readonly mtu: number;
  /** The modes in which `open` can use it, the fastest first; null if the kernel does not say. */
  readonly modes: readonly ("zero-copy" | "copy" | "generic")[] | null;
  /** What the kernel uses it for, in words. */
  readonly uses: readonly string[];
  /** Whether it has an XDP program. */
  readonly program: boolean;
  /** If it is a bond, the name of a port that has an XDP program; null if none has. */
  readonly portWithProgram: string | null;
}

/**
 * Returns all Ethernet interfaces, in the order of their numbers.
 *
 * @throws {SystemError} if the kernel does not answer.
 */
export function surveyInterfaces(): InterfaceSurvey[] {
  const family = netdevFamily();
  const links = request(Netlink.ROUTE, RTM_GETLINK, new Uint8Array(IFINFOMSG), NLM_F_DUMP);
  return links.filter((link) => (link[2] | link[3] << 8) === ARPHRD_ETHER).map((link) => {
    const index = u32(link.subarray(4)), flags = u32(link.subarray(8));
    const found = attributes(link, IFINFOMSG), name = decode(found.get(IFLA_IFNAME)!.slice(0, -1));
    const bond = isBond(index);
    return {
      ...{ address: `xdp:${name}`, name, up: (flags & InterfaceFlag.UP) !== 0 },
      ...{ mtu: u32(found.get(IFLA_MTU)!), modes: bond ? ["generic"] : modesOf(family, index) },
      ...{ uses: usesOf(index), program: attachedProgram(index) !== undefined },
      portWithProgram: bond ? programOnPort(index)?.name ?? null : null,
    };
  });
}

/** Returns a message of generic netlink: a command with one attribute. */
function generic(command: number, attribute: number, value: Uint8Array): Uint8Array {
  const message = new Uint8Array(GENL_HEADER + 4 + value.length);
  message.set([command, 1, 0, 0, 4 + value.length, 0, attribute, 0]);
  message.set(value, GENL_HEADER + 4);
  return message;
}

/** Returns the number of the family that knows what drivers can do; undefined before Linux 6.3. */
function netdevFamily(): number | undefined {
  const name = new TextEncoder().encode("netdev\0");
  const body = generic(CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name);
  const [answer] = ifKnown(() => request(Netlink.GENERIC, GENL_ID_CTRL, body)) ?? [];
  const id = answer && attributes(answer, GENL_HEADER).get(CTRL_ATTR_FAMILY_ID);
  return id && (id[0] | id[1] << 8);
}

function modesOf(family: number | undefined, index: number): InterfaceSurvey["modes"] {
  if (family === undefined) return null;
  const number = new Uint8Array(Uint32Array.of(index).buffer);
  const body = generic(NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, number);
  const [answer] = ifKnown(() => request(Netlink.GENERIC, family, body)) ?? [];
  const bits = answer && attributes(answer, GENL_HEADER).get(NETDEV_A_DEV_XDP_FEATURES);
  if (bits === undefined) return null;
  const features = u32(bits), driver = (features & REDIRECTS) === REDIRECTS;
  if (!driver) return ["generic"];
  return (features & ZERO_COPY) === 0 ? ["copy", "generic"] : ["zero-copy", "copy", "generic"];
}

/** Returns undefined if the kernel does not know what it is asked. */
function ifKnown<Result>(ask: () => Result): Result | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}
