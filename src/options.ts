/**
 * The options of `open`: their names and types, and the error for those that a device does not support.
 * Drivers check ranges that depend on the device.
 *
 * @module
 */

import type { OpenOptions } from "./device.ts";
import { UsageError } from "./errors.ts";
import { Mempool } from "./mempool.ts";

/** Modes of AF_XDP, see `XdpOptions` in `device.ts`. */
export const XDP_MODES = ["auto", "zero-copy", "copy", "generic"] as const;

/** A type of values: its name for messages, and its test. */
type Kind = readonly [words: string, accepts: (value: unknown) => boolean];

const WHOLE: Kind = ["a whole number", Number.isSafeInteger];
const SWITCH: Kind = ["true or false", (value) => typeof value === "boolean"];
const isSpeeds = (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every(Number.isSafeInteger);
const isXdp = (value: unknown) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { mode = "auto", pass = [], take = [], ...rest } = value as Record<string, unknown>;
  const lists = [pass, take].every((list) =>
    Array.isArray(list) && list.every((word) => typeof word === "string")
  );
  return Object.keys(rest).length === 0 && XDP_MODES.some((word) => word === mode) && lists;
};
const isPool = (value: unknown) => value instanceof Mempool;

/** The type of every option; the type of this table makes the compiler report one that is missing. */
const KINDS: Readonly<Record<keyof OpenOptions, Kind>> = {
  pool: ["a Mempool", isPool],
  pools: ["an array of Mempools", (value) => Array.isArray(value) && value.every(isPool)],
  rxQueues: WHOLE,
  txQueues: WHOLE,
  rssKey: ["a Uint8Array", (value) => value instanceof Uint8Array],
  speeds: ["an array of whole numbers", isSpeeds],
  rxEntries: WHOLE,
  txEntries: WHOLE,
  promiscuous: SWITCH,
  standby: SWITCH,
  interrupts: SWITCH,
  force: SWITCH,
  rebind: SWITCH,
  guard: SWITCH,
  signal: ["an AbortSignal", (value) => value instanceof AbortSignal],
  onWait: ["a function", (value) => typeof value === "function"],
  virtio: ['"legacy" or "modern"', (value) => value === "legacy" || value === "modern"],
  xdp: [
    `an object with \`mode\` (${XDP_MODES.join(", ")}), \`pass\` and \`take\` (arrays of strings)`,
    isXdp,
  ],
};

/**
 * Checks the names and types of options.
 *
 * @param address The device's address, for messages.
 * @throws {UsageError} if an option is unknown, its value has another type, or the options are not an
 * object.
 */
export function checkOptions(address: string, options: OpenOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new UsageError(`${address}: the options are an object, not ${show(options)}`);
  }
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(KINDS, option)) {
      throw new UsageError(
        `${address}: \`open\` has no option \`${option}\`: its options are ` +
          Object.keys(KINDS).join(", "),
        { option },
      );
    }
    const [words, accepts] = KINDS[option as keyof OpenOptions];
    if (value === undefined || accepts(value)) continue;
    throw new UsageError(`${address}: \`${option}\` is ${words}, not ${show(value)}`, { option });
  }
}

/** Formats a value for messages. */
function show(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" && value !== null ? "another object" : String(value);
}

/**
 * Refuses options that a kind of device does not support. An option that is `false` passes.
 *
 * @param address The device's address, for messages.
 * @param kind The kind of device, for messages: `VirtIO`.
 * @param unsupported The options that this kind does not support.
 * @throws {UsageError} if one of them is set.
 */
export function refuseOptions(
  address: string,
  kind: string,
  options: OpenOptions,
  unsupported: readonly (keyof OpenOptions)[],
): void {
  for (const option of unsupported) {
    if (options[option] === undefined || options[option] === false) continue;
    throw new UsageError(
      `${address}: ${kind} devices do not support the option \`${option}\`: leave it out`,
      { option },
    );
  }
}
