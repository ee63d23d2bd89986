import { assert, assertEquals } from "@std/assert";
import { ALIASES, REGISTERS } from "../../ixgbe/registers.ts";
import { nameOf, offsetOf, type Register } from "../../src/registers.ts";

const ALL: readonly Register[] = Object.values(REGISTERS) as Register[];

Deno.test("REGISTERS: no two registers share an offset, and all are words of BAR0", () => {
  const taken = new Map<number, string>();
  const claim = (offset: number, name: string) => {
    assertEquals(taken.get(offset), undefined, `${name} at 0x${offset.toString(16)}`);
    assert(offset % 4 === 0 && offset >= 0 && offset < 0x20000, name);
    taken.set(offset, name);
  };
  for (const register of ALL) {
    for (let index = 0; index < register.count; index++) {
      claim(offsetOf(register, index), nameOf(register, index));
    }
  }
  for (const { register, offset, count, stride } of ALIASES) {
    for (let index = 0; index < count; index++) {
      claim(offset + index * stride, `${register}[${index}]`);
    }
  }
});

Deno.test("REGISTERS: fields are inside 32 bits and clear of reserved bits", () => {
  for (const register of ALL) {
    for (const [field, mask] of Object.entries(register.fields)) {
      assert(mask >= 0 && mask <= 0xffff_ffff, `${register.name}.${field}`);
      assertEquals((mask & register.reserved) >>> 0, 0, `${register.name}.${field}`);
    }
    assert(register.reset >= 0 && register.reset <= 0xffff_ffff, register.name);
  }
});
