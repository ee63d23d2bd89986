/** What is checked of an interface whose driver this machine does not have. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../../mod.ts";
import { checkZeroCopyFrames, modeOf } from "../../xdp/checks.ts";
import type { InterfaceDriver } from "../../xdp/interface.ts";

const X520 = 0x10fb, X540 = 0x1528, X550 = 0x1563;

/** Drivers and buffer sizes, with the largest MTU that fits. */
const LARGEST: readonly [InterfaceDriver | undefined, bufferSize: number, mtu: number][] = [
  [{ name: "ixgbe", device: X520 }, 2048, 1006],
  [{ name: "ixgbe", device: X520 }, 4096, 3054],
  [{ name: "ixgbe", device: X520 }, 16384, 3054],
  [{ name: "ixgbe" }, 2048, 1006],
  [{ name: "ixgbe", device: X540 }, 2048, 1770],
  [{ name: "ixgbe", device: X550 }, 2048, 1770],
  [{ name: "ixgbe", device: X550 }, 4096, 3818],
  [{ name: "igb", device: 0x10c9 }, 2048, 1006],
  [{ name: "igb", device: X540 + 1 }, 4096, 3054],
  [{ name: "igc" }, 2048, 1006],
];

for (const [driver, bufferSize, most] of LARGEST) {
  const { name, device = 0 } = driver ?? { name: "none" };
  Deno.test(`checkZeroCopyFrames() of ${name} 0x${device.toString(16)}, buffers of ${bufferSize}`, () => {
    const check = (mtu: number) =>
      checkZeroCopyFrames("xdp:e", { driver: () => driver, mtu: () => mtu }, bufferSize);
    check(most);
    const { message } = assertThrows(() => check(most + 1), UsageError);
    const room = `may receive only ${most + 18} bytes into a buffer of ${bufferSize}`;
    assertMatch(message, new RegExp(`the driver ${name} ${room}, .*: use buffers of 4096 bytes`));
  });
}

Deno.test("checkZeroCopyFrames() leaves other drivers alone", () => {
  for (const driver of [undefined, { name: "ice" }, { name: "virtio_net" }]) {
    checkZeroCopyFrames("xdp:e", { driver: () => driver, mtu: () => 9000 }, 2048);
  }
});

Deno.test("modeOf() gives a bond the generic mode only: it receives nothing in the others", () => {
  for (const mode of ["auto", "zero-copy", "copy", "generic"] as const) {
    assertEquals(modeOf("xdp:bond0", false, mode), mode);
  }
  for (const mode of ["auto", "generic"] as const) {
    assertEquals(modeOf("xdp:bond0", true, mode), "generic");
  }
  for (const mode of ["zero-copy", "copy"] as const) {
    const { message, option } = assertThrows(() => modeOf("xdp:bond0", true, mode), UsageError);
    assertMatch(message, /is a bond, which receives nothing in the mode ".*": use "generic", or/);
    assertEquals(option, "xdp.mode");
  }
});
