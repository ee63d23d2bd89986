/**
 * DPDK's ixgbe driver accepts the software NIC, as an 82599, an X540 and an X550, through vfio-pci
 * behind an IOMMU. All boards are ports of one testpmd, and do the same at the same time.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { RSS_KEY, RSS_SYMMETRIC_KEY } from "../../src/toeplitz.ts";
import { packet } from "../support/ip_packets.ts";
import { until } from "../support/processes.ts";
import {
  ACK,
  corrupt,
  CWR,
  FIN,
  flow,
  frameTo,
  hashOf,
  IP,
  L4,
  numbered,
  PSH,
  sctp,
  segments,
  STATION,
  SYN,
  tagged,
  TCP_HEADERS,
  withoutAddresses,
} from "./dpdk_frames.ts";
import { type Board, DpdkGuest, type GuestTestpmd, type Received } from "./dpdk_guest.ts";
import { assertKnown } from "./dpdk_known.ts";
import { WINDOW } from "./frame_peer.ts";

const BOARDS = [
  { name: "82599", deviceId: 0x10fb },
  { name: "X540", deviceId: 0x1528 },
  { name: "X550", deviceId: 0x1563 },
];
const QUEUES = 4, OPTIONS = [`--rxq=${QUEUES}`, `--txq=${QUEUES}`];
const FRAMES = 300, JUMBO_FRAMES = 100, FEW = 20, FLOWS = 40, RESTARTS = 3;
const OTHER = [2, 0, 0, 0, 0, 0xaa], EVERYBODY = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const GROUP = [1, 0, 0x5e, 0, 0, 5], OTHER_GROUP = [1, 0, 0x5e, 0, 0, 6];
const VLAN = 5, OTHER_VLAN = 6, OUTER_VLAN = 100;
const MTU = 9000, ETHERNET = 14, TAGS = 8;
/** Payload of a TCP packet, and of its segments. */
const PAYLOAD = 8000, SEGMENT = 1400;
/** Commands for jumbo frames. */
const JUMBO = [
  "port config PORT rx_offload scatter on",
  `port config mtu PORT ${MTU}`,
  "port config PORT tx_offload multi_segs on",
];
/** Makes testpmd print packets, and makes it return them. */
const PRINT = ["set fwd rxonly", "set verbose 1"], RETURN = ["set fwd io", "set verbose 0"];

/** Returns the number of entries of a board's redirection table. */
function tableOf({ name }: Board): number {
  return name === "X550" ? 512 : 128;
}

/** Returns hashes and queues in an order that does not depend on the queues. */
function hashesAndQueues(packets: readonly Pick<Received, "hash" | "queue">[]): string[] {
  return packets.map(({ hash, queue }) => `${hash} ${queue}`).sort();
}

/** Asserts which functions the driver has chosen last, for each port. */
function assertPaths(log: string, receive: RegExp, transmit: RegExp): void {
  const lines = log.split("\n");
  for (const port of BOARDS.keys()) {
    const chosen = lines.filter((line) => /set_rx_function.*port=/.test(line));
    assertMatch(chosen.findLast((line) => line.includes(`port=${port}`))!, receive);
  }
  const sender = /set_tx_function.*(simple tx|Vector tx|full-featured)/;
  assertMatch(lines.findLast((line) => sender.test(line))!, transmit);
}

/** Asserts that frames come back unchanged, and in order. */
async function returned(guest: DpdkGuest, frames: readonly Uint8Array[]): Promise<void> {
  await guest.each(async ({ peer }) => assertEquals(await peer.exchange(frames), frames));
}

