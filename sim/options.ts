/**
 * The command line of the NIC model's program.
 *
 * @module
 */

import { command, type Given } from "../programs/command_line.ts";
import {
  choice,
  decimal,
  flag,
  type Options as Declared,
  repeated,
  text,
} from "../programs/options.ts";
import { UsageError } from "../src/errors.ts";
import { MODULE_KINDS, type ModuleKind } from "./nic/sfp_module.ts";
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
  /** What is in the cages of all ports, or null for nothing. */
  readonly module: ModuleKind | null;
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

const MAX_PORTS = 8;

/** The program, as it is called. */
export const SIM = command({
  start: "deno run --allow-ffi sim/main.ts",
  about:
    `A software 82599: each port is served over vfio-user on a Unix socket, or is files in a directory.

  --socket PATH --wire WIRE [--socket PATH --wire WIRE ...]`,
  options: {
    socket: repeated("serve a port at PATH; what follows is about this port", "PATH", "a path"),
    plain: repeated(
      "in place of --socket: a port as files like those of a PCI device in sysfs, for drivers that " +
        "know nothing else; as root, see sim/README.md",
      "DIRECTORY",
      "a path",
    ),
    wire: repeated("what the port's cable leads to (default none)", "WIRE", "a wire"),
    mac: repeated("its MAC address", "AA:BB:..", "a MAC address"),
    "device-id": text(
      "PCI device id, 0x10fb (default: 82599 SFP+), 0x10f7, 0x1528, 0x1563, ...",
      "ID",
      "a number like 0x10fb",
    ),
    module: choice("what is in the cage of an SFP+ board", [...MODULE_KINDS, "none"], {
      value: "KIND",
      default: "10G-SR",
    }),
    doorbells: choice("tail registers", ["poll", "trap"], {
      values:
        "poll, a client may write them in shared memory; trap, by messages only, as QEMU needs " +
        "it (default poll; trap with --trace)",
      default: undefined,
    }),
    seconds: decimal("end after N seconds", {
      ...{ least: 0.001, most: 1e9, values: "", default: undefined },
    }),
    json: flag("a line of JSON every second, and one with the totals at the end"),
    control: flag(
      "commands on stdin: start, stop (generators and files), stats, link PORT up|down, quit",
    ),
    quiet: flag("print nothing but totals and complaints", { alias: "q" }),
    trace: text(
      "record every register access in a file: seconds, port, read or write, name, value; tails " +
        "too, which are messages then",
      "FILE",
      "a path",
    ),
  },
  notes: `WIRE is one of
  generator[:rate=PPS][,size=BYTES][,flows=N][,latency=1]
                                    sends and checks numbered frames, of N flows in turns; times
                                    them, for --json
  cable:N                           the other port with the same number
  pcap:in=FILE,out=FILE[,rate=PPS]  replays one file, captures to another
  tap:NAME                          a TAP device of this machine
  dgram:LOCAL,REMOTE                Unix datagram sockets
  none                              nobody`,
  plan: (given): Options => {
    const { values } = given, ports = portsOf(given);
    if (values.doorbells === "trap" && ports.some((port) => port.plain)) {
      throw new UsageError(
        "--doorbells trap: a plain port has no messages, its registers are memory",
      );
    }
    if (values.module !== "10G-SR" && ports.some((port) => port.plain)) {
      throw new UsageError("--module: a plain port has no bus to a module, leave it out");
    }
    return {
      ports,
      module: values.module === "none" ? null : values.module,
      deviceId: parseDeviceId(values["device-id"] ?? "0x10fb"),
      doorbells: doorbellsOf(values.doorbells, values.trace !== undefined),
      seconds: values.seconds,
      json: values.json,
      control: values.control,
      quiet: values.quiet,
      trace: values.trace,
    };
  },
});

/** The ports, each with what was said after its --socket or --plain. */
function portsOf({ sequence }: Given<Declared>): PortOptions[] {
  const ports: { socket: string; plain: boolean; wire?: string; mac?: string }[] = [];
  for (const { name, text } of sequence) {
    const port = ports.at(-1);
    if (name === "socket" || name === "plain") {
      ports.push({ socket: text, plain: name === "plain" });
    } else if (name === "wire" || name === "mac") {
      if (port === undefined) throw new UsageError(`--${name} belongs after a --socket or --plain`);
      if (port[name] !== undefined) throw new UsageError(`${port.socket} has two of --${name}`);
      port[name] = text;
    }
  }
  if (ports.length === 0) throw new UsageError("no port to serve: give --socket PATH (see --help)");
  if (ports.length > MAX_PORTS) throw new UsageError(`at most ${MAX_PORTS} ports, please`);
  if (new Set(ports.map((port) => port.socket)).size < ports.length) {
    throw new UsageError("two ports cannot have one path: give each --socket or --plain its own");
  }
  return ports.map(({ socket, plain, wire = "none", mac }, i) => ({
    socket,
    plain,
    wireText: wire,
    wire: parseWire(wire),
    mac: mac === undefined ? defaultMac(i) : parseMac(mac),
  }));
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
function doorbellsOf(how: "poll" | "trap" | undefined, trace: boolean): "poll" | "trap" {
  if (how === undefined) return trace ? "trap" : "poll";
  if (how === "poll" && trace) {
    throw new UsageError(
      "--doorbells poll: --trace would miss the tails that a client writes in memory: leave one out",
    );
  }
  return how;
}
