/**
 * The options of all programs that take devices, and what their values mean for `open`.
 *
 * @module
 */

import type { Device, OpenOptions } from "../src/device.ts";
import { DEFAULT_ENTRIES } from "../src/driver.ts";
import { UsageError } from "../src/errors.ts";
import { open } from "../mod.ts";
import { XDP_MODES } from "../src/options.ts";
import { parsePciAddress } from "../src/pci/address.ts";
import { ReconnectingDevice } from "../wrappers/reconnecting.ts";
import { err } from "./output.ts";
import { choice, decimal, flag, text, type Values, whole, wholes } from "./options.ts";

/** The forms of a device address, for usage texts. */
export const DEVICE_FORMS =
  "0000:03:00.0 (PCI), vfio-user:PATH, vhost-user:PATH, vhost-user-server:PATH or xdp:NAME";

/** The interfaces of a VirtIO device that has two. */
export const VIRTIO_INTERFACES = ["legacy", "modern"] as const;

/** The range of a ring's descriptors. */
const RING = { least: 64, most: 4096, default: undefined } as const;

/** The options. */
export const DEVICE_OPTIONS = {
  batch: whole("maximum batch size in packets", { alias: "b", least: 1, most: 256, default: 32 }),
  "rx-entries": whole("descriptors of a receive ring", {
    ...RING,
    values:
      "64, 128, … 4096 (default 512, or 1024 for batches above 64; 128 if a vhost-user back-end may refuse more)",
  }),
  "tx-entries": whole("descriptors of a transmit ring", { ...RING, values: "same values" }),
  "buffer-size": choice("bytes of a buffer", ["2048", "4096", "8192", "16384"], {
    value: "N",
    default: "2048",
  }),
  speed: wholes("speeds in Mbit/s that the link may have", {
    ...{ least: 100, most: 10000, default: [] },
    values: "(100, 1000, 2500, 5000, 10000; default all but 2500 and 5000)",
  }),
  virtio: choice("interface of a VirtIO device that has two", VIRTIO_INTERFACES, {
    values: "legacy (default through sysfs) or modern (default otherwise)",
    default: undefined,
  }),
  xdp: choice("how a network interface passes frames", XDP_MODES, {
    values:
      "zero-copy, copy, generic (works with every driver) or auto (default: the first possible)",
    default: undefined,
  }),
  pass: text(
    "traffic of a network interface that the kernel keeps: arp, icmp, tcp, udp, tcp:22, udp:53, …",
    "KIND,…",
    "kinds of traffic, separated by commas",
  ),
  take: text(
    "the only traffic of a network interface that the program gets, in the same words",
    "KIND,…",
    "kinds of traffic, separated by commas",
  ),
  force: flag(
    "take over a NIC although its kernel interface is up, or a network interface although it has an address",
  ),
  "no-guard": flag(
    "through sysfs: start no guard process; a NIC whose program is killed goes on writing to memory",
  ),
  rebind: flag("at the end, bind each NIC to its kernel driver again"),
  reconnect: flag(
    "when the process that serves a device on a socket ends, wait for the next one and go on; packets " +
      "in the transmit ring count as lost in flight",
  ),
  seconds: decimal("stop after N seconds", {
    least: 0.1,
    most: 1e9,
    values: "",
    default: Infinity,
  }),
  json: flag(
    'print JSON: {"ready":true} first, then counts since the start every second; the last line has ' +
      '"total":true',
  ),
  quiet: flag("print totals only", { alias: "q" }),
};

/** The additional option of programs that have nothing to do until a packet arrives. */
export const INTERRUPT_OPTIONS = {
  interrupts: flag(
    "sleep while no packet arrives (82599, X540 and X550 through VFIO or vfio-user; network interfaces)",
  ),
};