/** Asserts that frames come back unchanged, and that driver and NIC count all of them. */
async function counted(
  guest: DpdkGuest,
  testpmd: GuestTestpmd,
  frames: readonly Uint8Array[],
): Promise<void> {
  const countersOf = async ({ sim }: Board) => (await sim.report()).ports[0].counters;
  const before = await guest.each(countersOf);
  await testpmd.do("clear port stats all");
  await returned(guest, frames);
  const bytes = frames.reduce((sum, { length }) => sum + length, 0), { length } = frames;
  for (const [port, board] of guest.boards.entries()) {
    const counts = await testpmd.counts(port);
    const { "RX-packets": rx, "RX-bytes": rxBytes, "RX-missed": missed, "RX-errors": bad } = counts;
    assertEquals([rx, rxBytes, missed, bad], [length, bytes, 0, 0], board.name);
    const { "TX-packets": tx, "TX-bytes": txBytes, "TX-errors": lost } = counts;
    assertEquals([tx, txBytes, lost], [length, bytes, 0], board.name);
    const after = await countersOf(board);
    const added = (name: string) => after[name] - before[port][name];
    assertEquals([added("received"), added("transmitted")], [length, length], board.name);
  }
}

/** Sends frames that are filtered, then some that pass; asserts that only these come back. */
async function passing(
  guest: DpdkGuest,
  frames: readonly Uint8Array[],
  filtered: readonly Uint8Array[],
): Promise<void> {
  assert(frames.length + filtered.length <= WINDOW);
  await guest.each(async ({ name, peer }) => {
    assertEquals(await peer.exchange([...filtered, ...frames], frames.length), frames, name);
  });
}

/**
 * Asserts the queue of each flow from 1 on: the given one, without one that of RSS for UDP. -1 means
 * that the flow's packets are dropped.
 */
async function steered(
  guest: DpdkGuest,
  testpmd: GuestTestpmd,
  queues: readonly (number | undefined)[],
): Promise<void> {
  const flows = queues.map((_, i) => flow(i + 1));
  const all = flows.map((frame, i) => {
    const hash = hashOf(frame, RSS_KEY);
    return { hash, queue: queues[i] ?? hash % QUEUES };
  });
  const wanted = all.filter(({ queue }) => queue >= 0);
  await guest.each(async (board) => {
    const received = await testpmd.receive(board, flows, wanted.length);
    assertEquals(hashesAndQueues(received), hashesAndQueues(wanted), board.name);
  });
}

