/**
 * The model's one loop. It polls every port's NIC and wire in turn and the servers less often, and
 * waits in the kernel once there has been no work for some time.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { milliseconds } from "../native/clock.ts";
import { stubs, SystemError } from "../native/stubs.ts";
import type { Port, PortServer } from "./port.ts";

/** Rounds between two polls of sockets, clock and signals: about 50 µs in traffic. */
const ROUNDS = 16;
/** How long the loop runs before Deno's event loop has its turn. */
const SLICE_MILLISECONDS = 20;
/** After this time without work, the loop waits instead of spinning. */
const SPIN_MILLISECONDS = 100;
/** Longest wait while a driver may ring a doorbell in memory, which wakes no process. */
const NAP_MILLISECONDS = 1;
/** Longest wait otherwise: a socket or a TAP device wakes the loop. */
const SLEEP_MILLISECONDS = 50;
const POLLIN = 1;
/** 32-bit words of a struct pollfd: the descriptor, then requested and returned events. */
const POLLFD_WORDS = 2;

/**
 * How long to wait for another read after one, and how long the wires may wait for that at most.
 */
const FOLLOW_MILLISECONDS = 0.01, SERVE_MILLISECONDS = 0.2;

/**
 * Handles a driver's requests; returns whether there were any. A driver that reads its statistics
 * waits for each reply before it reads on, and forwards nothing meanwhile.
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

/**
 * Ends a driver's use of a port after an error in the model, which the driver's descriptors or registers have
 * caused. The other ports go on. A failure of a wire is not the driver's fault.
 *
 * @returns The amount of work.
 * @throws the error, if a system call has failed or no driver uses the port.
 */
function fail(port: Pick<Port, "server">, error: unknown): number {
  if (error instanceof SystemError || !port.server.fail(error)) throw error;
  return 1;
}

/** Runs ports until its caller ends it. */
export class Loop {
  readonly #ports: readonly Port[];
  readonly #wakeFd: number;
  readonly #pollfds: Int32Array<ArrayBuffer>;
  #lastWork = milliseconds();
  /** Whether the NICs do no rounds. Drivers can still access registers. */
  paused = false;

  /**
   * Creates a loop, which {@linkcode Loop.prototype.run} runs.
   *
   * @param ports The ports to run.
   * @param wakeFd A descriptor besides the ports' that ends a wait when readable, or -1.
   */
  constructor(ports: readonly Port[], wakeFd: number) {
    this.#ports = ports;
    this.#wakeFd = wakeFd;
    this.#pollfds = new Int32Array((ports.length * 2 + 1) * POLLFD_WORDS);
  }

  /**
   * Runs the ports.
   *
   * @param look Called about 20,000 times a second in traffic, and after each wait, with the time
   * of `milliseconds()`; returns whether to continue.
   */
  async run(look: (now: number) => boolean): Promise<void> {
    while (this.#slice(look)) {
      // Deno's event loop and V8 need their turn. A timer would take two milliseconds, and the
      // ports would miss frames.
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  #slice(look: (now: number) => boolean): boolean {
    const end = milliseconds() + SLICE_MILLISECONDS;
    for (;;) {
      let work = this.paused ? 0 : this.#rounds(ROUNDS);
      for (const port of this.#ports) work += this.#serve(port);
      const now = milliseconds();
      if (!look(now)) return false;
      if (work > 0) this.#lastWork = now;
      else if (now - this.#lastWork > SPIN_MILLISECONDS) return this.#rest();
      if (now > end) return true;
    }
  }

  /** Has each NIC do one round, also while paused. */
  round(): void {
    this.#rounds(1);
  }

  #rounds(count: number): number {
    const ports = this.#ports;
    let work = 0, i = 0;
    try {
      for (let round = 0; round < count; round++) {
        for (i = 0; i < ports.length; i++) work += ports[i].nic.poll();
      }
      return work;
    } catch (error) {
      return fail(ports[i], error);
    }
  }

  #serve(port: Port): number {
    try {
      return Number(serve(port.server));
    } catch (error) {
      return fail(port, error);
    }
  }

  /** Waits in the kernel for work. */
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
      // A port that takes no frames is not woken by them.
      if (wire.fd < 0 || !nic.receiving) continue;
      fds[count * POLLFD_WORDS] = wire.fd;
      fds[count++ * POLLFD_WORDS + 1] = POLLIN;
    }
    stubs.ixy_poll(fds, count, most);
    return true;
  }
}
