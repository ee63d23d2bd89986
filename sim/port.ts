/**
 * A port as the program runs it: NIC, server and wire together.
 *
 * @module
 */

import { Mapping } from "../native/mapping.ts";
import { requireDistinct } from "../native/output_file.ts";
import { FAULTS } from "./nic/faults.ts";
import { Nic } from "./nic/nic.ts";
import type { Options, PortOptions } from "./options.ts";
import { BAR0_BYTES } from "./pci/config_space.ts";
import { Server } from "./pci/server.ts";
import { Trace } from "./pci/trace.ts";
import { TraceFile } from "./pci/trace_file.ts";
import { PlainDevice } from "./plain/device.ts";
import { Generator } from "./wires/generator.ts";
import { makeWires } from "./wires/parse.ts";
import { PcapWire } from "./wires/pcap.ts";
import type { Wire } from "./wires/wire.ts";

/** What serves a port to a driver: on a socket, or in a directory of files. */
export interface PortServer {
  /** Whether a driver uses the port. */
  readonly connected: boolean;
  /** Whether the driver lets the port reach memory. */
  readonly busMaster: boolean;
  /** A descriptor that becomes readable when there is work; -1 if only polling finds it. */
  readonly fd: number;
  /** Register reads answered so far. */
  readonly reads: number;
  /** Handles waiting work, and returns whether there was any. */
  poll(): boolean;
  /**
   * Ends the driver's use of the port, and logs the error of the model that is the reason.
   *
   * @returns Whether a driver has used it.
   */
  fail(error: unknown): boolean;
  /** Ends the service. */
  close(): void;
}

/** One port. */
export interface Port {
  /** Path of its socket, or its directory. */
  readonly socket: string;
  /** Whether it is a plain port: rules that its driver breaks do not change the exit code. */
  readonly plain: boolean;
  /** The wire's specification. */
  readonly wireText: string;
  /** The model. */
  readonly nic: Nic;
  /** The server that presents it to a driver. */
  readonly server: PortServer;
  /** The other end of its cable. */
  readonly wire: Wire;
}

/** What runs: all ports, and the trace of their registers. Disposing ends it. */
export class Ports implements Disposable {
  /** The ports, in the order of the command line. */
  readonly all: readonly Port[];
  readonly #trace: TraceFile | undefined;

  /**
   * Opens all ports, which then serve drivers. Empties files to write last: if a port cannot be opened, or a
   * file is used twice, they stay as they were.
   *
   * @param log Takes a line about each error of a client.
   * @throws {UsageError} if a wire, a socket or the trace cannot be made; nothing stays open then.
   */
  constructor(options: Options, log: (line: string) => void) {
    using opened = new DisposableStack();
    const traced = options.trace === undefined
      ? undefined
      : opened.use(new TraceFile(options.trace));
    const trace = traced && new Trace(traced);
    const served = options.ports.map((port, i) => {
      const { nic, server } = port.plain
        ? openPlain(options, port, i, trace, log)
        : openServer(options, port, i, trace, log);
      opened.defer(() => server.close());
      return { nic, server };
    });
    const wires = makeWires(
      options.ports.map((port) => port.wire),
      options.ports.map((port) => port.mac),
    );
    for (const wire of wires) opened.defer(() => wire.close());
    const files = wires.filter((wire) => wire instanceof PcapWire).map((wire) => wire.files);
    const written = files.flatMap((file) => file.written);
    if (traced) written.push(traced.file);
    requireDistinct(written, files.flatMap((file) => file.read));
    for (const file of written) file.begin();
    opened.move();
    this.#trace = traced;
    this.all = options.ports.map(({ socket, plain, wireText }, i) => {
      const { nic, server } = served[i], wire = nic.wire = wires[i];
      if (wire instanceof PcapWire) wire.held = true;
      return { socket, plain, wireText, nic, server, wire };
    });
  }

  /** Whether a file was damaged, or could not be written to its end. Each was reported on stderr. */
  get failed(): boolean {
    return this.#trace?.failed === true ||
      this.all.some(({ wire }) => wire instanceof PcapWire && wire.failed);
  }

  /** Disconnects clients, removes sockets, and completes files. */
  [Symbol.dispose](): void {
    for (const port of this.all) port.server.close();
    for (const port of this.all) port.wire.close();
    this.#trace?.[Symbol.dispose]();
  }
}

/** A port on a socket. */
function openServer(
  { deviceId, module, partner, fault, timing, linkFailures, doorbells: how }: Options,
  { socket, mac }: PortOptions,
  i: number,
  trace: Trace | undefined,
  log: (line: string) => void,
): { nic: Nic; server: PortServer } {
  const doorbells = how === "poll" ? Mapping.memory(BAR0_BYTES, false) : undefined;
  const nic = new Nic({
    deviceId,
    module,
    mac,
    delays: timing.delays,
    jitter: timing.jitter,
    seed: timing.seed + i,
    restarts: linkFailures,
    ...(partner.length > 0 && { partner }),
    ...(fault && FAULTS[fault]),
    pollDoorbells: doorbells !== undefined,
    ...(doorbells && { doorbells: new Uint32Array(doorbells.buffer) }),
  });
  const model = trace?.before(nic, i) ?? nic;
  const server = new Server({ path: socket, model, deviceId, mac, doorbells, log });
  nic.onInterrupt = (vector) => {
    trace?.interrupt(i, vector);
    server.interrupt(vector);
  };
  return { nic, server };
}

/** A port in a directory. */
function openPlain(
  { deviceId }: Options,
  { socket, mac }: PortOptions,
  i: number,
  trace: Trace | undefined,
  log: (line: string) => void,
): { nic: Nic; server: PortServer } {
  const before = trace && ((nic: Nic) => trace.before(nic, i));
  const server = new PlainDevice({ path: socket, deviceId, mac, before, log });
  return { nic: server.nic, server };
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

/** Starts senders once other ports can receive their frames: earlier ones would be dropped or missed. */
export function startSenders(ports: readonly Port[]): void {
  const allReady = ports.every(({ nic }) => nic.ready);
  for (const { wire, nic } of ports) {
    if (wire instanceof PcapWire) wire.held &&= !allReady;
    if (!(wire instanceof Generator) || wire.running || !nic.ready) continue;
    const peer = ports.find((port) => port.wire === wire.peer);
    if (peer?.nic.ready) wire.start();
  }
}
