/**
 * Linux's ixgbe driver accepts the software NIC: it identifies the SFP+ module, brings the link up,
 * receives MSI-X interrupts, and communicates with the host's kernel at the other end of the cable,
 * which checks every checksum and segment that the NIC has generated.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { isRoot, run, TemporaryDirectory, tool } from "../support/processes.ts";
import { added, addedWithoutMisses, assertSame, withNeighbours } from "./linux_counts.ts";
import { type Link, LinuxGuest } from "./linux_ixgbe.ts";
import { assertZeroCopy } from "./linux_xdp.ts";
import { assertKnown, RECEIVE_PATH, SELF_TEST, SELF_TEST_CRC, TAKEN_DOWN } from "./linux_known.ts";

const SFP = 0x10fb;
const MEGABYTES = 5, MTU = 9000, RELOADS = 3;
/** A second address of the card, and an address of no host. */
const SECOND = "02:00:00:00:00:77", FOREIGN = "02:00:00:00:00:78";
const GROUP = "239.1.2.3", OTHER_GROUP = "239.9.9.9", GROUP_PORT = 5002;

const IPV6_ADDRESS = "fd99::2", IPV6_PEER = "fd99::1";

/** Joins a group and prints the first datagram for it. */
const JOIN = `
const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: ${GROUP_PORT} });
await socket.joinMulticastV4("${GROUP}", ADDRESS);
console.log("joined");
console.log(new TextDecoder().decode((await socket.receive())[0]));
`;

async function allOf(links: readonly Link[], step: (link: Link) => Promise<unknown>) {
  await Promise.all(links.map(step));
}

/** Sends a datagram from the other end of a cable. */
async function send({ peer }: Link, to: string): Promise<void> {
  await tool(...peer.command("bash", "-c", `echo hello > /dev/udp/${to}/${GROUP_PORT}`));
}

/**
 * Asserts that the card receives, or filters, a ping to an Ethernet address. Both ends have fixed ARP
 * entries meanwhile: the guest would otherwise receive the answer to its ARP request too.
 */
async function assertTakes(guest: LinuxGuest, link: Link, to: string, taken: boolean) {
  const { device, address, peer } = link;
  const neighbour = (verb: string, ...more: string[]) =>
    tool("ip", "-n", peer.name, "neigh", verb, address, "dev", peer.device, ...more);
  const show = ["ip", "-n", peer.name, "-j", "link", "show", peer.device];
  const [{ address: peerMac }] = JSON.parse(await tool(...show));
  await neighbour("replace", "lladdr", to, "nud", "permanent");
  await guest.do(`arp -i ${device} -s ${peer.address} ${peerMac}`);
  try {
    const { nic, driver } = await added(guest, link, async () => {
      await run(peer.command("ping", "-n", "-c", "1", "-W", "2", address));
    });
    const filtered = taken ? 0 : 1;
    assertEquals([nic.filtered, nic.received], [filtered, 1 - filtered], to);
    assertEquals(driver.rx_packets, 1 - filtered);
  } finally {
    await guest.do(`arp -i ${device} -d ${peer.address}`);
    await neighbour("delete");
  }
}