/** Values of the options. */
export interface DeviceOptions {
  /** Maximum batch size in packets. */
  readonly batch: number;
  /** The most descriptors of a receive ring. */
  readonly rxEntries: number;
  /** The most descriptors of a transmit ring. */
  readonly txEntries: number;
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /** How long to run, in seconds; infinite by default. */
  readonly seconds: number;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Whether to print totals only. */
  readonly quiet: boolean;
  /** Whether to reconnect. */
  readonly reconnect: boolean;
  /** The options for `open`. */
  readonly open: OpenOptions;
}

/**
 * Returns what the options' values mean. `open` and the pool check the rest.
 *
 * @param addresses The program's devices.
 * @throws {UsageError} if `reconnect` is set and no device can reconnect, or an option for network interfaces
 * is set and no device is one.
 */
export function deviceOptions(
  values: Values<typeof DEVICE_OPTIONS> & Partial<Values<typeof INTERRUPT_OPTIONS>>,
  addresses: readonly string[],
): DeviceOptions {
  const { reconnect } = values;
  if (reconnect && !addresses.some(isServed)) {
    throw new UsageError(
      `--reconnect is for devices that a process serves, and ${addresses.join(" and ")} cannot ` +
        "reconnect: leave it out",
    );
  }
  const { xdp: mode, pass, take } = values;
  const ofInterfaces = Object.entries({ xdp: mode, pass, take })
    .find(([, value]) => value !== undefined)?.[0];
  if (ofInterfaces !== undefined && !addresses.some(isInterface)) {
    throw new UsageError(
      `--${ofInterfaces} is for network interfaces, and ` +
        `${addresses.join(" and ")} ${
          addresses.length === 1 ? "is none" : "are none"
        }: leave it out`,
    );
  }
  const { batch, speed, virtio, force, rebind, seconds, json, quiet, interrupts = false } = values;
  // If a batch is a large part of a ring, the device waits for descriptors, which costs a quarter of the
  // rate. But not every vhost-user back-end accepts larger rings.
  const limited = addresses.some((address) => address.startsWith("vhost-user"));
  const entries = batch > 64 && !limited ? 1024 : undefined;
  const { "rx-entries": rxEntries = entries, "tx-entries": txEntries = entries } = values;
  return {
    ...{ batch, seconds, json, quiet, reconnect },
    ...{ rxEntries: rxEntries ?? DEFAULT_ENTRIES, txEntries: txEntries ?? DEFAULT_ENTRIES },
    bufferSize: Number(values["buffer-size"]),
    open: {
      ...{ interrupts, force, rebind, onWait: err.print },
      // Left out by default: the device then chooses.
      ...(rxEntries && { rxEntries }),
      ...(txEntries && { txEntries }),
      ...(values["no-guard"] && { guard: false }),
      ...(virtio && { virtio }),
      ...(ofInterfaces !== undefined && {
        xdp: {
          ...(mode && { mode }),
          ...(pass !== undefined && { pass: pass.split(",") }),
          ...(take !== undefined && { take: take.split(",") }),
        },
      }),
      ...(speed.length > 0 && { speeds: speed }),
    },
  };
}

/** Whether an address names a device that a process serves. */
function isServed(address: string): boolean {
  return parsePciAddress(address) === undefined && !isInterface(address);
}

/** Whether an address names a network interface. */
function isInterface(address: string): boolean {
  return address.startsWith("xdp:");
}

/**
 * Opens a device of a program. Options for network interfaces apply to those of its devices. Throws as `open`
 * does.
 */
export function openDevice(
  address: string,
  { reconnect }: Pick<DeviceOptions, "reconnect">,
  { xdp, ...rest }: OpenOptions,
): Promise<Device> {
  const options = xdp !== undefined && isInterface(address) ? { ...rest, xdp } : rest;
  if (!reconnect || !isServed(address)) return open(address, options);
  let { onWait } = options;
  return ReconnectingDevice.open((signal) => {
    const opening = open(address, { ...options, ...(onWait && { onWait }), signal });
    onWait = () => {}; // later, the state of the link says it
    return opening;
  });
}
