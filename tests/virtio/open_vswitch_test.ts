/**
 * vhost-user devices with Open vSwitch, whose ports connect to the driver (`dpdkvhostuserclient`).
 * Root only, to install the package and to reserve hugepages for the switch.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type Device, Mempool, open } from "../../mod.ts";
import { OpenVSwitch } from "../support/open_vswitch.ts";
import { isRoot, TemporaryDirectory, until } from "../support/processes.ts";
import { everySize, receiveAll, sendAll } from "../support/vhost_user.ts";

/** Frames that are on their way at once. */
const BURST = 96;

/**
 * Returns frames of all sizes with one type (IEEE's for experiments): the switch makes a flow for
 * each type that it sees, and meanwhile forwards later frames of known flows.
 */
function frames(): Uint8Array[] {
  const all = everySize();
  for (const frame of all) frame.set([0x88, 0xb5], 12);
  return all;
}

/** Sends frames one way, and asserts that they arrive unchanged and in order. */
async function assertPass(from: Device, to: Device, frames: readonly Uint8Array[]): Promise<void> {
  await pass(from, to, frames.slice(0, 1)); // makes the flow
  await pass(from, to, frames);
}

async function pass(from: Device, to: Device, sent: readonly Uint8Array[]): Promise<void> {
  const received: Uint8Array[] = [];
  for (let i = 0; i < sent.length; i += BURST) {
    const some = sent.slice(i, i + BURST);
    await sendAll(from, some);
    await until("frames to arrive", () => {
      received.push(...receiveAll(to));
      for (const device of [from, to]) device.checkAlive();
      return received.length >= i + some.length;
    });
  }
  assertEquals(received, sent);
}

Deno.test({
  name:
    "vhost-user-server joins Open vSwitch's ports, both ways and again after a device is closed",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    await using ovs = await OpenVSwitch.start(directory);
    const [first, second] = ovs.sockets.map((socket) => `vhost-user-server:${socket}`);
    using pool = new Mempool();
    const all = frames();
    using b = await open(second, { pool });
    {
      using a = await open(first, { pool });
      for (const [from, to] of [[a, b], [b, a]]) {
        await assertPass(from, to, all);
      }
    }
    using a = await open(first, { pool });
    await assertPass(a, b, all.slice(0, 200));
    await assertPass(b, a, all.slice(-200));
    assertEquals(a.statistics().rxPackets, 201);
  },
});
