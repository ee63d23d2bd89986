/**
 * Answers ARP and ping for an IPv4 address, so that you can ping the driver:
 * `deno run --allow-ffi echo.ts A IP`.
 *
 * @module
 */

import { layoutFor, Mempool, PacketBatch, StopFlag, UsageError } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  type DeviceOptions,
  deviceOptions,
  INTERRUPT_OPTIONS,
  openDevice,
} from "./programs/device_options.ts";
import { isHostIp, Responder } from "./packets/responder.ts";
import { command } from "./programs/command_line.ts";
import { poll } from "./programs/poll.ts";
import { count, Report } from "./programs/report.ts";
import { run } from "./programs/run.ts";
import { reportUnsent } from "./programs/stall.ts";

/** What to do. */
interface Plan extends DeviceOptions {
  /** The device. */
  readonly address: string;
  /** The IPv4 address to answer for, 4 bytes. */
  readonly ip: Uint8Array;
}

/** The command line. */
export const ECHO = command({
  start: "deno run --allow-ffi echo.ts",
  operands: { shown: "A IP", are: "a device and an IP address", least: 2, most: 2 },
  about:
    `Answers ARP requests for the IPv4 address IP, and ICMP echo requests to it, on device A. It ignores
all other packets.
A is ${DEVICE_FORMS}.`,
  options: { ...INTERRUPT_OPTIONS, ...DEVICE_OPTIONS },
  notes:
    `arp, echo: requests answered; ignored: other packets; dropped: replies that the transmit ring
had no room for.`,
  plan({ values, operands: [address, ip] }): Plan {
    return { ...deviceOptions(values, [address]), address, ip: parseIp(ip) };
  },
});

/** @throws {UsageError} if the text is not the dotted IPv4 address of one host. */
function parseIp(text: string): Uint8Array {
  const ip = text.split(".").map((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256);
  if (ip.length !== 4 || ip.some((byte) => byte > 255) || !isHostIp(ip)) {
    throw new UsageError(`"${text}" is not the IPv4 address of a host: use one such as 192.0.2.1`);
  }
  return Uint8Array.from(ip);
}

async function main(plan: Plan): Promise<number> {
  const { rxEntries, txEntries, bufferSize } = plan, layout = layoutFor(plan.address);
  const buffers = rxEntries + txEntries + plan.batch;
  using pool = new Mempool({ buffers, bufferSize, ...layout });
  using stop = new StopFlag();
  await using device = await openDevice(plan.address, plan, { ...plan.open, pool });
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  const batch = new PacketBatch(pool, plan.batch);
  const responder = new Responder(device.macAddress(), plan.ip);
  const counts = { arp: 0, echo: 0, ignored: 0, dropped: 0 };

  const report = new Report(plan, [device], () => [count(device, counts)]);
  report.ready();
  await poll([device], report, stop, plan.seconds, (rounds) => {
    for (let i = 0; i < rounds; i++) {
      if (rx.receive(batch) === 0) continue;
      for (let p = 0; p < batch.length;) {
        const { length } = batch.packet(p);
        const kind = responder.answer(batch.resize(p, pool.maxLength), length); // the reply may be longer
        counts[kind]++;
        if (kind === "ignored") batch.drop(p);
        else batch.resize(p++, responder.length);
      }
      tx.transmit(batch);
      counts.dropped += batch.free();
    }
    return true;
  });
  report.total();
  reportUnsent([device]);
  return 0;
}

if (import.meta.main) await run(ECHO, main);
