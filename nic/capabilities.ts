/**
 * The capabilities of this process, see capabilities(7).
 *
 * @module
 */

import type { System } from "./system.ts";

type Files = Pick<System, "text">;

/** Bits of capabilities. */
export const Capability = {
  NET_ADMIN: 12n,
  NET_RAW: 13n,
  IPC_LOCK: 14n,
  SYS_ADMIN: 21n,
  BPF: 39n,
} as const;

/** Returns whether this process has a capability. */
export function hasCapability(files: Files, bit: bigint): boolean {
  const set = /^CapEff:\s*([0-9a-f]+)/m.exec(files.text("/proc/self/status") ?? "")?.[1] ?? "0";
  return (BigInt(`0x${set}`) >> bit & 1n) === 1n;
}

/** Returns the names of the capabilities for network interfaces that this process lacks. */
export function missingForXdp(files: Files): string[] {
  const { NET_RAW, NET_ADMIN, BPF, SYS_ADMIN } = Capability;
  const needed = {
    ...{ CAP_NET_RAW: [NET_RAW], CAP_NET_ADMIN: [NET_ADMIN] },
    CAP_BPF: [BPF, SYS_ADMIN],
  };
  return Object.entries(needed)
    .filter(([, bits]) => !bits.some((bit) => hasCapability(files, bit)))
    .map(([name]) => name);
}
