/** Fields of registers. */

import { assertEquals } from "@std/assert";
import {
  bitRange,
  fieldsOf,
  registerNamed,
} from "../../../../explorer/page/views/register/fields.ts";
import { AUTOC, CTRL, RDT, REGISTERS } from "../../../../ixgbe/registers.ts";
import type { Register } from "../../../../src/registers.ts";

Deno.test("fieldsOf() marks the fields that an access changes", () => {
  const changed = fieldsOf(CTRL, CTRL.LRST, CTRL.RST).filter((field) => field.changed);
  assertEquals(changed.map(({ name, old, value }) => [name, old, value]), [
    ["RST", "0", "1"],
    ["LRST", "1", "0"],
  ]);
});

Deno.test("fieldsOf() names values of a field", () => {
  const lms = fieldsOf(AUTOC, 0, AUTOC.LMS_10G_SERIAL).find(({ name }) => name === "LMS");
  assertEquals([lms?.old, lms?.value], ["0, LMS_1G", "3, LMS_10G_SERIAL"]);
});

Deno.test("fieldsOf() shows bits that belong to no field", () => {
  assertEquals(fieldsOf(RDT, 0, 63), [
    { name: "value", mask: 0xffffffff, old: "0x00000000", value: "0x0000003f", changed: true },
  ]);
  assertEquals(fieldsOf(CTRL, 0, 1).at(-1)?.name, "other bits");
});

Deno.test("fieldsOf() shows each bit of each register once", () => {
  for (const register of Object.values(REGISTERS as Record<string, Register>)) {
    let seen = 0;
    for (const { name, mask } of fieldsOf(register, 0, -1)) {
      const isWhole = name === "value" || name === "other bits";
      assertEquals(isWhole ? seen & mask : 0, 0, `${register.name}.${name}`);
      seen |= mask;
    }
    assertEquals(seen >>> 0, 0xffffffff, register.name);
  }
});

Deno.test("registerNamed() finds registers of the table only", () => {
  assertEquals(registerNamed("CTRL"), CTRL);
  assertEquals(registerNamed("NONE"), undefined);
});

Deno.test("bitRange() writes bits as the datasheet does", () => {
  assertEquals([0x80000000, 0xffff0000, 1, 0x30].map(bitRange), ["31", "31:16", "0", "5:4"]);
  assertEquals(bitRange(0x5), "0x00000005");
});
