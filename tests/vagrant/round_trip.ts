/**
 * Sends numbered UDP packets of every length from one device, and checks that a forwarder delivers
 * them to another one: all of them, in order, and changed only in byte 1, which it increments. Then
 * the other way: `deno run --allow-ffi tests/vagrant/round_trip.ts --count N A B`. The number of
 * packets on their way is limited, so that no ring overflows, and a loss is an error. To measure
 * speed, use `pktgen.ts`.
 *
 * @module
 */

import { type Device, DeviceError, Mempool, open, PacketBatch, StopFlag } from "../../mod.ts";
import { checksum } from "../../packets/checksum.ts";
import { command } from "../../programs/command_line.ts";
import { whole } from "../../programs/options.ts";
import { run } from "../../programs/run.ts";

/** What the command line requests. */
interface Plan {
  readonly addresses: readonly string[];
  readonly count: number;
}

const ROUND_TRIP = command({
  start: "deno run --allow-ffi tests/vagrant/round_trip.ts",
  operands: { shown: "A B", are: "two devices", least: 2, most: 2 },
  about: "Sends packets from A and expects them at B, then from B and expects them at A.",
  options: {
    count: whole("packets each way", { alias: "n", least: 1, most: 1e9, default: 1000 }),
  },
  plan: ({ values: { count }, operands: addresses }): Plan => ({ addresses, count }),
});

/** Shortest and longest packet, in bytes without CRC. */
const SHORTEST = 60, LONGEST = 1514;
/** Most packets on their way. */
const WINDOW = 64;
/** Longest wait for the next packet. */
const SILENCE_MS = 10000;
/** The byte that the forwarder increments. */
const TOUCHED = 1;

// Offsets in a packet, in bytes.
const SOURCE = 6, TYPE = 12, IP = 14, UDP = 34, NUMBER = 42, PAYLOAD = 50;

/** Returns the packet with a number, as it is sent. The number determines its length. */
function packet(n: number, source: Uint8Array): Uint8Array {
  const length = SHORTEST + n * 97 % (LONGEST - SHORTEST + 1);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x02, 0, 0, 0, 0, 1]);
  bytes.set(source, SOURCE);
  view.setUint16(TYPE, 0x0800);
  view.setUint32(IP, 0x45000000 | length - IP);
  view.setUint32(IP + 8, 0x40110000); // time to live 64, UDP
  view.setUint32(IP + 12, 0xc6120001); // 198.18.0.1, source
  view.setUint32(IP + 16, 0xc6130001); // 198.19.0.1: 198.18.0.0/15 is for benchmarks (RFC 2544)
  view.setUint16(IP + 10, checksum(bytes, IP, UDP));
  view.setUint32(UDP, 0x00090009); // source and destination port 9, discard; no checksum
  view.setUint16(UDP + 4, length - UDP);
  view.setBigUint64(NUMBER, BigInt(n));
  for (let i = PAYLOAD; i < length; i++) bytes[i] = n * 31 + i;
  return bytes;
}

/** Returns whether this program sent a packet from an address: the link may carry others too. */
function isOurs(bytes: Uint8Array, source: Uint8Array): boolean {
  return source.every((byte, i) => bytes[SOURCE + i] === byte) &&
    bytes[TYPE] === 0x08 && bytes[TYPE + 1] === 0x00;
}

/** Throws an error that says how a received packet differs from the expected one. */
function check(bytes: Uint8Array, n: number, source: Uint8Array, device: Device): void {
  const expected = packet(n, source);
  expected[TOUCHED]++;
  const at = expected.findIndex((byte, i) => bytes[i] !== byte);
  if (at < 0 && bytes.length === expected.length) return;
  const what = bytes.length !== expected.length
    ? `has ${bytes.length} bytes, not ${expected.length}`
    : `has ${bytes[at]} in byte ${at}, not ${expected[at]}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const other = view.getBigUint64(NUMBER);
  throw new DeviceError(
    device.address,
    `expected packet ${n}, and packet ${other} arrived, which ${what}`,
  );
}

/** Sends packets one way; returns how many other packets arrived. */
function send(from: Device, to: Device, count: number, stop: StopFlag): number {
  const source = from.macAddress();
  const out = new PacketBatch(from.pool), back = new PacketBatch(to.pool);
  let sent = 0, received = 0, foreign = 0;
  for (let last = performance.now(); received < count && stop.signal === 0;) {
    while (sent < Math.min(count, received + WINDOW) && out.add(packet(sent, source))) sent++;
    from.txQueues[0].transmit(out);
    if (to.rxQueues[0].receive(back) > 0) {
      for (const bytes of back) {
        if (isOurs(bytes, source)) check(bytes, received++, source, to);
        else foreign++;
      }
      back.free();
      last = performance.now();
    } else if (performance.now() - last > SILENCE_MS) {
      throw new DeviceError(
        to.address,
        `packet ${received} of ${sent} sent from ${from.address} has not come for ` +
          `${SILENCE_MS / 1000} s: see whether the forwarder runs`,
      );
    }
  }
  return foreign;
}

async function main({ addresses, count }: Plan): Promise<number> {
  using pool = new Mempool();
  using stop = new StopFlag();
  using a = await open(addresses[0], { pool, promiscuous: true });
  using b = await open(addresses[1], { pool, promiscuous: true });
  for (const device of [a, b]) await device.waitForLink();
  for (const [from, to] of [[a, b], [b, a]]) {
    const foreign = send(from, to, count, stop);
    if (stop.signal !== 0) return 1;
    console.log(JSON.stringify({ from: from.address, to: to.address, packets: count, foreign }));
  }
  return 0;
}

if (import.meta.main) await run(ROUND_TRIP, main);
