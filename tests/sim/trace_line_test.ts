/** The format of traces: lines of events, and events of lines. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CTRL, RDT, REGISTERS } from "../../ixgbe/registers.ts";
import { hex, offsetOf, type Register } from "../../src/registers.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { Trace } from "../../sim/pci/trace.ts";
import { formatLine, parseLine, parseTrace, TraceError } from "../../sim/pci/trace_line.ts";

const REGISTER = fc.constantFrom(...Object.values(REGISTERS) as Register[]).chain((register) =>
  fc.nat(register.count - 1).map((index) => ({
    ...{ register: register.name, index },
    offset: offsetOf(register, index),
  }))
);
const NOWHERE = fc.nat(0xffff).map((offset) => ({
  ...{ register: hex(offset * 4), index: 0, offset: offset * 4 },
}));
const EVENT = fc.oneof(
  fc.record({
    kind: fc.constantFrom("read" as const, "write" as const),
    access: fc.oneof(REGISTER, NOWHERE),
    value: fc.nat(0xffff_ffff),
  }).map(({ access, ...rest }) => ({ ...rest, ...access })),
  fc.record({ kind: fc.constant("interrupt" as const), vector: fc.nat(63) }),
  fc.record({ kind: fc.constant("bus master" as const), on: fc.boolean() }),
  fc.record({
    kind: fc.constant("reset" as const),
    reset: fc.constantFrom("power-on" as const, "function" as const),
  }),
  fc.constant({ kind: "gone" as const }),
);

Deno.test("parseLine() returns the event that formatLine() wrote", () => {
  const microseconds = fc.nat(2 ** 31);
  fc.assert(fc.property(EVENT, microseconds, fc.nat(9), (what, time, port) => {
    const event = { seconds: time / 1e6, port, ...what };
    assertEquals(parseLine(formatLine(event), 1), event);
  }));
});

Deno.test("parseTrace() reads what Trace records", () => {
  const lines: string[] = [], nic = new Nic();
  const trace = new Trace({ line: (line) => lines.push(line) }), model = trace.before(nic, 1);
  model.setBusMaster(true);
  model.write32(offsetOf(RDT, 70), 17);
  const value = model.read32(offsetOf(CTRL));
  trace.interrupt(1, 3);
  model.read32(0x80000);
  model.reset("function");
  model.disconnect();
  const events = parseTrace(lines.map((line) => `${line}\n`).join(""));
  assertEquals(events.map(({ seconds: _, ...event }) => event), [
    { port: 1, kind: "bus master", on: true },
    { ...{ port: 1, kind: "write", register: "RDT", index: 70 }, offset: 0xd198, value: 17 },
    { ...{ port: 1, kind: "read", register: "CTRL", index: 0 }, offset: 0, value },
    { port: 1, kind: "interrupt", vector: 3 },
    { ...{ port: 1, kind: "read", register: "0x00080000", index: 0 }, offset: 0x80000, value: 0 },
    { port: 1, kind: "reset", reset: "function" },
    { port: 1, kind: "gone" },
  ]);
});

Deno.test("parseTrace() names the line that is damaged, and what a line is", () => {
  const good = "0.402113 0 read  LINKS 0x70000000\n";
  const damaged = [
    ...["", "hello", "0.4 0", "x 0 interrupt 1", "0.4 -1 interrupt 1", "0.4 0 interrupt one"],
    ...["0.4 0 read LINKS", "0.4 0 read LINKS 0x7000", "0.4 0 read LINKS 0x700000000"],
    ...["0.4 0 bus master", "0.4 0 reset (warm)", "0.4 0 read  LINKS  0x70000000"],
    ...["0.4 0 reads LINKS 0x70000000", "\u0000\u0001\u0002"],
  ];
  for (const line of damaged) {
    const error = assertThrows(() => parseTrace(`${good}${line}\n${good}`), TraceError);
    assertEquals(error.line, 2);
    assertEquals(
      error.message,
      `line 2 of the trace is damaged: ${JSON.stringify(line)} is not ` +
        '"SECONDS PORT read|write REGISTER VALUE", nor another line that --trace writes; ' +
        "remove it, or record the trace again",
    );
  }
  const long = `0.4 0 ${"x".repeat(1000)}\n`;
  assertEquals(assertThrows(() => parseTrace(long), TraceError).message.length < 300, true);
});

Deno.test("parseTrace() refuses registers that do not exist, and a last line without end", () => {
  for (const name of ["LINK", "CTRL[0]", "RDT", "RDT[128]"]) {
    const text = `0.4 0 read  ${name} 0x00000001\n`;
    const message = `line 1 of the trace names a register that the device does not have: ${name}`;
    assertThrows(() => parseTrace(text), TraceError, message);
  }
  const cut = "0.4 0 interrupt 12\n0.5 0 interrupt 1";
  const message = 'line 2 of the trace has no end: "0.5 0 interrupt 1"; remove it';
  assertThrows(() => parseTrace(cut), TraceError, message);
  assertEquals(parseTrace(""), []);
});
