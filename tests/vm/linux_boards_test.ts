/**
 * Linux's ixgbe driver accepts the software NIC as other boards than one with SFP+: without a
 * module (KX4), and as X540 and X550 with a PHY, which it accesses by MDIO. It reads the X550's
 * EEPROM through the firmware.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { RSS_KEY, toeplitz } from "../../src/toeplitz.ts";
import { isRoot, TemporaryDirectory, tool, until } from "../support/processes.ts";
import {
  added,
  addedWithoutMisses,
  assertSame,
  type Counts,
  withNeighbours,
} from "./linux_counts.ts";
import { LinuxGuest } from "./linux_ixgbe.ts";
import {
  assertKnown,
  FIRST_RESET,
  RECEIVE_PATH,
  SELF_TEST,
  SELF_TEST_CRC,
  TAKEN_DOWN,
} from "./linux_known.ts";
import { PtpPeer } from "./ptp_peer.ts";
import { VlanPeer } from "./vlan_peer.ts";

const KX4 = 0x10f7, X540 = 0x1528, X550 = 0x1563;
const MEGABYTES = 5;
/** TCP port on the host; and a limit of packets that do not belong to the connection. */
const PORT = 5001, FEW = 20;
const VLAN = 5, OTHER_VLAN = 6, VLAN_ADDRESS = "10.98.0.2", VLAN_PEER = "10.98.0.1";
/** Bytes of a frame that are on the wire but not in memory. */
const TAG_BYTES = 4, CRC = 4;
/**
 * A warning of Linux about large packets: its driver divides the bytes outside of the first buffer by
 * the number of segments, which yields 0 if all are in one buffer.
 */
const LARGE = /eth0: Driver has suspect GRO implementation/;
/** Time in seconds that a clock is set to; how long a test runs at most; stamps to wait for. */
const CLOCK = 1_000_000, MINUTES = 10, STAMPS = 5;
/** Number of the host's addresses that send to the guest, so that hashes select several queues. */
const FLOWS = 24;

/** Returns whether a packet's hash is in the three quarters of the table that lead to queue 1. */
function leadsToSecond(from: string, to: string, entries: number): boolean {
  const bytes = [from, to].flatMap((address) => address.split(".").map(Number));
  return toeplitz(Uint8Array.from(bytes)) % entries >= entries / 4;
}

/** Loads the driver, and asserts that frames and counts are correct. */
async function drive(guest: LinuxGuest): Promise<void> {
  const [link] = guest.links;
  await guest.load();
  assertMatch(await guest.do("ethtool eth0"), /Speed: 10000Mb\/s[^]*Link detected: yes/);
  await withNeighbours(guest, link, async () => {
    assertSame(
      await addedWithoutMisses(guest, link, async () => {
        await guest.ping(link);
        await guest.echo(link, MEGABYTES);
      }),
    );
  });
}

/** Sends data both ways over a connection while hashes lead to queue 0; returns the counts. */
async function connect(guest: LinuxGuest): Promise<Counts["driver"]> {
  const [link] = guest.links;
  const { driver } = await added(guest, link, () => guest.echo(link, MEGABYTES));
  const { fdir_match, fdir_miss, rx_pkts_nic } = driver;
  assertEquals(fdir_match + fdir_miss, rx_pkts_nic, "each packet is a match or a miss");
  assert(fdir_miss < FEW, `${fdir_miss} of ${rx_pkts_nic} packets missed all filters`);
  return driver;
}

/**
 * Sets and reads the second card's clock, and lets a PTP master stamp packets in both directions.
 *
 * @param peer The master's slave.
 */
