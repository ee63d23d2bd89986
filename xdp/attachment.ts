/**
 * The program on an interface, and the map through which it reaches the sockets. It is attached by a
 * descriptor (bpf_link): when the process ends, however it ends, the kernel detaches it.
 *
 * @module
 */

import { Errno, stubs, SystemError } from "../native/stubs.ts";
import { waitUntil } from "../native/clock.ts";
import { visible } from "../native/files.ts";
import { checkCall, DeviceError, makeCalls, UsageError } from "../src/errors.ts";
import {
  AttachFlag,
  createLink,
  createMap,
  loadProgram,
  PROGRAM_NAME,
  programName,
  updateMap,
} from "./bpf.ts";
import type { NetworkInterface } from "./interface.ts";
import {
  type AttachedProgram,
  attachedProgram,
  type NamedProgram,
  programAbove,
  programOnPort,
} from "./kernel_use.ts";
import { redirectProgram, type Selection } from "./program.ts";
import type { XdpMode, XdpSocket } from "./socket.ts";

/** How long the program of a process that has ended may stay attached, in milliseconds. */
const DETACH_MS = 1000;
/** Answers that mean: the interface has a program already, in the same or in another mode. */
const ATTACHED: readonly number[] = [-Errno.EBUSY, -Errno.EEXIST];

/** How the kernel runs the program of each mode; 0: by the driver if it can. */
const ATTACH_FLAGS: Readonly<Record<XdpMode, number>> = {
  auto: 0,
  "zero-copy": AttachFlag.DRIVER,
  copy: AttachFlag.DRIVER,
  generic: AttachFlag.GENERIC,
};

/** A program on an interface, until {@linkcode Attachment.prototype.close}. */
export class Attachment {
  readonly #address: string;
  readonly #map: number;
  /** The descriptors of map, program and link. */
  readonly #fds: readonly number[];
  /** Whether the kernel runs the program in its generic mode: after it has made a packet of the frame. */
  readonly generic: boolean;

  private constructor(address: string, fds: readonly number[], generic: boolean) {
    this.#address = address;
    this.#fds = fds;
    this.#map = fds[0];
    this.generic = generic;
  }

  /**
   * Attaches a program. Without sockets, it passes all frames on to the kernel.
   *
   * @param address The device's address, for messages.
   * @param queues Queues that may have a socket.
   * @param pieces Whether frames may be in several pieces.
   * @throws {UsageError} if the kernel or a permission does not allow it, the interface's driver lacks the
   * mode, or the interface has another program.
   */
  static async attach(
    address: string,
    at: NetworkInterface,
    queues: number,
    mode: XdpMode,
    selection: Selection,
    pieces: boolean,
  ): Promise<Attachment> {
    const fds: number[] = [];
    const keep = (fd: number) => {
      if (fd >= 0) fds.push(fd);
      return fd;
    };
    try {
      const map = keep(createMap(queues));
      if (map < 0) throw refusedBpf(address, "make a map", -map);
      const { result, log } = loadProgram(redirectProgram(map, selection), pieces);
      if (keep(result) < 0) throw refusedBpf(address, "load the program", -result, log);
      const flags = ATTACH_FLAGS[mode];
      let link = await attachOnce(address, result, at, flags);
      const elsewise = mode === "auto" && link < 0 && !ATTACHED.includes(link);
      if (elsewise) link = await attachOnce(address, result, at, AttachFlag.GENERIC);
      if (keep(link) < 0) throw refusedLink(address, at, mode, -link);
      const now = makeCalls(address, () => attachedProgram(at.index));
      return new Attachment(address, fds, now?.generic ?? false);
    } catch (error) {
      for (const fd of fds) stubs.ixy_close(fd);
      throw error;
    }
  }

