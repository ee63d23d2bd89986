/**
 * A device of each driver that outlives the process which drives it, and sends every frame back: ixgbe on
 * the software NIC over vfio-user, VirtIO on a vhost-user back-end, AF_XDP on a virtual Ethernet interface.
 * Not a test itself.
 *
 * @module
 */

import { isReleased } from "../../xdp/release.ts";
import { type Program, Sim, TemporaryDirectory, tool } from "./processes.ts";
import { canUseXdp, Veth } from "./veth.ts";
import { StrictBackend } from "./vhost_user.ts";

/** A device, and what is known of it outside the process that drives it. */
export interface ServedRig extends AsyncDisposable {
  /** The address for `open`. */
  readonly address: string;
  /** Sends back what has arrived at the other end; only to call in between, if the other end is here. */
  turn(): void;
  /** Returns what the device, or who serves it, still has of a process, in words; empty if nothing. */
  left(): Promise<string[]>;
  /** Ends it in order; asserts that no rule was broken. */
  end(): Promise<void>;
}

/** How a driver's device is served. */
export interface ServedKind {
  /** Whether this machine has what it takes. */
  readonly possible: boolean;
  serve(): Promise<ServedRig>;
}

/** Connections that a back-end serves: more than a test makes. */
const CONNECTIONS = 10;

/** Returns a function that says whether a server has mapped memory of others since. */
function memoryOf({ pid }: Program): () => string[] {
  const pieces = () => Deno.readTextFileSync(`/proc/${pid}/maps`).split("/memfd:ixy ").length;
  const own = pieces();
  return () => pieces() > own ? ["the server has memory of the process"] : [];
}

async function serveIxgbe(): Promise<ServedRig> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await TemporaryDirectory.make()), end = directory.file("end");
  const sim = stack.use(await Sim.start(directory, [`dgram:${end},${end}`]));
  const memory = memoryOf(sim.program), owned = stack.move();
  return {
    address: sim.addresses[0],
    turn() {},
    async left() {
      const { ports: [{ connected }] } = await sim.report();
      return [...(connected ? ["the port has a connection"] : []), ...memory()];
    },
    end: async () => void await sim.quit(),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

async function serveVirtio(): Promise<ServedRig> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await TemporaryDirectory.make());
  const backend = stack.use(await StrictBackend.start(directory, { connections: CONNECTIONS }));
  const memory = memoryOf(backend.program), owned = stack.move();
  return {
    address: `vhost-user:${backend.socket}`,
    turn() {},
    left: () => Promise.resolve(memory()),
    end: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

async function serveXdp(): Promise<ServedRig> {
  const veth = await Veth.make();
  const details = async () =>
    JSON.parse(await tool("ip", "-d", "-j", "link", "show", veth.near))[0];
  const { ifindex, promiscuity, xdp } = await details();
  veth.listen();
  return {
    address: veth.address,
    turn() {
      for (let frame; (frame = veth.take()) !== undefined;) veth.send(frame);
    },
    async left() {
      const now = await details();
      return [
        ...(JSON.stringify(now.xdp) === JSON.stringify(xdp) ? [] : ["the interface has a program"]),
        ...(now.promiscuity === promiscuity ? [] : ["the interface is promiscuous"]),
        ...(isReleased(ifindex, 0) ? [] : ["the queue has a socket"]),
      ];
    },
    end: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => veth[Symbol.asyncDispose](),
  };
}

/** The drivers. */
export const SERVED: Readonly<Record<string, ServedKind>> = {
  ixgbe: { possible: true, serve: serveIxgbe },
  virtio: { possible: true, serve: serveVirtio },
  xdp: { possible: canUseXdp, serve: serveXdp },
};