async function checksVectorPaths(t: Deno.TestContext, guest: DpdkGuest): Promise<void> {
  const testpmd = await guest.testpmd([], OPTIONS);

  await t.step("frames come back unchanged, and are counted", async () => {
    assertPaths(testpmd.log, /Vector rx enabled/, /Vector tx enabled/);
    await testpmd.do("start");
    await counted(guest, testpmd, numbered(FRAMES));
  });

  await t.step("the NIC checks checksums, and tells the type of packets", async () => {
    await testpmd.change(...PRINT);
    const udp = flow(1), tcp = flow(2, { protocol: "tcp" }), other = sctp(3);
    const cases = [
      [udp, "UDP", "IP_CKSUM_GOOD L4_CKSUM_GOOD"],
      [corrupt(udp, IP + 8), "UDP", "IP_CKSUM_BAD L4_CKSUM_GOOD"],
      [tcp, "TCP", "IP_CKSUM_GOOD L4_CKSUM_GOOD"],
      [corrupt(tcp, L4 + 20), "TCP", "IP_CKSUM_GOOD L4_CKSUM_BAD"],
      [other, "SCTP", "IP_CKSUM_GOOD L4_CKSUM_GOOD"],
      [corrupt(other, L4 + 20), "SCTP", "IP_CKSUM_GOOD L4_CKSUM_BAD"],
    ] as const;
    await guest.each(async (board) => {
      for (const [frame, kind, flags] of cases) {
        const [received] = await testpmd.receive(board, [frame]);
        assertEquals(received.kind, `L2_ETHER L3_IPV4 L4_${kind}`);
        const found = [...received.flags].filter((flag) => /^(L4|IP)_CKSUM/.test(flag));
        assertEquals(found.sort().join(" "), flags, board.name);
      }
    });
  });

  await t.step("packets have the hash of the RSS key, and the queue of the table", async () => {
    const flows = Array.from({ length: FLOWS }, (_, i) => flow(i));
    const spread = (key: Uint8Array, queueOf: (entry: number, table: number) => number) =>
      guest.each(async (board) => {
        const table = tableOf(board);
        const wanted = flows.map((frame) => {
          const hash = hashOf(frame, key);
          return { hash, queue: queueOf(hash % table, table) };
        });
        const received = await testpmd.receive(board, flows);
        assertEquals(hashesAndQueues(received), hashesAndQueues(wanted), board.name);
      });
    await testpmd.change("port config all rss udp");
    await spread(RSS_KEY, (entry) => entry % QUEUES);
    // The upper half of the table leads to the last queue: on the X550, that is in ERETA.
    const upper = (entry: number, table: number) => entry >= table / 2;
    for (const board of guest.boards) {
      const entries = flows.map((frame) => hashOf(frame, RSS_KEY) % tableOf(board));
      const changed = entries.filter((entry) => upper(entry, tableOf(board)));
      const set = `port config ${board.port} rss reta`;
      await testpmd.do(...changed.map((entry) => `${set} (${entry},${QUEUES - 1})`));
    }
    const queueOf = (entry: number, table: number) =>
      upper(entry, table) ? QUEUES - 1 : entry % QUEUES;
    await spread(RSS_KEY, queueOf);
    const key = RSS_SYMMETRIC_KEY.toHex();
    await testpmd.do(`port config PORT rss-hash-key ipv4-udp ${key}`);
    await guest.each(async (board) => {
      const hashes = (await testpmd.receive(board, flows)).map(({ hash }) => hash);
      const wanted = flows.map((frame) => hashOf(frame, RSS_SYMMETRIC_KEY));
      assertEquals(hashes.sort(), wanted.sort(), board.name);
    });
  });

  await t.step("frames are filtered by address", async () => {
    await testpmd.change(...RETURN, "set promisc all off", "set allmulti all off");
    const [station, other, group, otherGroup, everybody] = [
      STATION,
      OTHER,
      GROUP,
      OTHER_GROUP,
      EVERYBODY,
    ].map((address) => frameTo(address));
    await passing(guest, [everybody, station], [other, group, otherGroup]);
    await testpmd.do(
      "mac_addr add PORT 02:00:00:00:00:aa",
      "mcast_addr add PORT 01:00:5e:00:00:05",
    );
    await passing(guest, [other, group, station], [otherGroup]);
    await testpmd.do("mac_addr remove PORT 02:00:00:00:00:aa");
    await testpmd.do("mcast_addr remove PORT 01:00:5e:00:00:05");
    await passing(guest, [station], [other, group]);
    await testpmd.do("set allmulti all on");
    await passing(guest, [group, otherGroup, station], [other]);
    await testpmd.do("set promisc all on");
    await passing(guest, [other, station], []);
  });

  await t.step("frames are filtered by VLAN, and their tags are stripped", async () => {
    const frame = frameTo(STATION, 100);
    const [own, other] = [VLAN, OTHER_VLAN].map((id) => tagged(frame, id));
    await testpmd.do("set promisc all off", "vlan set filter on PORT");
    await passing(guest, [frame], [own, other]);
    await testpmd.do(`rx_vlan add ${VLAN} PORT`);
    await passing(guest, [own, frame], [other]);
    await testpmd.change("vlan set strip on PORT", ...PRINT);
    await guest.each(async (board) => {
      const [{ vlan, length, flags }] = await testpmd.receive(board, [own]);
      assertEquals([vlan, length, flags.has("VLAN_STRIPPED")], [VLAN, frame.length, true]);
    });
    await testpmd.change(...RETURN);
    await guest.each(async ({ peer }) => assertEquals(await peer.exchange([own]), [frame]));
    await testpmd.do("vlan set strip off PORT", `rx_vlan rm ${VLAN} PORT`);
    await passing(guest, [frame], [own, other]);
    await testpmd.do("vlan set filter off PORT", "set promisc all on");
    await passing(guest, [own, other, frame], []);
  });

  await t.step("of two VLAN tags, the inner one is filtered and stripped", async () => {
    await testpmd.do("set promisc all off", "vlan set extend on PORT", "vlan set filter on PORT");
    await testpmd.do(`rx_vlan add ${VLAN} PORT`);
    const frame = frameTo(STATION, 100), outer = tagged(frame, OUTER_VLAN);
    const [own, other] = [VLAN, OTHER_VLAN].map((id) => tagged(tagged(frame, id), OUTER_VLAN));
    await passing(guest, [own, outer], [other]);
    await testpmd.do("vlan set strip on PORT");
    await guest.each(async ({ peer }) => assertEquals(await peer.exchange([own]), [outer]));
    await testpmd.do("vlan set strip off PORT", `rx_vlan rm ${VLAN} PORT`);
    await testpmd.do("vlan set filter off PORT", "vlan set extend off PORT", "set promisc all on");
  });

  await t.step(`ports are stopped and started ${RESTARTS} times`, async () => {
    for (let i = 0; i < RESTARTS; i++) {
      await testpmd.restart();
      await returned(guest, numbered(FEW));
    }
  });

  await t.step("the driver notices that the link goes down and up", async () => {
    await guest.each(({ sim }) => sim.command("link 0 down"));
    await testpmd.links(0);
    await guest.each(({ sim }) => sim.command("link 0 up"));
    await testpmd.links();
    await returned(guest, numbered(FEW));
  });

  await t.step("jumbo frames fill several buffers, and longer ones are dropped", async () => {
    assertPaths(await testpmd.restart(...JUMBO), /Vector Scattered Rx/, /full-featured/);
    await counted(guest, testpmd, numbered(JUMBO_FRAMES, MTU + ETHERNET));
    await passing(guest, [frameTo(STATION)], [frameTo(STATION, MTU + ETHERNET + TAGS + 1)]);
  });

  await t.step("flow director's signature filters lead to a queue", async () => {
    await testpmd.change("port config all rss udp", ...PRINT);
    const fuzzy = "fuzzy thresh spec 2 thresh last 5 thresh mask 0xffffffff";
    const addresses = "ipv4 src is 10.0.1.1 dst is 10.1.0.1 / udp src is 1001 dst is 53";
    const pattern = `pattern ${fuzzy} / eth / ${addresses} / end`;
    await testpmd.do(`flow create PORT ingress ${pattern} actions queue index 2 / end`);
    await steered(guest, testpmd, [2, undefined]);
    await testpmd.do("flow flush PORT");
    await steered(guest, testpmd, [undefined, undefined]);
  });

  await testpmd.quit();
}

