/**
 * The command line of the NIC model's program.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { UsageError } from "../src/errors.ts";
import { parseWire, type WireSpec } from "./wires/parse.ts";

/** One port as asked for. */
export interface PortOptions {
  /** Path of the socket on which the port is served, or the directory of a plain port. */
  readonly socket: string;
  /** Whether it is a plain port. */
  readonly plain: boolean;
  /** The wire's specification, as it was written. */
  readonly wireText: string;
  /** The wire. */
  readonly wire: WireSpec;
  /** MAC address, 6 bytes. */
  readonly mac: Uint8Array;
}

/** What the program was asked to do. */
export interface Options {
  /** The ports, in the order given. */
  readonly ports: readonly PortOptions[];
  /** PCI device id of all ports. */
  readonly deviceId: number;
  /** How tail registers are written: in memory that is polled, or by messages only. */
  readonly doorbells: "poll" | "trap";
  /** When to end by itself, or undefined. */
  readonly seconds: number | undefined;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Whether commands come on stdin. */
  readonly control: boolean;
  /** Whether to print totals only. */
  readonly quiet: boolean;
  /** File in which every register access is recorded, or undefined. */
  readonly trace: string | undefined;
}

/** What `--help` prints. */
export const HELP = `A software 82599: each port is served over vfio-user on a Unix socket,
or is files in a directory.

deno run --allow-ffi sim/main.ts --socket PATH --wire WIRE [--socket PATH --wire WIRE ...]

  --socket PATH      serve a port at PATH; what follows is about this port
  --plain DIRECTORY  in place of --socket: a port as files like those of a PCI device in sysfs, for
                     drivers that know nothing else; as root, see sim/README.md
  --wire WIRE        what its cable leads to; none unless given:
                       generator[:rate=PPS][,size=BYTES][,flows=N][,latency=1]
                                                           sends and checks numbered frames, of N
                                                           flows in turns; times them, for --json
                       cable:N                             the other port with the same number
                       pcap:in=FILE,out=FILE[,rate=PPS]    replays one file, captures to another
                       tap:NAME                            a TAP device of this machine
                       dgram:LOCAL,REMOTE                  Unix datagram sockets
                       none                                nobody
  --mac AA:BB:..     its MAC address
  --device-id ID     PCI device id, 0x10fb (82599 SFP+) unless given; 0x10f7, 0x1528, 0x1563, ...
  --doorbells HOW    poll: a client may write tail registers in shared memory; trap: by messages
                     only, as QEMU needs it. poll unless given, trap with --trace
  --seconds N        end after N seconds
  --json             a line of JSON every second, and one with the totals at the end
  --control          commands on stdin: start, stop (generators and files), stats, link PORT up|down, quit
  --quiet            print nothing but totals and complaints
  --trace FILE       record every register access in a file: seconds, port, read or write, name,
                     value; tails too, which are messages then
`;

const MAX_PORTS = 8;

/**
 * Reads the command line.
 *
 * @returns The options, or undefined if help was asked for.
 * @throws {UsageError} for what cannot be done.
 */
export function parseOptions(args: string[]): Options | undefined {
  const { values, tokens } = parse(args);
  if (values.help) return undefined;
  const ports: { socket: string; plain: boolean; wire?: string; mac?: string }[] = [];
  for (const token of tokens) {
    if (token.kind !== "option" || token.value === undefined) continue;
    const port = ports.at(-1);
    if (token.name === "socket" || token.name === "plain") {
      if (token.value === "") throw new UsageError(`--${token.name} takes a path (see --help)`);
      ports.push({ socket: token.value, plain: token.name === "plain" });
    } else if (token.name === "wire" || token.name === "mac") {
      if (port === undefined) {
        throw new UsageError(`--${token.name} belongs after a --socket or --plain`);
      }
      if (port[token.name] !== undefined) {
        throw new UsageError(`${port.socket} has two of --${token.name}`);
      }
      port[token.name] = token.value;
    }
  }
  if (ports.length === 0) throw new UsageError("no port to serve: give --socket PATH (see --help)");
  if (ports.length > MAX_PORTS) throw new UsageError(`at most ${MAX_PORTS} ports, please`);
  if (new Set(ports.map((port) => port.socket)).size < ports.length) {
    throw new UsageError("two ports cannot have one path: give each --socket or --plain its own");
  }
  const doorbells = parseDoorbells(values.doorbells, values.trace !== undefined);
  if (values.doorbells === "trap" && ports.some((port) => port.plain)) {
    throw new UsageError(
      "--doorbells trap: a plain port has no messages, its registers are memory",
    );
  }
  return {
    ports: ports.map(({ socket, plain, wire = "none", mac }, i) => ({
      socket,
      plain,
      wireText: wire,
      wire: parseWire(wire),
      mac: mac === undefined ? defaultMac(i) : parseMac(mac),
    })),
    deviceId: parseDeviceId(values["device-id"]),
    doorbells,
    seconds: parseSeconds(values.seconds),
    json: values.json,
    control: values.control,
    quiet: values.quiet,
    trace: values.trace,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      strict: true,
      tokens: true,
      options: {
        socket: { type: "string", multiple: true },
        plain: { type: "string", multiple: true },
        wire: { type: "string", multiple: true },
        mac: { type: "string", multiple: true },
        "device-id": { type: "string", default: "0x10fb" },
        doorbells: { type: "string" },
        seconds: { type: "string" },
        json: { type: "boolean", default: false },
        control: { type: "boolean", default: false },
        quiet: { type: "boolean", default: false },
        trace: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${message.split("\n")[0]} (see --help)`);
  }
}

/** Locally administered, one per port. */
function defaultMac(port: number): Uint8Array {
  return new Uint8Array([0x02, 0x69, 0x78, 0x79, 0x00, port]);
}

function parseMac(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) {
    throw new UsageError(`--mac ${text}: six pairs of hexadecimal digits, with colons between`);
  }
  const mac = Uint8Array.from(text.split(":"), (pair) => parseInt(pair, 16));
  if ((mac[0] & 1) !== 0) throw new UsageError(`--mac ${text}: is a group's address`);
  return mac;
}

function parseDeviceId(text: string): number {
  const id = /^0x[0-9a-f]{1,4}$/i.test(text) ? Number(text) : 0;
  if (id === 0) throw new UsageError(`--device-id ${text}: a number like 0x10fb`);
  return id;
}

/** A record without the tails would look like one of a driver that writes none. */
function parseDoorbells(text: string | undefined, trace: boolean): "poll" | "trap" {
  if (text === undefined) return trace ? "trap" : "poll";
  if (text !== "poll" && text !== "trap") {
    throw new UsageError(`--doorbells ${text}: poll or trap`);
  }
  if (text === "poll" && trace) {
    throw new UsageError(
      "--doorbells poll: --trace would miss the tails that a client writes in memory: leave one out",
    );
  }
  return text;
}

function parseSeconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (!(seconds > 0)) throw new UsageError(`--seconds ${text}: a number above 0`);
  return seconds;
}
