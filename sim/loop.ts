/**
 * The model's one loop: every port's NIC and wire are polled in turn, the servers now and then, and
 * when nothing has happened for a while the loop waits in the kernel.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { milliseconds } from "../native/clock.ts";
import { stubs } from "../native/stubs.ts";
import type { Port, PortServer } from "./port.ts";

/** Rounds between two looks at sockets, clock and signals: some 50 µs when there is traffic. */
const ROUNDS = 16;
/** A slice of the loop; after it the event loop has its turn. */
const SLICE_MILLISECONDS = 20;
/** Without traffic for this long, the loop waits instead of spinning. */
const SPIN_MILLISECONDS = 100;
/** A driver that is set up may ring a doorbell in memory, which wakes no process: look often. */
const NAP_MILLISECONDS = 1;
/** Otherwise a socket or a TAP device wakes the loop. */
const SLEEP_MILLISECONDS = 50;
const POLLIN = 1;
/** 32-bit words of a struct pollfd: the descriptor, then events asked for and seen. */
const POLLFD_WORDS = 2;

/** Where a read is answered, another one is waited for so long, and the wires for so long at most. */
const FOLLOW_MILLISECONDS = 0.01, SERVE_MILLISECONDS = 0.2;

/**
 * Handles what a driver asks; returns whether there was anything. A driver that reads its statistics
 * waits for one reply after the other, and forwards nothing meanwhile.
 */
function serve(server: PortServer): boolean {
  let reads = server.reads;
  if (!server.poll()) return false;
  if (server.reads === reads) return true;
  const start = milliseconds();
  let last = start, now = start;
  while (now - last < FOLLOW_MILLISECONDS && now - start < SERVE_MILLISECONDS) {
    reads = server.reads;
    server.poll();
    now = milliseconds();
    if (server.reads !== reads) last = now;
  }
  return true;
}

/** Runs ports until it is told to stop. */
export class Loop {
  readonly #ports: readonly Port[];
  readonly #wakeFd: number;
  readonly #pollfds: Int32Array<ArrayBuffer>;
  #lastWork = milliseconds();

  /**
   * A loop that does not run yet.
   *
   * @param ports The ports to run.
   * @param wakeFd A descriptor beside the ports' that ends a rest when it can be read, or -1.
   */
  constructor(ports: readonly Port[], wakeFd: number) {
    this.#ports = ports;
    this.#wakeFd = wakeFd;
    this.#pollfds = new Int32Array((ports.length * 2 + 1) * POLLFD_WORDS);
  }

  /**
   * Runs the ports.
   *
   * @param look Called some 20,000 times a second in traffic, and after each wait, with the time of
   * `milliseconds()`; returns whether to go on.
   */
  async run(look: (now: number) => boolean): Promise<void> {
    while (this.#slice(look)) {
      // Deno's event loop and V8 need their turn. A timer would take two milliseconds, in which frames
      // are missed.
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  #slice(look: (now: number) => boolean): boolean {
    const end = milliseconds() + SLICE_MILLISECONDS;
    for (;;) {
      let work = this.#rounds();
      for (const port of this.#ports) if (serve(port.server)) work++;
      const now = milliseconds();
      if (!look(now)) return false;
      if (work > 0) this.#lastWork = now;
      else if (now - this.#lastWork > SPIN_MILLISECONDS) return this.#rest();
      if (now > end) return true;
    }
  }

  #rounds(): number {
    const ports = this.#ports;
    let work = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < ports.length; i++) work += ports[i].nic.poll();
    }
    return work;
  }

  /** Waits for something to do. */
  #rest(): true {
    const fds = this.#pollfds;
    fds[0] = this.#wakeFd;
    fds[1] = POLLIN;
    let count = 1;
    let most = SLEEP_MILLISECONDS;
    for (const { server, wire, nic } of this.#ports) {
      fds[count * POLLFD_WORDS] = server.fd;
      fds[count++ * POLLFD_WORDS + 1] = POLLIN;
      if (server.busMaster || server.fd < 0) most = NAP_MILLISECONDS;
      // What the port would not take does not wake it.
      if (wire.fd < 0 || !nic.receiving) continue;
      fds[count * POLLFD_WORDS] = wire.fd;
      fds[count++ * POLLFD_WORDS + 1] = POLLIN;
    }
    stubs.ixy_poll(fds, count, most);
    return true;
  }
}
