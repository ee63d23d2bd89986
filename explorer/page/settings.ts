/**
 * The settings of an experiment, as the form shows them.
 *
 * @module
 */

import { DEFAULTS, DEVICES, type Experiment } from "../recording/experiment.ts";

/** A setting of the form. */
export interface Setting {
  readonly name: Exclude<keyof Experiment, "actions">;
  readonly label: string;
  /** What it does, with its range. */
  readonly help: string;
  /** The values to choose from; without them, the setting is on or off, or a number of a range. */
  readonly values?: readonly (string | number)[];
  /** The values of VirtIO, if they are others. None: VirtIO does not have the setting. */
  readonly virtioValues?: readonly (string | number)[];
  /** The range of a number. */
  readonly range?: readonly [number, number];
}

/** All settings. */
export const SETTINGS: readonly Setting[] = [
  { name: "device", label: "Device", help: "The device that is modelled.", values: DEVICES },
  {
    name: "ports",
    label: "Ports",
    help: "Two ports are needed to forward.",
    values: [1, 2],
  },
  {
    name: "entries",
    label: "Ring size",
    help: "Descriptors of each ring; of VirtIO, the size of each queue.",
    values: [64, 128, 256, 512, 1024, 2048, 4096],
    virtioValues: [16, 32, 64, 128, 256],
  },
  {
    name: "batch",
    label: "Batch size",
    help: "Most packets that the program receives at once, 1 to 32.",
    range: [1, 32],
  },
  {
    name: "queues",
    label: "Queues",
    help: "Receive queues, which RSS chooses from, and as many transmit queues.",
    values: [1, 2, 3, 4, 5, 6, 7, 8],
  },
  {
    name: "buffers",
    label: "Pool",
    help: "Buffers of the pool, 64 to 16384. Few of them leave the program without buffers.",
    range: [64, 16384],
  },
  {
    name: "bufferSize",
    label: "Buffer size",
    help: "Bytes of each buffer. A frame that is longer is spread over several descriptors.",
    values: [2048, 4096],
  },
  {
    name: "budget",
    label: "Budget",
    help: "Most descriptors and frames of one round of the device, 1 to 64.",
    range: [1, 64],
  },
  {
    name: "promiscuous",
    label: "Promiscuous",
    help: "Frames for other stations are received as well.",
  },
  {
    name: "dropEnable",
    label: "Drop enable",
    help: "Frames without descriptor are dropped (SRRCTL.DROP_EN), not kept in the packet buffer.",
    virtioValues: [],
  },
  {
    name: "interrupts",
    label: "Interrupts",
    help: "The devices are opened with interrupts; the program waits for them when it is idle.",
    virtioValues: [],
  },
];

/** Returns whether a device has a setting. */
export function hasSetting(device: Experiment["device"], setting: Setting): boolean {
  return device !== "virtio" || setting.virtioValues?.length !== 0;
}

/** Returns the values to choose from; undefined if the setting is on or off, or a number of a range. */
export function valuesOf(
  device: Experiment["device"],
  { values, virtioValues }: Setting,
): readonly (string | number)[] | undefined {
  return device === "virtio" && values ? virtioValues ?? values : values;
}

/**
 * Returns an experiment with another value of a setting. Settings that its device does not have, or not
 * with their value, get the default ones.
 */
export function withSetting(
  experiment: Experiment,
  name: Setting["name"],
  value: string | number | boolean,
): Experiment {
  const changed = { ...experiment, [name]: value } as Experiment;
  const { device } = changed;
  const lost = SETTINGS.filter((setting) =>
    !hasSetting(device, setting) ||
    valuesOf(device, setting)?.includes(changed[setting.name] as string | number) === false
  );
  return { ...changed, ...Object.fromEntries(lost.map(({ name }) => [name, DEFAULTS[name]])) };
}