Deno.test({
  name: "Linux's ixgbe drives two ports of the software 82599 (SFP+)",
  ignore: !isRoot,
  async fn(t) {
    await using directory = await TemporaryDirectory.make();
    await using guest = await LinuxGuest.boot(directory, 2, SFP);
    const { links, sim } = guest;
    const [first] = links;
    const { device, peer } = first;
    await guest.load();

    await t.step("the module is identified and the link is up at 10 Gb/s", async () => {
      for (const { device } of links) {
        const settings = await guest.do(`ethtool ${device}`);
        assertMatch(settings, /^\s+Speed: 10000Mb\/s$/m);
        assertMatch(settings, /^\s+Port: FIBRE$/m);
        assertMatch(settings, /^\s+Link detected: yes$/m);
        await guest.do(`dmesg | grep '${device}: detected SFP+: 5'`);
      }
    });
    await t.step("packets cause interrupts of the queues' vectors", async () => {
      const before = await guest.interrupts(device);
      await guest.ping(first);
      const after = await guest.interrupts(device);
      assertEquals([...after.keys()], [`${device}-TxRx-0`, `${device}-TxRx-1`, device]);
      const queues = (counts: Map<string, number>) =>
        counts.get(`${device}-TxRx-0`)! + counts.get(`${device}-TxRx-1`)!;
      assert(queues(after) >= queues(before) + 3, `${queues(before)} to ${queues(after)}`);
    });
    await t.step(
      "a link that goes down and up causes interrupts of the vector for other causes",
      async () => {
        const before = (await guest.interrupts(device)).get(device)!;
        await sim.command("link 0 down");
        await guest.carrier(device, 0);
        assertMatch(await guest.do(`ethtool ${device}`), /Link detected: no/);
        await sim.command("link 0 up");
        await guest.carrier(device, 1);
        assert((await guest.interrupts(device)).get(device)! >= before + 2);
      },
    );
    await t.step("the driver's self-test passes (ethtool -t)", async () => {
      await guest.selfTest(first);
      await guest.ping(first);
    });
    await t.step("TCP both ways over both ports at once", async () => {
      await allOf(links, (link) => guest.echo(link, MEGABYTES));
      for (const { device } of links) {
        const statistics = await guest.statistics(device);
        assert(statistics.tx_bytes > MEGABYTES * 1e6 && statistics.rx_bytes > MEGABYTES * 1e6);
        for (const name of ["rx_errors", "tx_errors", "rx_crc_errors", "tx_dropped"]) {
          assertEquals(statistics[name], 0, name);
        }
      }
    });
    await t.step("ethtool -S counts the cable's traffic, including TCP segments", async () => {
      await withNeighbours(guest, first, async () => {
        const difference = await addedWithoutMisses(guest, first, async () => {
          for (const bytes of [56, 500, 1472]) await guest.ping(first, bytes);
          await guest.echo(first, MEGABYTES);
        });
        assert(difference.wire.rx.bytes > MEGABYTES * 1e6);
        assertSame(difference);
      });
    });
    await t.step("joined groups are received, and others are filtered", async () => {
      await tool("ip", "-n", peer.name, "route", "add", "239.0.0.0/8", "dev", peer.device);
      const code = JOIN.replace("ADDRESS", JSON.stringify(first.address));
      const others = await added(guest, first, () => send(first, OTHER_GROUP));
      assertEquals([others.nic.filtered, others.nic.received], [1, 0]);
      const before = await added(guest, first, () => send(first, GROUP));
      assertEquals([before.nic.filtered, before.nic.received], [1, 0]);
      const program = await guest.vm.start(`deno eval --unstable-net '${code}'`);
      assertEquals(await program.line(() => true), "joined");
      const joined = await added(guest, first, () => send(first, GROUP));
      assertEquals([joined.nic.filtered, joined.nic.received], [0, 1]);
      assertEquals(joined.driver.multicast, 1);
      const { code: status, stdout, stderr } = await program.finish();
      assertEquals([status, stdout, stderr], [0, "joined\nhello\n\n", ""]);
    });
    await t.step("jumbo frames", async () => {
      for (const { device, peer } of links) {
        await tool("ip", "-n", peer.name, "link", "set", peer.device, "mtu", String(MTU));
        await guest.do(`ip link set ${device} mtu ${MTU}`);
        await guest.carrier(device, 1);
      }
      await allOf(links, (link) => guest.ping(link, MTU - 28));
      await guest.echo(first, MEGABYTES);
    });
    await t.step(
      "all groups are received with allmulti, frames for other hosts are not",
      async () => {
        await guest.do(`ifconfig ${device} allmulti`);
        const all = await added(guest, first, () => send(first, OTHER_GROUP));
        assertEquals([all.nic.filtered, all.nic.received, all.driver.multicast], [0, 1, 1]);
        await assertTakes(guest, first, FOREIGN, false);
        await guest.do(`ifconfig ${device} -allmulti`);
        const none = await added(guest, first, () => send(first, OTHER_GROUP));
        assertEquals([none.nic.filtered, none.nic.received], [1, 0]);
      },
    );
    await t.step("frames for other hosts are received only in promiscuous mode", async () => {
      await assertTakes(guest, first, FOREIGN, false);
      await guest.do(`ip link set ${device} promisc on`);
      await assertTakes(guest, first, FOREIGN, true);
      await guest.do(`ip link set ${device} promisc off`);
      await assertTakes(guest, first, FOREIGN, false);
      await guest.ping(first);
    });
    await t.step("frames for a second address are received while the card has it", async () => {
      await assertTakes(guest, first, SECOND, false);
      await guest.do("modprobe macvlan");
      await guest.do(`ip link add link ${device} name second address ${SECOND} type macvlan`);
      await guest.do("ip link set second up");
      await assertTakes(guest, first, SECOND, true);
      await assertTakes(guest, first, FOREIGN, false);
      await guest.do("ip link del second");
      await assertTakes(guest, first, SECOND, false);
    });
    await t.step("the driver is unloaded and loaded again", async () => {
      for (let i = 0; i < RELOADS; i++) {
        await guest.do("rmmod ixgbe");
        await guest.load();
        await allOf(links, (link) => guest.ping(link));
      }
    });
    await t.step("TCP over IPv6", async () => {
      const set = (side: string, name: string) =>
        `echo 0 > /proc/sys/net/ipv6/conf/${side}/${name}`;
      await guest.do(`${set(device, "accept_dad")}; ${set(device, "disable_ipv6")}`);
      await guest.do(`ip -6 addr add ${IPV6_ADDRESS}/64 dev ${device}`);
      await tool(...peer.command("sh", "-c", set(peer.device, "disable_ipv6")));
      const address = ["address", "add", `${IPV6_PEER}/64`, "dev", peer.device, "nodad"];
      await tool("ip", "-n", peer.name, ...address);
      await guest.echo(first, MEGABYTES, IPV6_PEER);
    });
    await t.step("fwd.ts forwards with zero-copy above the driver, twice", async () => {
      await guest.do("rmmod ixgbe");
      await guest.load();
      await assertZeroCopy(guest);
    });
    await guest.assertQuiet();
    assertKnown(await guest.quit(), TAKEN_DOWN, RECEIVE_PATH, ...SELF_TEST, SELF_TEST_CRC);
  },
});
