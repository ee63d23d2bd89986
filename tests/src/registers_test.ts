/** Register tables, and access to registers by name. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { REGISTERS } from "../../ixgbe/registers.ts";
import type { Bar } from "../../src/pci/function.ts";
import { DeviceError } from "../../src/errors.ts";
import {
  defineRegisters,
  nameOf,
  offsetOf,
  type Register,
  Registers,
} from "../../src/registers.ts";

const TABLE = defineRegisters({
  CTRL: { offset: 0, access: "RW", meaning: "control", section: "1", fields: { RST: 1 << 31 } },
  RING: {
    offset: 0x100,
    count: 8,
    stride: 0x40,
    runs: [{ from: 4, offset: 0x1000, stride: 0x10 }],
    access: "RW",
    meaning: "ring",
    section: "2",
  },
});

/** A BAR that is plain memory. */
function memoryBar(words = new Uint32Array(4096)): Bar {
  return {
    size: words.length * 4,
    read: (offset) => words[offset / 4],
    write: (offset, _bytes, value) => words[offset / 4] = value,
    doorbell: (offset) => ({ words, index: offset / 4, write: undefined }),
  };
}

Deno.test("offsetOf() follows strides and runs", () => {
  const offsets = [0, 1, 3, 4, 7].map((i) => offsetOf(TABLE.RING, i));
  assertEquals(offsets, [0x100, 0x140, 0x1c0, 0x1000, 0x1030]);
  for (const index of [-1, 8, NaN]) {
    assertThrows(() => offsetOf(TABLE.RING, index), RangeError, "RING has no copy");
  }
  assertEquals([nameOf(TABLE.RING, 3), nameOf(TABLE.CTRL)], ["RING[3]", "CTRL"]);
});

Deno.test("defineRegisters() makes masks unsigned", () => {
  assertEquals(TABLE.CTRL.RST, 0x80000000);
});

Deno.test("defineRegisters() derives the side effect of reading from the access RC", () => {
  const { COUNT, CAUSE, PLAIN } = defineRegisters({
    COUNT: { offset: 0, access: "RC", meaning: "counter", section: "1" },
    CAUSE: {
      offset: 4,
      access: "W1C",
      readEffect: { does: "clears the causes" },
      meaning: "causes",
      section: "2",
    },
    PLAIN: { offset: 8, access: "RW", meaning: "plain", section: "3" },
  });
  const effects = [COUNT, CAUSE, PLAIN].map(({ readEffect }) => readEffect?.does);
  assertEquals(effects, ["clears it", "clears the causes", undefined]);
});

Deno.test("Registers.set(), clear() and update() leave other bits unchanged", () => {
  const regs = new Registers(memoryBar(), "nic");
  regs.write(TABLE.CTRL, 0x80000001);
  regs.set(TABLE.CTRL, 0x10);
  assertEquals(regs.read(TABLE.CTRL), 0x80000011);
  regs.clear(TABLE.CTRL, 0x1);
  assertEquals(regs.read(TABLE.CTRL), 0x80000010);
  regs.update(TABLE.CTRL, 0xff, 0xabcd);
  assertEquals(regs.read(TABLE.CTRL), 0x800000cd);
});

Deno.test("Registers.wait() returns when the bits match, else throws with register and value", async () => {
  const regs = new Registers(memoryBar(), "nic");
  setTimeout(() => regs.write(TABLE.RING, 6, 5), 5);
  await regs.wait(TABLE.RING, 4, 4, 2000, 5);
  const error = await assertRejects(() => regs.wait(TABLE.RING, 1, 1, 5, 5), DeviceError);
  assert(error.message.startsWith("nic: RING[5] (0x00001010, section 2) is 0x00000006 after 5 ms"));
  assertEquals([regs.spin(TABLE.RING, 4, 4, 5, 5), regs.spin(TABLE.RING, 1, 1, 5, 5)], [
    true,
    false,
  ]);
});

Deno.test("The ixgbe table has no two registers at the same offset, and none outside the BAR", () => {
  const at = new Map<number, string>();
  for (const register of Object.values<Register>(REGISTERS)) {
    for (let i = 0; i < register.count; i++) {
      const offset = offsetOf(register, i);
      assert(offset % 4 === 0 && offset < 512 * 1024, nameOf(register, i));
      assert(!at.has(offset), `${nameOf(register, i)} and ${at.get(offset)} at ${offset}`);
      at.set(offset, nameOf(register, i));
    }
    assert(register.meaning !== "" && register.section !== "", register.name);
  }
});
