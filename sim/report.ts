/**
 * The program's output about its ports: a line each second, totals, and violations.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { err, out } from "../programs/output.ts";
import type { Port } from "./port.ts";
import { Generator } from "./wires/generator.ts";

/** Prints counts, as text or as JSON, and remembers what it has printed. */
export class Report {
  readonly #ports: readonly Port[];
  readonly #json: boolean;
  readonly #start = performance.now();
  readonly #complaints: number[];
  #last: { now: number; received: number; transmitted: number }[];

  /**
   * Creates a report on these ports; its clock starts now.
   *
   * @param json Whether to print JSON.
   */
  constructor(ports: readonly Port[], json: boolean) {
    this.#ports = ports;
    this.#json = json;
    this.#complaints = ports.map(() => 0);
    this.#last = ports.map(() => ({ now: this.#start, received: 0, transmitted: 0 }));
  }

  /** Says that all ports are served. */
  ready(): void {
    out.print(this.#json ? JSON.stringify({ ready: true }) : "ready");
  }

  /** Prints the counts as one line of JSON, even if other lines are text. */
  json(total = false): void {
    const ports = this.#ports.map((port) => ({
      socket: port.socket,
      wire: port.wireText,
      connected: port.server.connected,
      counters: port.nic.counters,
      wireStatistics: port.wire.statistics(),
      ...(port.wire instanceof Generator && port.wire.latency &&
        { latency: port.wire.latency.bins() }),
      violations: port.nic.rules.violations.length,
      broken: port.nic.rules.violations.reduce((sum, { count }) => sum + count, 0),
    }));
    const seconds = Math.round(performance.now() - this.#start) / 1000;
    const violations = this.#ports.flatMap((port) =>
      port.nic.rules.violations.map((violation) => ({ socket: port.socket, ...violation }))
    );
    out.print(JSON.stringify({ seconds, ...(total && { total, violations }), ports }));
  }

  /** Prints the line of a second. */
  second(): void {
    if (this.#json) return this.json();
    this.#ports.forEach((port, i) => {
      const { received, transmitted, missed } = port.nic.counters;
      const last = this.#last[i];
      const now = performance.now();
      const rate = (frames: number) =>
        packetRate(frames / (now - last.now) * 1000).padStart(PACKET_RATE_WIDTH);
      this.#last[i] = { now, received, transmitted };
      out.print(
        `${visible(port.socket)} ${port.server.connected ? "" : "(no client) "}` +
          `in ${rate(received - last.received)}, out ${rate(transmitted - last.transmitted)}, ` +
          `missed ${missed} | ${port.wire.kind}: ${list(port.wire.statistics())}`,
      );
    });
  }

  /** Prints each violation once, when it is new. */
  complaints(): void {
    for (let i = 0; i < this.#ports.length; i++) {
      const { violations } = this.#ports[i].nic.rules;
      while (this.#complaints[i] < violations.length) {
        const { register, section, rule, detail } = violations[this.#complaints[i]++];
        const note = this.#ports[i].plain ? "note: " : "";
        err.print(
          `${note}${
            visible(this.#ports[i].socket)
          }: ${register} (section ${section}): ${rule}: ${detail}`,
        );
      }
    }
  }

  /** Prints the totals; returns whether no violation counts against a driver. */
  total(): boolean {
    this.complaints();
    if (this.#json) this.json(true);
    else {
      for (const { socket: path, nic, wire } of this.#ports) {
        const socket = visible(path);
        out.print(`${socket} total: ${list(nic.counters)}`);
        out.print(`${socket} total, ${wire.kind}: ${list(wire.statistics())}`);
      }
    }
    return this.#ports.every(({ plain, nic }) => plain || nic.rules.violations.length === 0);
  }
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ");
}
