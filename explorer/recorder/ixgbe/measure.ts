/**
 * Forwards between two ports of the software NIC in this thread, as fast as it can, without recording.
 *
 * @module
 */

import { ixgbe } from "../../../ixgbe/device.ts";
import { Direction, forwardRounds } from "../../../programs/forward.ts";
import { Generator } from "../../../sim/wires/generator.ts";
import { Mempool } from "../../../src/mempool.ts";
import type { Device } from "../../../src/device.ts";
import type { Experiment } from "../../recording/experiment.ts";
import type { Measurement } from "../recorder.ts";
import { Card } from "./card.ts";
import { DEVICE_IDS, stationOf } from "./recorder.ts";

/** Frames a second that a generator offers: more than can be forwarded. */
const RATE = 2e7;
/** Rounds between two looks at the clock. */
const ROUNDS = 64;
const LINK_MS = 1000;

/**
 * Forwards both ways between two ports, each with a generator that checks what it gets.
 *
 * @param milliseconds How long.
 * @throws {UsageError} if the experiment's pool is too small for the rings.
 */
export async function measure(
  { device, entries, batch, buffers, bufferSize }: Experiment,
  milliseconds: number,
): Promise<Measurement> {
  using pool = new Mempool({ buffers, bufferSize, memory: "pages" });
  using opened = new DisposableStack();
  const generators = [0, 1].map((id) => new Generator({ id, rate: RATE }));
  generators[0].pair(generators[1]);
  const cards = generators.map((generator, port) => {
    const options = { deviceId: DEVICE_IDS[device], mac: stationOf(port), lanId: port as 0 | 1 };
    const card = new Card(`port ${port}`, options);
    card.nic.wire = generator;
    return card;
  });
  const open = { pool, rxEntries: entries, txEntries: entries, promiscuous: true };
  const devices: Device[] = [];
  for (const card of cards) {
    const attached = opened.use(await ixgbe.attach(card, open));
    await attached.waitForLink(LINK_MS);
    devices.push(attached);
  }
  const [a, b] = devices;
  const there = new Direction(a.rxQueues[0], b.txQueues[0], batch, true);
  const back = new Direction(b.rxQueues[0], a.txQueues[0], batch, true);
  for (const generator of generators) generator.start();
  const start = performance.now();
  const sent = () => devices.reduce((sum, device) => sum + device.statistics(false).txPackets, 0);
  let now = start;
  while (now - start < milliseconds) {
    for (let i = 0; i < ROUNDS; i++) {
      for (const { nic } of cards) nic.poll();
      forwardRounds(there, back, 1);
    }
    now = performance.now();
  }
  return { packets: sent(), milliseconds: now - start };
}
