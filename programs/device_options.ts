/**
 * The options that every program for devices has, and the devices that their values open.
 *
 * @module
 */

import type { OpenOptions } from "../src/device.ts";
import { type Arguments, choice, number, type OptionKinds } from "./program.ts";

/** What a device is, for usage texts. */
export const DEVICE_FORMS = "0000:03:00.0 (PCI), vfio-user:PATH or vhost-user:PATH";

/** Kinds of the options, for {@linkcode parse}. */
export const DEVICE_OPTIONS: OptionKinds = {
  batch: true,
  "rx-entries": true,
  "tx-entries": true,
  "buffer-size": true,
  virtio: true,
  force: false,
  rebind: false,
  seconds: true,
  json: false,
  quiet: false,
};

/** The further option of programs that have nothing to do until a packet arrives. */
export const INTERRUPT_OPTIONS: OptionKinds = { interrupts: false };

/** What `--help` says about it. */
export const INTERRUPT_USAGE =
  `  --interrupts     sleep while no packet arrives (82599, X540 and X550 by VFIO or vfio-user)`;

/** What `--help` says about them. */
export const DEVICE_USAGE = `  --batch N        most packets handled at once, 1 to 256 (default 32)
  --rx-entries N   descriptors of a receive ring, 64, 128, … 4096 (default 512; 1024 for batches
                   above 64)
  --tx-entries N   descriptors of a transmit ring, the same
  --buffer-size N  bytes of a buffer: 2048 (default), 4096, 8192 or 16384
  --virtio HOW     interface of a virtio device that has two: legacy (default of PCI) or modern
  --force          take a NIC over although its kernel interface is up
  --rebind         at the end give a NIC back to the kernel driver that it was taken from
  --seconds N      stop after so many seconds
  --json           print JSON: {"ready":true} first, then counts since the start every second,
                   and with "total":true at the end
  --quiet          print the totals only`;

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

/**
 * Reads the options.
 *
 * @throws {UsageError} if a value is out of its range. `open` and the pool check the rest.
 */
export function deviceOptions(args: Arguments): DeviceOptions {
  const { force = false, rebind = false, interrupts = false, json = false, quiet = false } =
    args.values;
  const batch = number(args, "batch", 32, 1, 256);
  // A batch that is a large part of a ring leaves the device waiting for descriptors: a fourth slower.
  const entries = batch > 64 ? 1024 : 512;
  const rxEntries = number(args, "rx-entries", entries, 64, 4096);
  const txEntries = number(args, "tx-entries", entries, 64, 4096);
  const virtio = choice(args, "virtio", ["legacy", "modern"] as const);
  return {
    batch,
    rxEntries,
    txEntries,
    bufferSize: number(args, "buffer-size", 2048, 2048, 16384),
    seconds: number(args, "seconds", Infinity, 0.1, 1e9, true),
    json: json === true,
    quiet: quiet === true,
    open: {
      interrupts: interrupts === true,
      rxEntries,
      txEntries,
      force: force === true,
      rebind: rebind === true,
      ...(virtio && { virtio }),
    },
  };
}
