/**
 * A vhost-user device with passt, a network stack behind a socket. Unlike DPDK's back-end, it
 * sleeps until it is notified, and does not have the legacy interface. Root only: passt runs in an
 * empty network namespace.
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

/** The address that passt assigns, and its own, if it finds no network to take them from. */
const ASSIGNED = [169, 254, 2, 1], ROUTER = [169, 254, 2, 2];
const EVERYBODY = [255, 255, 255, 255, 255, 255], NOBODY = [0, 0, 0, 0];
const ARP = [0x08, 0x06], IPV4 = [0x08, 0x00];
const ARP_REQUEST = 1, ARP_REPLY = 2, DHCP_DISCOVER = 1, DHCP_OFFER = 2;
/** Offsets of an Ethernet frame's payload, and of a DHCP message after IP and UDP. */
const PAYLOAD = 14, DHCP = PAYLOAD + 28;
/** DHCP transaction id: the answer repeats it. */
const TRANSACTION = [0x12, 0x34, 0x56, 0x78];
/** The magic cookie before DHCP options, and code and length of the option for the message type. */
const COOKIE = [0x63, 0x82, 0x53, 0x63], DHCP_OPTIONS = 240, DHCP_KIND = [53, 1];

/** Starts passt with a socket, in a network namespace of its own. */
async function startPasst(socket: string): Promise<Program> {
  const packages = await unpackPackages({ suite: "trixie", packages: ["passt"] });
  const passt = Program.start([
    ...["unshare", "--net", ...packages.command("passt")],
    ...["--vhost-user", "--foreground", "--socket", socket],
  ]);
  await until("passt's socket", () => passt.stderr.includes("You can start qemu"));
  return passt;
}

/** Returns two bytes in network byte order. */
function word(n: number): number[] {
  return [n >> 8, n & 0xff];
}

/** Returns an ARP request for passt's own address (RFC 826). */
function arpRequest(mac: number[]): Uint8Array {
  const question = [...word(1), ...IPV4, 6, 4, ...word(ARP_REQUEST)];
  const addresses = [...mac, ...ASSIGNED, 0, 0, 0, 0, 0, 0, ...ROUTER];
  return Uint8Array.from([...EVERYBODY, ...mac, ...ARP, ...question, ...addresses]);
}

/** Returns a DHCP request for an address (RFC 2131, section 4.4.1). */
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

/** Sends a packet; returns the answer. */
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

/** Returns whether a packet has these bytes at an offset. */
function has(packet: Uint8Array, at: number, bytes: number[]): boolean {
  return bytes.every((byte, i) => packet[at + i] === byte);
}

/** Returns the type of a DHCP message. Each option is a code, a length and that many bytes. */
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
  name: "open() refuses the legacy interface if the back-end lacks it",
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
