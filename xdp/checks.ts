/**
 * What is checked before an interface is changed, and while it is open.
 *
 * @module
 */

import { DeviceError, makeCalls, UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { FRAME_OVERHEAD, HEADROOM, MAX_CHUNK } from "./abi.ts";
import type { NetworkInterface } from "./interface.ts";
import { usesOf } from "./kernel_use.ts";
import type { XdpMode } from "./socket.ts";

/**
 * Checks that there is a socket for each receive queue: the frames of the others would go to the kernel.
 *
 * @throws {UsageError} if the interface has another number of receive queues.
 */
export function checkQueues(address: string, at: NetworkInterface, queues: number): void {
  const channels = at.channels();
  if (channels === undefined || channels.receive === queues) return;
  const { receive, word, most } = channels;
  const set = `\`ethtool -L ${at.name} ${word} ${queues}\``;
  throw new UsageError(
    `${address}: the interface spreads frames over ${receive} queue${
      receive === 1 ? "" : "s"
    }, and ` +
      `the device would receive from ${queues}: open it with ${receive}` +
      (queues <= most ? `, or run ${set}` : ""),
    { option: "rxQueues" },
  );
}

/**
 * Checks that the interface has not got more receive queues since the device was opened.
 *
 * @param queues The device's receive queues.
 * @throws {DeviceError} if it has.
 */
export function checkServed(address: string, at: NetworkInterface, queues: number): void {
  const channels = at.channels();
  if (channels === undefined || channels.receive <= queues) return;
  const { receive, word } = channels;
  throw new DeviceError(
    address,
    `the interface has ${receive} receive queues now, and the device receives from ${queues}: open it ` +
      `again, or run \`ethtool -L ${at.name} ${word} ${queues}\``,
  );
}

/** Sizes of a pool's buffers. */
const BUFFER_SIZES = [2048, 4096, 8192, 16384] as const;

/** Returns the bytes of the longest frame that a buffer holds. Long frames are gathered from pieces. */
function roomOf(bufferSize: number, headroom: number): number {
  return bufferSize - (bufferSize > MAX_CHUNK ? headroom : HEADROOM);
}

/**
 * Checks that the longest frame of the interface fits a buffer, and that packets can begin where the kernel
 * writes frames, or at the start of buffers.
 *
 * @throws {UsageError} if not.
 */
export function checkFrames(
  address: string,
  at: NetworkInterface,
  { bufferSize, headroom }: Mempool,
): void {
  if (headroom !== 0 && headroom !== HEADROOM) {
    throw new UsageError(
      `${address}: the kernel writes frames ${HEADROOM} bytes into a buffer: create the pool with as ` +
        `much headroom, or without, not with ${headroom} bytes`,
      { option: "pool" },
    );
  }
  const mtu = at.mtu(), longest = mtu + FRAME_OVERHEAD, room = roomOf(bufferSize, headroom);
  if (longest <= room) return;
  const larger = BUFFER_SIZES.find((size) => roomOf(size, headroom) >= longest);
  const lower = `\`ip link set dev ${at.name} mtu ${room - FRAME_OVERHEAD}\``;
  const why = room === bufferSize ? "" : `, because the kernel needs ${HEADROOM}`;
  throw new UsageError(
    `${address}: frames of the interface have up to ${longest} bytes (MTU ${mtu}), and a buffer of ` +
      `${bufferSize} bytes holds ${room}${why}: ` +
      (larger === undefined ? "" : `use buffers of ${larger} bytes, or `) + `run ${lower}`,
    { option: "bufferSize" },
  );
}

/** Drivers that round buffers down to whole KiB in zero-copy mode: their cards count them in KiB. */
const IN_KIB: readonly string[] = ["igb", "igc", "ixgbe"];
/** PCI devices of ixgbe whose cards compare frames with the buffer's bytes instead: X540 and X550. */
const IN_BYTES: readonly (number | undefined)[] = [0x1528, 0x1560, 0x1563, 0x15d1];
/** Bytes of the CRC, which such a card may count too. */
const CRC = 4;

/**
 * Checks that the longest frame fits a buffer also in zero-copy mode: the card of some drivers drops a longer
 * one, or spreads it over two buffers, which would be two frames then.
 *
 * @throws {UsageError} if it does not.
 */
export function checkZeroCopyFrames(
  address: string,
  at: Pick<NetworkInterface, "driver" | "mtu">,
  bufferSize: number,
): void {
  const { name, device } = at.driver() ?? {}, mtu = at.mtu();
  if (name === undefined || !IN_KIB.includes(name)) return;
  const bytes = Math.min(bufferSize, MAX_CHUNK) - HEADROOM;
  const room = IN_BYTES.includes(device) ? bytes - CRC : bytes & ~1023;
  const longest = mtu + FRAME_OVERHEAD;
  if (longest <= room) return;
  throw new UsageError(
    `${address}: in zero-copy mode, the driver ${name} may receive only ${room} bytes into a buffer of ` +
      `${bufferSize}, and frames of the interface have up to ${longest} (MTU ${mtu}): use buffers of ` +
      `${MAX_CHUNK} bytes, a lower MTU, or the mode "copy"`,
    { option: "bufferSize" },
  );
}

/**
 * Checks that the kernel does not use the interface: its traffic would go to the program.
 *
 * @throws {UsageError} if it has an address, the default route or interfaces on top, or is part of a bridge
 * or bond.
 */
export function checkUnused(address: string, at: NetworkInterface): void {
  const uses = makeCalls(address, () => usesOf(at.index));
  if (uses.length === 0) return;
  throw new UsageError(
    `${address}: the kernel uses the interface for ${
      uses.join(", ")
    }, and would no longer receive from ` +
      "it: use another interface, or set `force`",
    { option: "force" },
  );
}

/**
 * Returns the mode for an interface. The drivers below a bond would run its program, and the kernel passes
 * none of their frames to the bond's sockets: only the generic mode receives.
 *
 * @throws {UsageError} if the interface is a bond, and the mode another one.
 */
export function modeOf(address: string, bond: boolean, mode: XdpMode): XdpMode {
  if (!bond || mode === "generic") return mode;
  if (mode === "auto") return "generic";
  throw new UsageError(
    `${address}: the interface is a bond, which receives nothing in the mode "${mode}": use "generic", or ` +
      "the interfaces that it consists of",
    { option: "xdp.mode" },
  );
}
