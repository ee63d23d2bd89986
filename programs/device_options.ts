/**
 * The options that every program for devices has, and the devices that their values open.
 *
 * @module
 */

import type { OpenOptions } from "../src/device.ts";
import { choice, decimal, flag, type Values, whole } from "./options.ts";

/** What a device is, for usage texts. */
export const DEVICE_FORMS = "0000:03:00.0 (PCI), vfio-user:PATH or vhost-user:PATH";

/** The interface of a virtio device that has two. */
export const VIRTIO_INTERFACES = ["legacy", "modern"] as const;

/** Descriptors of a ring, as usage texts say it. */
const RING = { least: 64, most: 4096, default: undefined } as const;

/** The options. */
export const DEVICE_OPTIONS = {
  batch: whole("most packets handled at once", { alias: "b", least: 1, most: 256, default: 32 }),
  "rx-entries": whole("descriptors of a receive ring", {
    ...RING,
    values: "64, 128, … 4096 (default 512; 1024 for batches above 64)",
  }),
  "tx-entries": whole("descriptors of a transmit ring", { ...RING, values: "the same" }),
  "buffer-size": choice("bytes of a buffer", ["2048", "4096", "8192", "16384"], {
    value: "N",
    default: "2048",
  }),
  virtio: choice("interface of a virtio device that has two", VIRTIO_INTERFACES, {
    values: "legacy (default of PCI) or modern",
    default: undefined,
  }),
  force: flag("take a NIC over although its kernel interface is up"),
  rebind: flag("at the end give a NIC back to the kernel driver that it was taken from"),
  seconds: decimal("stop after so many seconds", {
    least: 0.1,
    most: 1e9,
    values: "",
    default: Infinity,
  }),
  json: flag(
    'print JSON: {"ready":true} first, then counts since the start every second, and with ' +
      '"total":true at the end',
  ),
  quiet: flag("print the totals only", { alias: "q" }),
};

/** The further option of programs that have nothing to do until a packet arrives. */
export const INTERRUPT_OPTIONS = {
  interrupts: flag("sleep while no packet arrives (82599, X540 and X550 by VFIO or vfio-user)"),
};

/** Values of the options. */
export interface DeviceOptions {
  /** Most packets handled at once. */
  readonly batch: number;
  /** Descriptors of a receive ring. */
  readonly rxEntries: number;
  /** Descriptors of a transmit ring. */
  readonly txEntries: number;
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /** How long to run, in seconds: without end is infinite. */
  readonly seconds: number;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Whether to print the totals only. */
  readonly quiet: boolean;
  /** What `open` takes of them. */
  readonly open: OpenOptions;
}

/** What the options' values are for. `open` and the pool check the rest. */
export function deviceOptions(
  values: Values<typeof DEVICE_OPTIONS> & Partial<Values<typeof INTERRUPT_OPTIONS>>,
): DeviceOptions {
  const { batch, virtio, force, rebind, seconds, json, quiet, interrupts = false } = values;
  // A batch that is a large part of a ring leaves the device waiting for descriptors: a fourth slower.
  const entries = batch > 64 ? 1024 : 512;
  const { "rx-entries": rxEntries = entries, "tx-entries": txEntries = entries } = values;
  return {
    ...{ batch, rxEntries, txEntries, seconds, json, quiet },
    bufferSize: Number(values["buffer-size"]),
    open: { interrupts, rxEntries, txEntries, force, rebind, ...(virtio && { virtio }) },
  };
}
