/**
 * Lets V8 compile the model before a driver comes: two models of their own, each with a generator, and a
 * driver that passes on what arrives. Without it, the first second of traffic is much slower than the next.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { milliseconds } from "../native/clock.ts";
import { FCTRL, RDT, TDT } from "../ixgbe/registers.ts";
import { offsetOf } from "../src/registers.ts";
import { Loop } from "./loop.ts";
import { MinimalDriver, RING, RX_BUFFERS, TX_BUFFERS } from "./minimal_driver.ts";
import { BAR0_BYTES } from "./pci/config_space.ts";
import { Generator } from "./wires/generator.ts";

/** How long to rehearse. */
const REHEARSAL_MILLISECONDS = 150;
/** Packets that the driver passes on at once, and the bytes of each. */
const BATCH = 192, SIZE = 60;
/** Packets a second each way: most of them find a descriptor, as in traffic. */
const RATE = 4e6;

/** A model, and a driver that sends its packets through another one. */
class Card {
  readonly doorbells = new Uint32Array(BAR0_BYTES / 4);
  readonly driver = MinimalDriver.ready({ doorbells: this.doorbells, pollDoorbells: true });
  #next = 0;
  #tail = 0;

  constructor() {
    this.driver.set(FCTRL, FCTRL.UPE); // takes all frames
  }

  /** Passes on a batch of what has arrived. */
  forward(to: Card): void {
    const { driver, doorbells } = this;
    let next = this.#next, n = 0;
    for (; n < BATCH && (driver.receiveStatus(next) & 1) !== 0; n++) {
      const from = RX_BUFFERS + next * 2048, at = TX_BUFFERS + to.#tail * 2048;
      to.driver.bytes.set(driver.bytes.subarray(from, from + SIZE), at);
      to.driver.fillTransmit(to.#tail, SIZE);
      to.#tail = (to.#tail + 1) % RING;
      driver.fillReceive(next);
      next = (next + 1) % RING;
    }
    this.#next = next;
    if (n === 0) return;
    doorbells[offsetOf(RDT, 0) / 4] = (next + RING - 1) % RING;
    to.doorbells[offsetOf(TDT, 0) / 4] = to.#tail;
  }
}

/** Runs two models for a sixth of a second. No port of the program takes part. */
export async function rehearse(): Promise<void> {
  const cards = [new Card(), new Card()];
  const wires = cards.map((_, id) => new Generator({ id, size: SIZE, rate: RATE }));
  wires[0].pair(wires[1]);
  const server = {
    ...{ connected: true, busMaster: true, fd: -1, reads: 0 },
    ...{ poll: () => false, fail: () => false, close: () => {} },
  };
  const ports = cards.map(({ driver: { nic } }, i) => {
    const wire = nic.wire = wires[i];
    wire.start();
    return { socket: "", plain: false, wireText: "", nic, server, wire };
  });
  const loop = new Loop(ports, -1), [a, b] = cards;
  const end = milliseconds() + REHEARSAL_MILLISECONDS;
  while (milliseconds() < end) {
    const until = milliseconds() + 5;
    await loop.run((now) => {
      a.forward(b);
      b.forward(a);
      return now < until;
    });
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