async function checksScalarPaths(t: Deno.TestContext, guest: DpdkGuest): Promise<void> {
  const testpmd = await guest.testpmd(["--force-max-simd-bitwidth=64"], OPTIONS);

  await t.step("frames come back unchanged, and are counted, in bulk and one by one", async () => {
    assertPaths(testpmd.log, /Bulk Alloc Preconditions are satisfied/, /simple tx code path/);
    await testpmd.do("start");
    await counted(guest, testpmd, numbered(FRAMES));
    const thresholds = ["rxfreet 8", "txfreet 16", "txrst 16"];
    const log = await testpmd.restart(...thresholds.map((words) => `port config all ${words}`));
    assertPaths(log, /Preconditions are not satisfied/, /full-featured/);
    await counted(guest, testpmd, numbered(FRAMES));
  });

  await t.step("single queues are stopped and started", async () => {
    await testpmd.do("port PORT rxq 0 stop", "port PORT txq 0 stop");
    await testpmd.do("port PORT txq 0 start", "port PORT rxq 0 start");
    await returned(guest, numbered(FRAMES));
  });

  await t.step("jumbo frames fill several buffers", async () => {
    assertPaths(await testpmd.restart(...JUMBO), /Regular \(non-vector, single/, /full-featured/);
    await counted(guest, testpmd, numbered(JUMBO_FRAMES, MTU + ETHERNET));
  });

  await t.step("the NIC inserts VLAN tags", async () => {
    await testpmd.restart(`tx_vlan set PORT ${VLAN}`, "set fwd mac");
    await guest.each(async ({ peer }) => {
      const frames = numbered(FEW);
      const received = (await peer.exchange(frames)).map(withoutAddresses);
      assertEquals(received, frames.map((frame) => withoutAddresses(tagged(frame, VLAN))));
    });
  });

  await t.step("the NIC inserts checksums", async () => {
    const insert = ["ip", "udp", "tcp", "sctp"].map((name) => `csum set ${name} hw PORT`);
    const check = ["ipv4", "udp", "tcp"].map((name) =>
      `port config PORT rx_offload ${name}_cksum on`
    );
    await testpmd.restart("tx_vlan reset PORT", ...insert, ...check, "set fwd csum");
    const [source, destination] = [1, 2].map((n) => [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), n]);
    const cases = [
      [flow(1), IP + 10],
      [flow(1), L4 + 6],
      [flow(2, { payload: 1001 }), L4 + 6],
      [flow(3, { protocol: "tcp" }), L4 + 16],
      [flow(4, { source, destination }), L4 + 20 + 6],
      [flow(5, { source, destination, protocol: "tcp", payload: 77 }), L4 + 20 + 16],
      [sctp(6), L4 + 8],
    ] as const;
    await testpmd.do("clear fwd stats all");
    await guest.each(async ({ name, peer }) => {
      for (const [frame, checksum] of cases) {
        const [received] = await peer.exchange([corrupt(frame, checksum)]);
        assertEquals(withoutAddresses(received), withoutAddresses(frame), name);
      }
    });
    const statistics = await testpmd.do("show fwd stats all");
    const bad = Array.from(statistics.matchAll(/Bad-ipcsum: (\d+) +Bad-l4csum: (\d+)/g));
    // DPDK ignores what the 82599 says about UDP: a checksum of 0 may be taken for a wrong one.
    const wanted = guest.boards.map(({ name }) => ["1", name === "82599" ? "3" : "6"]);
    assertEquals(bad.map(([, ip, l4]) => [ip, l4]), wanted);
  });

  await t.step("the NIC divides TCP packets into segments", async () => {
    await testpmd.restart(`tso set ${SEGMENT} PORT`);
    const [source, destination] = [[10, 0, 1, 1], [10, 1, 0, 1]];
    const ports = [1001, 80] as const;
    const options = { source, destination, protocol: "tcp", ports, payload: PAYLOAD } as const;
    // By default, only the last segment has PSH and FIN, and all others keep CWR (8.2.3.9.3).
    const whole = packet(options), parts = segments(options, SEGMENT, [ACK | PSH | FIN, ACK | CWR]);
    whole.set(STATION);
    await guest.each(async ({ name, peer }) => {
      const received = await peer.exchange([whole], parts.length);
      assertEquals(received.map(withoutAddresses), parts.map(withoutAddresses), name);
    });
  });

  await t.step("the NIC coalesces TCP segments", async () => {
    await testpmd.restart("tso set 0 PORT", "port config PORT rx_offload tcp_lro on", ...RETURN);
    const [source, destination] = [[10, 0, 1, 1], [10, 1, 0, 1]];
    const ports = [1001, 80] as const;
    const options = { source, destination, protocol: "tcp", ports, payload: PAYLOAD } as const;
    const parts = segments(options, SEGMENT, [ACK, ACK]);
    for (const part of parts) part.set(STATION);
    const payload = (received: readonly Uint8Array[]) =>
      received.flatMap((frame) => [...frame.subarray(TCP_HEADERS)]);
    const sent = [...packet(options).subarray(TCP_HEADERS)];
    await guest.each(async ({ name, peer }) => {
      // Segments are coalesced if they come at the same time.
      await until(`coalesced segments on the ${name}`, async () => {
        const all = (received: readonly Uint8Array[]) => payload(received).length >= PAYLOAD;
        const received = await peer.exchange(parts, all);
        assertEquals(payload(received), sent, name);
        return received.length < parts.length;
      });
    });
    await testpmd.restart("port config PORT rx_offload tcp_lro off");
  });

  await t.step("filters for five-tuples, EtherTypes and SYN lead to a queue", async () => {
    await testpmd.change("port config all rss udp", ...PRINT);
    const tuple = "ipv4 src is 10.0.1.1 dst is 10.1.0.1 proto is 17 / udp src is 1001 dst is 53";
    const filter = (pattern: string, queue: number, port: number | string = "PORT") =>
      `flow create ${port} ingress pattern ${pattern} / end actions queue index ${queue} / end`;
    const ethertype = frameTo(STATION), syn = flow(3, { protocol: "tcp" });
    syn[L4 + 13] = SYN;
    const queues = (wanted: (board: Board) => readonly number[]) =>
      guest.each(async (board) => {
        const found: number[] = [];
        for (const frame of [flow(1), flow(2), ethertype, syn]) {
          found.push((await testpmd.receive(board, [frame]))[0].queue);
        }
        assertEquals(found, wanted(board), board.name);
      });
    const [one, two] = [1, 2].map((i) => hashOf(flow(i), RSS_KEY) % QUEUES);
    await queues(() => [one, two, 0, 0]);
    await testpmd.do(filter("eth type is 0x88b5", 3));
    await testpmd.do(filter("eth / ipv4 / tcp flags spec 2 flags mask 2", 1));
    // DPDK has no five-tuple filters on the X550.
    const tupled = guest.boards.filter(({ name }) => name !== "X550");
    await testpmd.do(...tupled.map(({ port }) => filter(`eth / ${tuple}`, 2, port)));
    await queues((board) => [tupled.includes(board) ? 2 : one, two, 3, 1]);
    await testpmd.do("flow flush PORT");
    await queues(() => [one, two, 0, 0]);
  });

  await t.step("flow director's perfect filters lead to a queue, or drop", async () => {
    const pattern = (i: number) => `pattern eth / ipv4 src is 10.0.${i}.1 dst is 10.1.0.${i} / end`;
    await testpmd.do(
      `flow create PORT ingress ${pattern(1)} actions queue index 3 / mark id 7 / end`,
    );
    await testpmd.do(`flow create PORT ingress ${pattern(2)} actions drop / end`);
    await testpmd.do("clear port xstats all");
    await steered(guest, testpmd, [3, -1, undefined]);
    for (const { port, name } of guest.boards) {
      const counts = await testpmd.counts(port, "xstats");
      const { flow_director_matched_filters: matched, flow_director_missed_filters: missed } =
        counts;
      assertEquals([matched, missed], [2, 1], name);
    }
    await testpmd.do("flow destroy PORT rule 1");
    await steered(guest, testpmd, [3, undefined, undefined]);
    await testpmd.do("flow flush PORT");
    await steered(guest, testpmd, [undefined, undefined, undefined]);
  });

  await testpmd.quit();
}

Deno.test("DPDK's ixgbe drives the software NIC as an 82599, an X540 and an X550", async (t) => {
  await using guest = await DpdkGuest.boot(BOARDS);
  await t.step("with vector instructions", (t) => checksVectorPaths(t, guest));
  await t.step("without vector instructions", (t) => checksScalarPaths(t, guest));
  for (const [i, broken] of (await guest.quit()).entries()) assertKnown(BOARDS[i].name, broken);
});
