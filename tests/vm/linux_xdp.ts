/**
 * AF_XDP in zero-copy mode, above Linux's ixgbe driver, which drives two ports of the software NIC: two
 * network stacks of the host communicate through a forwarder in the guest. Not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { ping, transfer } from "../support/namespaces.ts";
import { tool } from "../support/processes.ts";
import type { LinuxGuest } from "./linux_ixgbe.ts";

const BYTES = 1_000_000;
const FORWARD = "deno run --no-prompt --allow-ffi fwd.ts --json --no-touch --xdp=zero-copy";

/**
 * Forwards between the guest's two cards, twice; the driver must be freshly loaded. Their interfaces have
 * no addresses and one queue afterwards.
 */
export async function assertZeroCopy(guest: LinuxGuest): Promise<void> {
  const { links, directory } = guest, [a, b] = links.map(({ peer }) => peer);
  for (const { device, peer } of links) {
    await guest.do(`ethtool -L ${device} combined 1 && ip addr flush dev ${device}`);
    // One subnet at both ends.
    const address = `${peer.address}/16`;
    await tool("ip", "-n", peer.name, "addr", "replace", address, "dev", peer.device);
    await tool("ip", "-n", peer.name, "link", "set", peer.device, "mtu", "1500"); // as in the guest
  }
  const up = async () => {
    for (const { device } of links) await guest.carrier(device, 1);
  };
  await up();
  const devices = links.map(({ device }) => `xdp:${device}`).join(" ");
  const small = await guest.vm.run(`${FORWARD} ${devices}`);
  assertMatch(small.stderr, /may receive only 1024 bytes into a buffer of 2048, .* of 4096 bytes/);
  assertEquals(small.code, 2);
  await up();
  for (let i = 0; i < 2; i++) {
    const forwarder = await guest.vm.start(`${FORWARD} --buffer-size=4096 ${devices}`);
    assertEquals(await forwarder.line(() => true), '{"ready":true}', forwarder.stderr);
    await ping(a, b, 1472);
    await transfer(directory, a, b, BYTES);
    await guest.do("kill -TERM $(pidof deno)");
    const { code, stdout, stderr } = await forwarder.finish();
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout.trim().split("\n").at(-1)!, /"total":true/);
  }
}
