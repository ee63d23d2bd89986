/**
 * Sends every UDP datagram back to its sender. For each line on its standard input, it prints what
 * has arrived since the line before. A program for tests: `udp_echo.ts ADDRESS PORT`.
 *
 * @module
 */

import { createSocket } from "node:dgram";

/** The program's output. */
export interface EchoCounts {
  /** Datagrams that have arrived. */
  readonly received: number;
  /** The datagrams that differ in source or content. */
  readonly distinct: number;
}

async function main(): Promise<void> {
  const [address, port] = Deno.args;
  const seen = new Set<string>();
  let received = 0;
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    received++;
    seen.add(`${from.address} ${from.port} ${message.toString("base64")}`);
    socket.send(message, from.port, from.address);
  });
  socket.bind(Number(port), address, () => console.log("listening"));
  for await (const _ of Deno.stdin.readable) {
    const counts: EchoCounts = { received, distinct: seen.size };
    console.log(JSON.stringify(counts));
    received = 0;
    seen.clear();
  }
  socket.close();
}

if (import.meta.main) await main();
