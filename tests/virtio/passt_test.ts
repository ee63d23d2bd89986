/**
 * A vhost-user device against passt, which is a network stack behind a socket, and a back-end of
 * another kind than DPDK's: it sleeps until it is notified, and has no legacy interface. As root only,
 * since it gets a network namespace with nothing in it.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type Device, Mempool, open, PacketBatch } from "../../mod.ts";
import { unpackPackages } from "../../vm/debian.ts";
import {
  assertFailed,
  ffiOnly,
  isRoot,
  Program,
  run,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";

/** What passt gives out, and who it is itself, where it finds no network to take them from. */
const ASSIGNED = [169, 254, 2, 1], ROUTER = [169, 254, 2, 2];
const EVERYBODY = [255, 255, 255, 255, 255, 255], NOBODY = [0, 0, 0, 0];
const ARP = [0x08, 0x06], IPV4 = [0x08, 0x00];
const ARP_REQUEST = 1, ARP_REPLY = 2, DHCP_DISCOVER = 1, DHCP_OFFER = 2;
/** Where an Ethernet frame's payload begins, and where DHCP's messages do behind IP and UDP. */
const PAYLOAD = 14, DHCP = PAYLOAD + 28;
/** Which packet of DHCP this is about: whoever answers repeats it. */
const TRANSACTION = [0x12, 0x34, 0x56, 0x78];
/** Begins the options of DHCP, of which one is the message's kind: code and length. */
const COOKIE = [0x63, 0x82, 0x53, 0x63], DHCP_OPTIONS = 240, DHCP_KIND = [53, 1];

/** passt with a socket, in a network namespace of its own. */
async function startPasst(socket: string): Promise<Program> {
  const packages = await unpackPackages({ suite: "trixie", packages: ["passt"] });
  const passt = Program.start([
    ...["unshare", "--net", ...packages.command("passt")],
    ...["--vhost-user", "--foreground", "--socket", socket],
  ]);
  await until("passt's socket", () => passt.stderr.includes("You can start qemu"));
  return passt;
}

/** Two bytes, as networks order them. */
function word(n: number): number[] {
  return [n >> 8, n & 0xff];
}

/** Asks who has passt's own address (RFC 826). */
function arpRequest(mac: number[]): Uint8Array {
  const question = [...word(1), ...IPV4, 6, 4, ...word(ARP_REQUEST)];
  const addresses = [...mac, ...ASSIGNED, 0, 0, 0, 0, 0, 0, ...ROUTER];
  return Uint8Array.from([...EVERYBODY, ...mac, ...ARP, ...question, ...addresses]);
}

/** Asks for an address (RFC 2131, section 4.4.1). */
function dhcpDiscover(mac: number[]): Uint8Array {
  const message = new Uint8Array(236);
  message.set([1, 1, 6, 0, ...TRANSACTION]);
  message.set(mac, 28);
  const dhcp = [...message, ...COOKIE, ...DHCP_KIND, DHCP_DISCOVER, 255];
  const udp = [...word(68), ...word(67), ...word(8 + dhcp.length), 0, 0, ...dhcp];
  const ip = [0x45, 0, ...word(20 + udp.length), 0, 0, 0, 0, 64, 17, 0, 0, ...NOBODY];
  const header = [...ip, 255, 255, 255, 255];
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header[i] << 8 | header[i + 1];
  header.splice(10, 2, ...word(~((sum >> 16) + sum) & 0xffff));
  return Uint8Array.from([...EVERYBODY, ...mac, ...IPV4, ...header, ...udp]);
}

/** Sends a packet; returns the first one that comes and that is the answer. */
async function ask(
  device: Device,
  question: Uint8Array,
  isAnswer: (packet: Uint8Array) => boolean,
): Promise<Uint8Array> {
  const batch = new PacketBatch(device.pool);
  let answer: Uint8Array | undefined;
  batch.add(question);
  assertEquals(device.txQueues[0].transmit(batch), 1);
  await until("an answer", () => {
    device.rxQueues[0].receive(batch);
    for (const packet of batch) {
      if (isAnswer(packet)) answer ??= packet.slice();
    }
    batch.free();
    device.checkAlive();
    return answer !== undefined;
  });
  return answer!;
}

/** Whether bytes stand at a place of a packet. */
function has(packet: Uint8Array, at: number, bytes: number[]): boolean {
  return bytes.every((byte, i) => packet[at + i] === byte);
}

/** The kind of a DHCP message: its options are a code, a length and as many bytes each. */
function dhcpKind(packet: Uint8Array): number {
  let at = DHCP + DHCP_OPTIONS;
  while (at < packet.length && packet[at] !== DHCP_KIND[0]) at += 2 + packet[at + 1];
  return packet[at + 2];
}

Deno.test({
  name: "open() gets an address and answers from passt by vhost-user",
  ignore: !isRoot,
  fn: async (t) => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("passt.sock");
    await using _passt = await startPasst(socket);
    using pool = new Mempool();
    for (const time of ["first", "second"]) {
      using device = await open(`vhost-user:${socket}`, { pool });
      const mac = [...device.macAddress()];
      await t.step(`DHCP, for the ${time} time`, async () => {
        const offer = await ask(device, dhcpDiscover(mac), (packet) => {
          return has(packet, 12, IPV4) && has(packet, DHCP + 4, TRANSACTION);
        });
        assertEquals([...offer.subarray(0, 6)], mac);
        assertEquals([...offer.subarray(DHCP + 16, DHCP + 20)], ASSIGNED);
        assertEquals(dhcpKind(offer), DHCP_OFFER);
      });
      await t.step(`ARP, for the ${time} time`, async () => {
        const reply = await ask(device, arpRequest(mac), (packet) => has(packet, 12, ARP));
        assertEquals([...reply.subarray(PAYLOAD + 6, PAYLOAD + 8)], word(ARP_REPLY));
        assertEquals([...reply.subarray(PAYLOAD + 14, PAYLOAD + 18)], ROUTER);
        assertEquals([...reply.subarray(PAYLOAD + 18, PAYLOAD + 24)], mac);
      });
    }
  },
});

Deno.test({
  name: "open() refuses the legacy interface where the back-end does not have it",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("passt.sock");
    await using _passt = await startPasst(socket);
    const address = `vhost-user:${socket}`;
    const result = await run(ffiOnly("fwd.ts", ["--virtio=legacy", address, `${address}2`]));
    assertFailed(result, 1, /passt\.sock: .*SET_FEATURES/);
  },
});