async function stamped(guest: LinuxGuest, peer: PtpPeer): Promise<void> {
  await guest.do("ip link set eth1 up");
  await guest.carrier("eth1", 1);
  assertMatch(await guest.do("ethtool -T eth1"), /hardware-transmit[^]*PTP Hardware Clock: \d/);
  const text = await guest.do(`phc_ctl eth1 set ${CLOCK} freq 10000000 wait 0.5 get freq 0`);
  const time = Number(/clock time is (\d+\.\d+)/.exec(text)?.[1]);
  assert(time >= CLOCK + 0.5 && time < CLOCK + MINUTES * 60, text);
  const master = await guest.vm.start(
    "ptp4l -i eth1 -2 -m --masterOnly 1 --logSyncInterval -3 --logAnnounceInterval -2 " +
      "--announceReceiptTimeout 2 --tx_timestamp_timeout 5000",
  );
  await until("stamps of several messages", () => peer.received.size >= STAMPS);
  await master.kill("INT");
  await master.finish();
  const sent = [...peer.sent.values()];
  assert(sent[0] > CLOCK && sent.at(-1)! < CLOCK + MINUTES * 60, sent.join());
  assertEquals(sent, sent.toSorted((a, b) => a - b));
  for (const [sequence, received] of peer.received) {
    const since = received - peer.sent.get(sequence)!;
    assert(since > 0 && since < MINUTES * 60, `request ${sequence}: ${since} s after Sync`);
  }
}

/** Uses a VLAN on the second card. */
async function tagged(guest: LinuxGuest, peer: VlanPeer): Promise<void> {
  const features = await guest.do("ethtool -k eth1");
  for (const name of ["rx-vlan-offload", "tx-vlan-offload", "rx-vlan-filter"]) {
    assertMatch(features, new RegExp(`^${name}: on`, "m"));
  }
  await guest.do(
    `modprobe 8021q; ip link set eth1 up; ip link add link eth1 name vlan type vlan id ${VLAN}`,
  );
  await guest.do(`ip addr add ${VLAN_ADDRESS}/24 dev vlan && ip link set vlan up`);
  await guest.carrier("vlan", 1);
  const before = await guest.statistics("eth1");
  await guest.ping(guest.links[0], 500, VLAN_PEER);
  // ARP and three pings: tagged on the wire, and without the tag in the driver's buffers.
  assertEquals(peer.tags, [VLAN, VLAN, VLAN, VLAN]);
  const after = await guest.statistics("eth1");
  const added = (name: string) => after[name] - before[name];
  assertEquals([added("rx_packets"), added("tx_packets")], [4, 4]);
  assertEquals(added("tx_bytes_nic"), peer.bytes + 4 * CRC);
  assertEquals(added("rx_bytes_nic") - added("rx_bytes"), 4 * (TAG_BYTES + CRC));
  peer.ask(OTHER_VLAN, VLAN_ADDRESS);
  peer.ask(VLAN, VLAN_ADDRESS);
  await until("an answer", () => peer.tags.length === 5);
  const { filtered, received } = (await guest.sim.report()).ports[1].counters;
  assertEquals([filtered, received], [1, 5]);
  await guest.do("ip link del vlan");
}

Deno.test({
  name: "Linux's ixgbe drives ports without a module (KX4)",
  ignore: !isRoot,
  async fn(t) {
    await using directory = await TemporaryDirectory.make();
    const [near, far] = [directory.file("near"), directory.file("far")];
    await using guest = await LinuxGuest.boot(directory, 1, KX4, [`dgram:${near},${far}`]);
    await drive(guest);
    await t.step("a connection is received by the queue that sends it (ATR)", async () => {
      await guest.do("ethtool -X eth0 weight 1 0");
      const processors = (queue: number) => `/sys/class/net/eth0/queues/tx-${queue}/xps_cpus`;
      await guest.do(`echo 0 > ${processors(0)} && echo 3 > ${processors(1)}`);
      const counts = await connect(guest);
      assertEquals(counts.tx_queue_1_packets, counts.tx_packets);
      assertEquals(counts.rx_queue_1_packets, counts.fdir_match);
    });
    await t.step("receive coalescing works, and filters direct flows to their queue", async () => {
      await guest.do("ethtool -K eth0 lro on ntuple on");
      await guest.carrier("eth0", 1);
      assertMatch(await guest.do("ethtool -k eth0"), /^large-receive-offload: on$/m);
      const added = await guest.do(`ethtool -N eth0 flow-type tcp4 src-port ${PORT} action 1`);
      const counts = await connect(guest);
      const { hw_rsc_aggregated: aggregated, hw_rsc_flushed: flushed } = counts;
      assert(flushed > 0 && aggregated > 2 * flushed, `${aggregated} in ${flushed} large packets`);
      assertEquals(counts.rx_queue_1_packets + aggregated - flushed, counts.fdir_match);
      await guest.do(`ethtool -N eth0 delete ${/ID (\d+)/.exec(added)?.[1]}`);
      await guest.do("ethtool -K eth0 lro off ntuple off");
      await guest.carrier("eth0", 1);
      await guest.ping(guest.links[0]);
    });
    await t.step("VLAN tags are inserted and stripped, and other VLANs are filtered", async () => {
      using peer = new VlanPeer(far, near, VLAN, VLAN_PEER);
      await tagged(guest, peer);
    });
    await t.step("the clock runs, and packets are stamped", async () => {
      using peer = new PtpPeer(far, near);
      await stamped(guest, peer);
    });
    await guest.assertQuiet(LARGE);
    assertKnown(await guest.quit(), TAKEN_DOWN);
  },
});