  /** Redirects the frames of a socket's queue to the socket. */
  redirect({ queue, fd }: XdpSocket): void {
    checkCall(this.#address, `redirect queue ${queue}`, updateMap(this.#map, queue, fd));
  }

  /** Detaches the program. */
  close(): void {
    for (const fd of this.#fds.toReversed()) stubs.ixy_close(fd);
  }
}

/**
 * Checks that no port of a bond has a program: it may take frames before the bond receives them. The kernel
 * allows none below the program of the device, which is attached later. Waits a moment for the end of a
 * program of the same name, whose process may just have ended.
 *
 * @throws {UsageError} if a port has one.
 */
export async function checkPorts(
  address: string,
  { index, name }: Pick<NetworkInterface, "index" | "name">,
): Promise<void> {
  let found: NamedProgram | undefined;
  await waitUntil(DETACH_MS, () => {
    found = makeCalls(address, () => programOnPort(index));
    return found === undefined || isForeign(found);
  });
  if (found === undefined) return;
  const { which, end } = describe(found, found.name);
  throw new UsageError(
    `${address}: ${visible(found.name)}, a port of ${
      visible(name)
    }, has an XDP program${which}, which may ` +
      `take frames before they arrive here: ${end}`,
  );
}

/** Returns whether a program has another name. Only processes with CAP_SYS_ADMIN learn it. */
function isForeign({ id }: AttachedProgram): boolean {
  return (id && programName(id) || PROGRAM_NAME) !== PROGRAM_NAME;
}

/**
 * Attaches a program; waits a moment while the interface has one of the same name, whose process may just
 * have ended.
 */
async function attachOnce(
  address: string,
  program: number,
  { index }: NetworkInterface,
  flags: number,
): Promise<number> {
  const isOther = () => {
    const other = makeCalls(address, () => attachedProgram(index) ?? programAbove(index));
    return other !== undefined && isForeign(other);
  };
  let result = 0;
  await waitUntil(DETACH_MS, () => {
    result = createLink(program, index, flags);
    return !ATTACHED.includes(result) || isOther();
  });
  return result;
}

function refusedBpf(address: string, what: string, errno: number, log = ""): Error {
  const cause = new SystemError(what, errno);
  if (errno === Errno.EPERM || errno === Errno.EACCES && log === "") {
    return new UsageError(
      `${address}: ${cause.message}: bpf(2) needs CAP_BPF and CAP_NET_ADMIN, and a container may forbid ` +
        "it: run this as root, in a container with `--cap-add NET_RAW --cap-add NET_ADMIN --cap-add BPF`",
      { cause },
    );
  }
  if (errno === Errno.ENOSYS) {
    const why = "use a kernel with CONFIG_BPF_SYSCALL";
    return new UsageError(`${address}: ${cause.message}: ${why}`, { cause });
  }
  const last = log.split("\n").at(-1)!;
  const why = last === "" ? "see what dmesg says" : `the kernel says "${last}"`;
  return new DeviceError(address, `${cause.message}: ${why}`, { cause });
}

/** Returns, in words, which program an interface has, and how to end it. */
function describe({ id }: AttachedProgram, name: string): { which: string; end: string } {
  const its = id === undefined ? undefined : programName(id);
  return {
    which: id === undefined ? "" : ` ${its ? `"${visible(its)}", ` : ""}number ${id}`,
    end: "end the process that attached it, or run " +
      `\`ip link set dev ${visible(name)} xdp off\` if none did`,
  };
}

/** Returns why the kernel says that there is a program already, and what to do about it. */
function otherProgram(address: string, name: string, index: number): string {
  const own = makeCalls(address, () => attachedProgram(index));
  if (own) {
    const { which, end } = describe(own, name);
    return `it has another XDP program${which}: ${end}`;
  }
  const above = makeCalls(address, () => programAbove(index));
  if (!above) return "it had another XDP program, which is gone now: try again";
  const { which, end } = describe(above, above.name), on = visible(above.name);
  return `${on}, which is above it, has an XDP program${which}, and the kernel allows none below: ${end}`;
}

function refusedLink(
  address: string,
  { name, index }: NetworkInterface,
  mode: XdpMode,
  errno: number,
): UsageError {
  const cause = new SystemError(`attach a program to ${name}`, errno);
  const refuse = (why: string, option?: string) =>
    new UsageError(`${address}: ${cause.message}: ${why}`, { ...(option && { option }), cause });
  if (ATTACHED.includes(-errno)) return refuse(otherProgram(address, name, index));
  if (errno === Errno.EPERM) return refuse("this needs CAP_NET_ADMIN: run it as root");
  if (errno === Errno.EOPNOTSUPP) {
    return refuse(
      `its driver cannot run XDP programs, which the mode "${mode}" needs: use "auto" or "generic"`,
      "xdp.mode",
    );
  }
  if (errno === Errno.ERANGE) {
    return refuse(
      `the MTU of ${name} or of its other end is too large for its driver: lower it, or use the mode "auto"`,
      "xdp.mode",
    );
  }
  return refuse(
    `the kernel may be older than 5.9, or the driver may need a lower MTU, other queues, or no LRO: try \`ip link set dev ${name} mtu 1500\`, ` +
      `\`ethtool -L ${name}\`, \`ethtool -K ${name} lro off\``,
    "xdp.mode",
  );
}
