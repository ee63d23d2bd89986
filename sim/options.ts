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
  whole,
  wholes,
} from "../programs/options.ts";
import { UsageError } from "../src/errors.ts";
import { type Fault, FAULTS } from "./nic/faults.ts";
import { ALL_SPEEDS } from "./nic/phy.ts";
import { MODULE_KINDS, type ModuleKind } from "./nic/sfp_module.ts";
import { CARD, DELAY_NAMES, type DelayName, type Delays, MAX_DELAY } from "./nic/timing.ts";
import { parseWire, type WireSpec } from "./wires/parse.ts";

/** One port of the command line. */
export interface PortOptions {
  /** Path of the socket on which the port is served, or the directory of a plain port. */
  readonly socket: string;
  /** Whether it is a plain port. */
  readonly plain: boolean;
  /** The wire's specification, as written. */
  readonly wireText: string;
  /** The wire. */
  readonly wire: WireSpec;
  /** MAC address, 6 bytes. */
  readonly mac: Uint8Array;
}

/** The settings of the command line. */
export interface Options {
  /** The ports, in the order given. */
  readonly ports: readonly PortOptions[];
  /** PCI device id of all ports. */
  readonly deviceId: number;
  /** What is in the cages of all ports, or null for nothing. */
  readonly module: ModuleKind | null;
  /** How long things take at all ports, and how far that varies. */
  readonly timing: {
    readonly delays: Delays;
    readonly jitter: number;
    readonly seed: number;
  };
  /** Attempts at a link that fail before one succeeds. */
  readonly linkFailures: number;
  /** Speeds of the link partner of all ports in Mb/s; none: the default of the board. */
  readonly partner: readonly number[];
  /** A fault of all ports, or undefined. */
  readonly fault: Fault | undefined;
  /** How tail registers are written: in memory that is polled, or by messages only. */
  readonly doorbells: "poll" | "trap";
  /** Seconds after which the program ends, or undefined. */
  readonly seconds: number | undefined;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Whether to read commands from stdin. */
  readonly control: boolean;
  /** Whether to print totals only. */
  readonly quiet: boolean;
  /** File that records every register access, or undefined. */
  readonly trace: string | undefined;
}

const MAX_PORTS = 8;
const MAX_SEED = 0xffff_ffff;