for (
  const [name, deviceId, mac, entries] of [["X540", X540, 3, 128], ["X550", X550, 4, 512]] as const
) {
  Deno.test({
    name: `Linux's ixgbe drives the software NIC as an ${name}`,
    ignore: !isRoot,
    async fn(t) {
      await using directory = await TemporaryDirectory.make();
      const [near, far] = [directory.file("near"), directory.file("far")];
      await using guest = await LinuxGuest.boot(directory, 1, deviceId, [`dgram:${near},${far}`]);
      const [link] = guest.links;
      const { device, peer, address } = link;
      await drive(guest);

      await t.step("the driver identifies EEPROM and PHY", async () => {
        await guest.do(`dmesg | grep 'MAC: ${mac}, .* PBA No: SIM599-001'`);
        const settings = await guest.do(`ethtool ${device}`);
        assertMatch(settings, /Port: Twisted Pair/);
        assertMatch(settings, /100baseT\/Full[^]*1000baseT\/Full[^]*10000baseT\/Full/);
      });
      await t.step("the driver notices that the link goes down and up", async () => {
        await guest.sim.command("link 0 down");
        await guest.carrier(device, 0);
        await guest.sim.command("link 0 up");
        await guest.carrier(device, 1);
        await guest.do(`ip link set ${device} down && ip link set ${device} up`);
        await guest.carrier(device, 1);
        await guest.ping(link);
      });
      await t.step(`flows are spread by a table of ${entries} entries`, async () => {
        // A quarter of the table leads to queue 0: on the X550 that is RETA, and the rest is ERETA.
        const key = Array.from(RSS_KEY, (byte) => byte.toString(16).padStart(2, "0")).join(":");
        await guest.do(`ethtool -X ${device} weight 1 3 hkey ${key}`);
        const table = await guest.do(`ethtool -x ${device}`);
        assertEquals(table.match(/^ *\d+: ( +\d+)+$/gm)?.length, entries / 8);
        const sources = Array.from({ length: FLOWS }, (_, i) => `10.99.0.${100 + i}`);
        const seconds = sources.filter((from) => leadsToSecond(from, address, entries)).length;
        const difference = await added(guest, link, async () => {
          for (const from of sources) {
            await tool("ip", "-n", peer.name, "address", "add", `${from}/24`, "dev", peer.device);
            await tool(...peer.command("ping", "-n", "-c", "1", "-W", "10", "-I", from, address));
          }
        });
        const { rx_packets, rx_queue_1_packets } = difference.driver;
        assertEquals(rx_queue_1_packets, seconds); // queue 0 also receives ARP
        assert(seconds > 0 && seconds < FLOWS && rx_packets > FLOWS);
      });
      await t.step("the clock runs, and packets are stamped", async () => {
        using peer = new PtpPeer(far, near);
        await stamped(guest, peer);
      });
      await t.step("the driver's self-test passes (ethtool -t)", async () => {
        await guest.selfTest(link);
        await guest.ping(link);
      });
      await t.step("the driver is unloaded and loaded again", async () => {
        await guest.do("rmmod ixgbe");
        await guest.load();
        await guest.ping(link);
      });
      await guest.assertQuiet();
      // The X550's firmware turns reception off, and it has no RDRXCTL.CRCSTRIP.
      const others = deviceId === X540 ? [TAKEN_DOWN, SELF_TEST_CRC] : [];
      assertKnown(await guest.quit(), FIRST_RESET, RECEIVE_PATH, ...SELF_TEST, ...others);
    },
  });
}
