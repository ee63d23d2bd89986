/** Forwards packets between two devices, both ways: deno run --allow-ffi example.ts A B */
import { type Device, Mempool, open, PacketBatch, StopFlag } from "./mod.ts";

if (Deno.args.length !== 2) {
  console.error("error: example.ts takes the addresses of two devices, such as 0000:03:00.0");
  Deno.exit(2);
}
using stop = new StopFlag(); // set by SIGINT, SIGTERM, SIGHUP, …
using pool = new Mempool({ buffers: 4096 }); // `using`: freed last, when no device does DMA
using a = await open(Deno.args[0], { pool, promiscuous: true });
using b = await open(Deno.args[1], { pool, promiscuous: true });
const batch = new PacketBatch(pool, 32);
console.log(`forwarding between ${a.model} and ${b.model}`);

function forward(from: Device, to: Device): void {
  if (from.rxQueues[0].receive(batch) === 0) return; // does not wait
  for (const packet of batch) packet[1]++; // a byte of the destination address
  to.txQueues[0].transmit(batch); // takes from the batch what it sends
  batch.free(); // what the transmit ring has no room for
}

for (let round = 1; stop.signal === 0; round++) {
  forward(a, b);
  forward(b, a);
  if (round % 100_000 === 0) { for (const device of [a, b]) device.checkAlive(); }
}
for (const device of [a, b]) {
  const { rxPackets, txPackets } = device.statistics();
  console.log(`${device.address}: received ${rxPackets}, sent ${txPackets} packets`);
}