/** The command line: options, help, and how they become {@linkcode Options}. */
export const SIM = command({
  start: "deno run --allow-ffi sim/main.ts",
  about:
    `A software 82599. It serves a port over vfio-user on a Unix socket, or as files in a directory.

  --socket PATH --wire WIRE [--socket PATH --wire WIRE ...]`,
  options: {
    socket: repeated(
      "serve a port at PATH; --wire and --mac after it are this port's",
      "PATH",
      "a path",
    ),
    plain: repeated(
      "instead of --socket: serve a port as the files of a PCI device in sysfs, for drivers " +
        "without vfio-user; needs root, see sim/README.md",
      "DIRECTORY",
      "a path",
    ),
    wire: repeated("other end of the port's cable (default none)", "WIRE", "a wire"),
    mac: repeated("MAC address of the port", "AA:BB:..", "a MAC address"),
    "device-id": text(
      "PCI device id, 0x10fb (default: 82599 SFP+), 0x10f7, 0x1528, 0x1563, ...",
      "ID",
      "a number like 0x10fb",
    ),
    module: choice("what is in the cage of an SFP+ board", [...MODULE_KINDS, "none"], {
      value: "KIND",
      default: "10G-SR",
    }),
    delays: text(
      "time that things take, by name in milliseconds: " + DELAY_NAMES.join(", ") +
        '; "card" stands for values like those of a card (default none: no time)',
      "card|NAME=MS,…",
      "card, or names with milliseconds",
    ),
    jitter: decimal("how far each delay may differ from its value, as a share of it", {
      ...{ least: 0, most: 1, default: 0 },
    }),
    seed: whole("seed of the delays; each port adds its number", {
      ...{ least: 0, most: MAX_SEED, default: 1 },
    }),
    "link-failures": whole(
      "attempts at a link that fail before one succeeds; without a cage, only with a delay of the " +
        "link",
      { least: 0, most: 1000, default: 0 },
    ),
    partner: wholes("speeds of the link partner in Mb/s", {
      ...{ least: 100, most: 10000, default: [] },
      values: "(100, 1000, 2500, 5000, 10000; default all, or the highest of the module)",
    }),
    fault: choice("a fault of the card, see sim/README.md", Object.keys(FAULTS) as Fault[], {
      value: "NAME",
      default: undefined,
    }),
    doorbells: choice("how a client writes tail registers", ["poll", "trap"], {
      values:
        "poll, also in shared memory; trap, only by messages, which QEMU needs (default poll; " +
        "trap with --trace)",
      default: undefined,
    }),
    seconds: decimal("end after N seconds", {
      ...{ least: 0.001, most: 1e9, values: "", default: undefined },
    }),
    json: flag("print a line of JSON every second, and one with the totals at the end"),
    control: flag(
      "read commands from stdin: start, stop (generators and files), stats, link PORT up|down, " +
        "quit",
    ),
    quiet: flag("print only totals and violations", { alias: "q" }),
    trace: text(
      "record every register access in a file: seconds, port, read or write, name, value; with " +
        "tails, since clients then write them by messages",
      "FILE",
      "a path",
    ),
  },
  notes: `WIRE is one of
  generator[:rate=PPS][,size=BYTES][,flows=N][,latency=1]
                                    sends and checks numbered frames of N flows in turn;
                                    latency=1 times them, for --json
  cable:N[,signal=1]                the other port with the same number; signal=1: a port that
                                    sends no signal takes the other port's link down
  pcap:in=FILE,out=FILE[,rate=PPS]  replays one file once, and captures to the other as frames come;
                                    classic pcap files, or FIFOs
  tap:NAME                          a TAP device of this machine
  dgram:LOCAL,REMOTE                Unix datagram sockets
  none                              nothing: sent frames end there`,
  plan: (given): Options => {
    const { values } = given, ports = portsOf(given);
    if (values.doorbells === "trap" && ports.some((port) => port.plain)) {
      throw new UsageError(
        "--doorbells trap: a plain port's registers are memory, without messages; leave it out",
      );
    }
    if (values.module !== "10G-SR" && ports.some((port) => port.plain)) {
      throw new UsageError("--module: a plain port has no bus to a module, leave it out");
    }
    const { delays, jitter, seed, "link-failures": linkFailures } = values;
    if ((delays !== undefined || linkFailures > 0) && ports.some((port) => port.plain)) {
      const option = delays === undefined ? "link-failures" : "delays";
      throw new UsageError(
        `--${option}: a plain port does not see what its driver reads, leave it out`,
      );
    }
    if (values.partner.length > 0 && ports.some((port) => port.plain)) {
      throw new UsageError("--partner: a plain port's partner has all speeds; leave it out");
    }
    const unknown = values.partner.find((mbps) => !ALL_SPEEDS.includes(mbps));
    if (unknown !== undefined) {
      throw new UsageError(`--partner takes ${ALL_SPEEDS.join(", ")}, not ${unknown}`);
    }
    if (values.fault !== undefined && ports.some((port) => port.plain)) {
      throw new UsageError("--fault: not supported on plain ports; leave it out");
    }
    return {
      ports,
      module: values.module === "none" ? null : values.module,
      timing: { delays: delays === undefined ? {} : parseDelays(delays), jitter, seed },
      linkFailures,
      partner: values.partner,
      fault: values.fault,
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

/** Returns the ports, each with the --wire and --mac that follow its --socket or --plain. */
function portsOf({ sequence }: Given<Declared>): PortOptions[] {
  const ports: { socket: string; plain: boolean; wire?: string; mac?: string }[] = [];
  for (const { name, text } of sequence) {
    const port = ports.at(-1);
    if (name === "socket" || name === "plain") {
      ports.push({ socket: text, plain: name === "plain" });
    } else if (name === "wire" || name === "mac") {
      if (port === undefined) {
        throw new UsageError(
          `--${name} comes before every port: put it after a --socket or --plain`,
        );
      }
      if (port[name] !== undefined) {
        throw new UsageError(`${port.socket} has --${name} twice: give it once`);
      }
      port[name] = text;
    }
  }
  if (ports.length === 0) throw new UsageError("no port to serve: give --socket PATH (see --help)");
  if (ports.length > MAX_PORTS) {
    throw new UsageError(`${ports.length} ports are too many: give ${MAX_PORTS} at most`);
  }
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

/** Returns a locally administered address that differs for each port. */
function defaultMac(port: number): Uint8Array {
  return new Uint8Array([0x02, 0x69, 0x78, 0x79, 0x00, port]);
}

function parseMac(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) {
    throw new UsageError(`--mac ${text}: give six pairs of hexadecimal digits with colons between`);
  }
  const mac = Uint8Array.from(text.split(":"), (pair) => parseInt(pair, 16));
  if ((mac[0] & 1) !== 0) {
    throw new UsageError(`--mac ${text}: is a group address; give the address of a station`);
  }
  if (mac.every((byte) => byte === 0)) {
    throw new UsageError(`--mac ${text}: is not an address; give the address of a station`);
  }
  return mac;
}

/** Returns delays by name; later ones replace those of `card`. */
function parseDelays(text: string): Delays {
  let delays: Delays = {};
  for (const part of text.split(",")) {
    const [, name, value] = /^(\w+)=(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (part === "card") delays = { ...delays, ...CARD };
    else if (DELAY_NAMES.includes(name as DelayName) && Number(value) <= MAX_DELAY) {
      delays = { ...delays, [name]: Number(value) };
    } else {
      throw new UsageError(
        `--delays ${text}: "${part}" is neither card nor one of ${
          DELAY_NAMES.join(", ")
        } with =MS, ` +
          `0 to ${MAX_DELAY}`,
      );
    }
  }
  return delays;
}

function parseDeviceId(text: string): number {
  const id = /^0x[0-9a-f]{1,4}$/i.test(text) ? Number(text) : 0;
  if (id === 0) throw new UsageError(`--device-id ${text}: give a number like 0x10fb`);
  return id;
}

/** Chooses trap for a trace: one without the tails would look as if the driver wrote none. */
function doorbellsOf(how: "poll" | "trap" | undefined, trace: boolean): "poll" | "trap" {
  if (how === undefined) return trace ? "trap" : "poll";
  if (how === "poll" && trace) {
    throw new UsageError(
      "--doorbells poll: --trace would miss tails that a client writes in memory; leave one out",
    );
  }
  return how;
}
