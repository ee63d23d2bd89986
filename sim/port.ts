/**
 * A port of the model as the program runs it: NIC, server and wire, put together.
 *
 * @module
 */

import { Mapping } from "../native/native.ts";
import { BAR0_BYTES } from "./config_space.ts";
import { Nic } from "./nic.ts";
import type { Options } from "./options.ts";
import { Server } from "./server.ts";
import { Trace } from "./trace.ts";
import type { Wire } from "./wire.ts";
import { Generator } from "./wires/generator.ts";
import { PcapWire } from "./wires/pcap.ts";
import { makeWires } from "./wires/parse.ts";

/** One port. */
export interface Port {
  /** Path of its socket. */
  readonly socket: string;
  /** The wire's specification. */
  readonly wireText: string;
  /** The model. */
  readonly nic: Nic;
  /** Who serves it. */
  readonly server: Server;
  /** What its cable leads to. */
  readonly wire: Wire;
}

/**
 * Makes all ports; each serves its socket from now on.
 *
 * @param log Takes a line about what a client did wrong.
 * @throws {UsageError} if a wire, a socket or the trace cannot be made; nothing is left open then.
 */
export function openPorts(options: Options, log: (line: string) => void): Port[] {
  const trace = options.trace === undefined ? undefined : new Trace(options.trace);
  const specs = options.ports.map((port) => port.wire);
  const wires = makeWires(specs, options.ports.map((port) => port.mac));
  const ports: Port[] = [];
  try {
    options.ports.forEach(({ socket, wireText, mac }, i) => {
      const doorbells = options.doorbells === "poll"
        ? Mapping.memory(BAR0_BYTES, false)
        : undefined;
      const { deviceId } = options;
      const nic = new Nic({
        deviceId,
        mac,
        pollDoorbells: doorbells !== undefined,
        ...(doorbells && { doorbells: new Uint32Array(doorbells.buffer) }),
      });
      const model = trace?.before(nic, i) ?? nic;
      const server = new Server({ path: socket, model, deviceId, mac, doorbells, log });
      nic.onInterrupt = (vector) => {
        trace?.interrupt(i, vector);
        server.interrupt(vector);
      };
      nic.wire = wires[i];
      const wire = wires[i];
      if (wire instanceof PcapWire) wire.held = true;
      ports.push({ socket, wireText, nic, server, wire: wires[i] });
    });
  } catch (error) {
    for (const port of ports) port.server.close();
    for (const wire of wires) wire.close();
    throw error;
  }
  return ports;
}

/** Ends all ports: clients disconnected, sockets removed, files complete. */
export function closePorts(ports: readonly Port[]): void {
  for (const port of ports) port.server.close();
  for (const port of ports) port.wire.close();
}

/** Starts or stops all generators, and the replay of files. */
export function setSenders(ports: readonly Port[], on: boolean): void {
  for (const { wire } of ports) {
    if (wire instanceof PcapWire) wire.held = !on;
    if (!(wire instanceof Generator) || wire.running === on) continue;
    if (on) wire.start();
    else wire.stop();
  }
}
