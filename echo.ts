/**
 * Answers ARP and ping for an IPv4 address, so that one can ping the driver:
 * `deno run --allow-ffi echo.ts A IP`.
 *
 * @module
 */

import { Mempool, open, PacketBatch, StopFlag, UsageError } from "./mod.ts";
import {
  DEVICE_FORMS,
  DEVICE_OPTIONS,
  DEVICE_USAGE,
  deviceOptions,
  INTERRUPT_OPTIONS,
  INTERRUPT_USAGE,
} from "./programs/device_options.ts";
import { poll } from "./programs/poll.ts";
import { parse, run } from "./programs/program.ts";
import { count, Report } from "./programs/report.ts";
import { isHostIp, Responder } from "./packets/responder.ts";

const USAGE = `usage: deno run --allow-ffi echo.ts [options] A IP

Answers ARP requests for the IPv4 address IP and ICMP echo requests to it, at device A, which is
${DEVICE_FORMS}. All else is ignored.

${INTERRUPT_USAGE}
${DEVICE_USAGE}

arp, echo: requests answered; ignored: other packets; dropped: answers that the transmit ring
had no room for.`;

/** @throws {UsageError} if the text is not the IPv4 address of one host, in its usual form. */
function parseIp(text: string): Uint8Array {
  const ip = text.split(".").map((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256);
  if (ip.length !== 4 || ip.some((byte) => byte > 255) || !isHostIp(ip)) {
    throw new UsageError(`"${text}" is no IPv4 address of a host: use one like 192.0.2.1`);
  }
  return Uint8Array.from(ip);
}

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, { ...DEVICE_OPTIONS, ...INTERRUPT_OPTIONS });
  if (args.positionals.length !== 2) {
    const n = args.positionals.length;
    throw new UsageError(`echo.ts takes a device and an IP address, not ${n} of them: see --help`);
  }
  const ip = parseIp(args.positionals[1]);
  const options = deviceOptions(args);
  const { rxEntries, txEntries, bufferSize } = options;

  using pool = new Mempool({ buffers: rxEntries + txEntries + options.batch, bufferSize });
  using stop = new StopFlag();
  using device = await open(args.positionals[0], { ...options.open, pool });
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  const batch = new PacketBatch(pool, options.batch);
  const responder = new Responder(device.macAddress(), ip);
  const counts = { arp: 0, echo: 0, ignored: 0, dropped: 0 };

  const report = new Report(options, [device], () => [count(device, counts)]);
  report.ready();
  poll([device], report, stop, options.seconds, (rounds) => {
    for (let i = 0; i < rounds; i++) {
      if (rx.receive(batch) === 0) continue;
      for (let p = 0; p < batch.length;) {
        const { length } = batch.packet(p);
        const kind = responder.answer(batch.resize(p, bufferSize), length); // it may become longer
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
  return 0;
}

if (import.meta.main) await run(main);
