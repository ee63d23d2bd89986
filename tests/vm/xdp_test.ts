/**
 * AF_XDP in zero-copy mode, above Linux's ixgbe driver, which drives two ports of the software NIC: two
 * network stacks of the host communicate through a forwarder in the guest.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { ping, transfer } from "../support/namespaces.ts";
import { isRoot, TemporaryDirectory, tool } from "../support/processes.ts";
import { LinuxGuest } from "./linux_ixgbe.ts";
import { assertKnown, TAKEN_DOWN } from "./linux_known.ts";

const SFP = 0x10fb, BYTES = 1_000_000;

Deno.test({
  name: "fwd.ts forwards with zero-copy above Linux's ixgbe driver, twice",
  ignore: !isRoot,
  async fn() {
    await using directory = await TemporaryDirectory.make();
    await using guest = await LinuxGuest.boot(directory, 2, SFP);
    const [a, b] = guest.links.map(({ peer }) => peer);
    await guest.load();
    for (const { device, peer } of guest.links) {
      // One queue each, and no address: the kernel no longer uses the interface.
      await guest.do(`ethtool -L ${device} combined 1 && ip addr flush dev ${device}`);
      // One subnet at both ends.
      await tool(
        "ip",
        "-n",
        peer.name,
        "addr",
        "replace",
        `${peer.address}/16`,
        "dev",
        peer.device,
      );
    }
    for (const { device } of guest.links) await guest.carrier(device, 1);
    const forward = "deno run --no-prompt --allow-ffi fwd.ts --json --no-touch --xdp=zero-copy";
    const small = await guest.vm.run(`${forward} xdp:eth0 xdp:eth1`);
    assertMatch(
      small.stderr,
      /may receive only 1024 bytes into a buffer of 2048, .* of 4096 bytes/,
    );
    assertEquals(small.code, 2);
    for (const { device } of guest.links) await guest.carrier(device, 1);
    for (let i = 0; i < 2; i++) {
      const forwarder = await guest.vm.start(`${forward} --buffer-size=4096 xdp:eth0 xdp:eth1`);
      assertEquals(await forwarder.line(() => true), '{"ready":true}', forwarder.stderr);
      await ping(a, b, 1472);
      await transfer(directory, a, b, BYTES);
      await guest.do("kill -TERM $(pidof deno)");
      const { code, stdout, stderr } = await forwarder.finish();
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout.trim().split("\n").at(-1)!, /"total":true/);
    }
    await guest.assertQuiet();
    assertKnown(await guest.quit(), TAKEN_DOWN);
  },
});
