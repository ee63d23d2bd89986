/**
 * Linux's own driver of the 82599 accepts the software NIC: it finds the SFP+ module, brings the link
 * up, takes MSI-X interrupts, and talks to the host's kernel at the other end of the cable, which
 * checks every checksum and segment that the NIC has made.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { isRoot, TemporaryDirectory, tool } from "../processes.ts";
import { type Link, LinuxGuest } from "./linux_ixgbe.ts";

const SFP = 0x10fb, KX4 = 0x10f7;
const MEGABYTES = 8, MTU = 9000;

/** What Linux does although the datasheet forbids it, or does not wait for: see sim/README.md. */
const KNOWN = [
  "DMATXCTL: enabled after EEC.AUTO_RD was seen",
  "DMATXCTL: enabled after RDRXCTL.DMAIDONE was seen",
  "EIMC: reserved bits are written as they were read",
  "EIMS: reserved bits are written as they were read",
  "FCTRL: changed only while RXCTRL.RXEN is 0",
  "RXCTRL: enabled after EEC.AUTO_RD was seen",
];
/** Only once a queue's ring has gone round. */
const KNOWN_IN_TRAFFIC = "RDT: the DD bit of a descriptor that is handed over is 0";

function assertKnown(broken: ReadonlySet<string>, known: readonly string[]) {
  assertEquals([...broken].filter((rule) => rule !== KNOWN_IN_TRAFFIC).sort(), known);
}

async function allOf(links: readonly Link[], step: (link: Link) => Promise<void>): Promise<void> {
  await Promise.all(links.map(step));
}

Deno.test({
  name: "Linux's ixgbe drives two ports of the software 82599 (SFP+)",
  ignore: !isRoot,
  async fn(t) {
    await using directory = await TemporaryDirectory.make();
    await using guest = await LinuxGuest.boot(directory, 2, SFP);
    const { links, sim } = guest;
    const [{ device }] = links;
    await guest.load();

    await t.step("the module is identified and the link is up at 10 Gb/s", async () => {
      for (const { device } of links) {
        assertEquals(await guest.do(`cat /sys/class/net/${device}/speed`), "10000");
        await guest.do(`dmesg | grep '${device}: detected SFP+: 5'`);
      }
    });
    await t.step("packets interrupt by the vectors of queues", async () => {
      const before = await guest.interrupts(device);
      await guest.ping(links[0]);
      const after = await guest.interrupts(device);
      assertEquals([...after.keys()], [`${device}-TxRx-0`, `${device}-TxRx-1`, device]);
      const queues = (counts: Map<string, number>) =>
        counts.get(`${device}-TxRx-0`)! + counts.get(`${device}-TxRx-1`)!;
      assert(queues(after) >= queues(before) + 3, `${queues(before)} to ${queues(after)}`);
    });
    await t.step(
      "a link that goes and comes interrupts by the vector of other causes",
      async () => {
        const before = (await guest.interrupts(device)).get(device)!;
        await sim.command("link 0 down");
        await guest.carrier(device, 0);
        await sim.command("link 0 up");
        await guest.carrier(device, 1);
        assert((await guest.interrupts(device)).get(device)! >= before + 2);
      },
    );
    await t.step("TCP both ways over both ports at once", async () => {
      await allOf(links, (link) => guest.echo(link, MEGABYTES));
      for (const { device } of links) {
        assert(await guest.statistic(device, "tx_bytes") > MEGABYTES << 20);
        assert(await guest.statistic(device, "rx_bytes") > MEGABYTES << 20);
        for (const name of ["rx_errors", "tx_errors", "rx_crc_errors", "tx_dropped"]) {
          assertEquals(await guest.statistic(device, name), 0, name);
        }
      }
    });
    await t.step("jumbo frames", async () => {
      for (const { device, peer } of links) {
        await tool("ip", "-n", peer.name, "link", "set", peer.device, "mtu", String(MTU));
        await guest.do(`ip link set ${device} mtu ${MTU}`);
        await guest.carrier(device, 1);
      }
      await allOf(links, (link) => guest.ping(link, MTU - 28));
      await guest.echo(links[0], MEGABYTES);
    });
    await t.step("frames for others are filtered, unless promiscuous", async () => {
      const [{ peer, address }] = links;
      const entry = ["neigh", "replace", address, "lladdr", "02:00:00:00:00:77"];
      await tool("ip", "-n", peer.name, ...entry, "dev", peer.device, "nud", "permanent");
      const count = async () => (await sim.report()).ports[0].counters.filtered;
      const send = () => tool(...peer.command("ping", "-n", "-c", "1", "-W", "2", address));
      const filtered = await count();
      await send().then(() => assert(false, "it was answered"), () => {});
      assert(await count() > filtered);
      await guest.do(`ip link set ${device} promisc on`);
      const received = await guest.statistic(device, "rx_packets");
      await send().then(() => assert(false, "Linux answered what is not for it"), () => {});
      assert(await guest.statistic(device, "rx_packets") > received);
      await guest.do(`ip link set ${device} promisc off`);
      await tool("ip", "-n", peer.name, "neigh", "delete", address, "dev", peer.device);
      await guest.ping(links[0]);
    });
    await t.step("the driver is unloaded and loaded again", async () => {
      for (let i = 0; i < 3; i++) {
        await guest.do("rmmod ixgbe");
        await guest.load();
        await allOf(links, (link) => guest.ping(link));
      }
    });
    await guest.assertQuiet();
    assertKnown(await guest.quit(), KNOWN);
  },
});

Deno.test({
  name: "Linux's ixgbe drives a port without a module (KX4)",
  ignore: !isRoot,
  async fn() {
    await using directory = await TemporaryDirectory.make();
    await using guest = await LinuxGuest.boot(directory, 1, KX4);
    await guest.load();
    assertEquals(await guest.do("cat /sys/class/net/eth0/speed"), "10000");
    await guest.ping(guest.links[0]);
    await guest.echo(guest.links[0], 1);
    await guest.assertQuiet();
    assertKnown(await guest.quit(), KNOWN.filter((rule) => !rule.startsWith("FCTRL")));
  },
});
