/** Traces as recordings, and the comparison of two drivers. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openTrace, readTrace } from "../../../../explorer/page/views/trace.ts";
import { compare, usageOf } from "../../../../explorer/page/views/trace/usage.ts";
import { Layout, registerSection } from "../../../../explorer/recording/layout.ts";
import { Recording } from "../../../../explorer/recording/recording.ts";
import { LINKS } from "../../../../ixgbe/registers.ts";
import { offsetOf } from "../../../../src/registers.ts";
import { PROJECT } from "../../../support/processes.ts";

const LINES = `0.100000 0 reset (function)
0.200000 0 bus master on
0.300000 0 read  LINKS 0x00000000
0.400000 0 read  LINKS 0x00000000
0.500000 0 read  LINKS 0x70000000
0.600000 0 write RDT[3] 0x0000003f
0.700000 1 write CTRL 0x00000004
0.800000 0 interrupt 2
0.900000 0 the client has gone
`;

Deno.test("readTrace() makes a step of each line, and one of reads that find the same value", () => {
  const { begin, steps } = readTrace("t", LINES);
  assertEquals(begin.ports.length, 2);
  assertEquals(steps.map(({ kind, port, title, times }) => [kind, port, title, times]), [
    ["configuration", 0, "reset (function)", undefined],
    ["configuration", 0, "bus master on", undefined],
    ["read", 0, "read LINKS", 2],
    ["read", 0, "read LINKS", undefined],
    ["write", 0, "write RDT[3]", undefined],
    ["write", 1, "write CTRL", undefined],
    ["interrupt", 0, "interrupt of vector 2", undefined],
    ["configuration", 0, "the driver's process has gone", undefined],
  ]);
  assertEquals(steps[3].section, LINKS.section);
  assertEquals(steps[3].why, "0.500000 seconds after the beginning of the trace.");
});

Deno.test("readTrace() keeps the values that were seen last as state", () => {
  const { begin, steps } = readTrace("t", LINES);
  const recording = new Recording(new Layout(begin.sections), begin.state);
  recording.push(...steps);
  const links = () =>
    recording.layout.view(recording.state, registerSection(0))[offsetOf(LINKS) >>> 2];
  recording.moveTo(2);
  assertEquals(links(), 0);
  recording.moveTo(3);
  assertEquals([links(), steps[3].register?.old], [0x70000000, 0]);
});

Deno.test("readTrace() refuses what is no trace, with a sentence that names file and line", () => {
  const refused = (text: string, sentence: RegExp) => {
    const { message } = assertThrows(() => readTrace("linux.trace", text), Error);
    assert(sentence.test(message), message);
  };
  refused("", /^linux\.trace is empty/);
  refused(LINES + "0.4 read\n", /^linux\.trace .*line 10 of the trace is damaged/);
  refused(LINES.replace("LINKS", "LINX"), /line 3 of the trace names a register .* LINX/);
  refused(LINES.replaceAll(" 1 write", " 70 write"), /has a port 70/);
});

Deno.test("readTrace() takes lines that end as on Windows", () => {
  assertEquals(readTrace("t", LINES.replaceAll("\n", "\r\n")).steps, readTrace("t", LINES).steps);
});

Deno.test("openTrace() refuses a file that would stop the page for long", async () => {
  const open = (text: string) => openTrace(new File([text], "long.trace"));
  assertEquals((await open(LINES)).steps.length, 8);
  const refused = () => open(LINES.repeat(10_000_000 / LINES.length + 1));
  await assertRejects(refused, Error, "long.trace has 10 MB, and at most 10 MB can be shown");
});

Deno.test("readTrace() reads a trace of Linux's driver", async () => {
  const text = await Deno.readTextFile(`${PROJECT}tests/explorer/linux_ixgbe.trace`);
  const { steps } = readTrace("linux_ixgbe.trace", text);
  const usage = usageOf(steps, 0);
  assert(usage.some(({ name, writes }) => name === "RDT" && writes > 0));
});

Deno.test("usageOf() counts accesses, and ranks registers by their first writes", () => {
  const { steps } = readTrace("t", LINES);
  const ranks = usageOf(steps, 0).map(({ name, reads, writes, first, firstWrite }) => {
    return [name, reads, writes, first, firstWrite];
  });
  assertEquals(ranks, [
    ["LINKS", 3, 0, 2, undefined],
    ["RDT", 0, 1, 4, { place: 1, step: 4 }],
  ]);
  assertEquals(usageOf(steps, 1).map(({ name }) => name), ["CTRL"]);
});

Deno.test("usageOf() keeps the first values that are written, each once, and the reason", () => {
  const lines = [0, 1, 1, 2, 3, 4, 5, 6, 7, 8].map((value, i) =>
    `0.${i} 0 write RDT[1] 0x0000000${value}\n`
  );
  const [{ written, writes, why }] = usageOf(readTrace("t", lines.join("")).steps, 0);
  assertEquals([writes, why], [10, "0.000000 seconds after the beginning of the trace."]);
  assertEquals(written, [0, 1, 2, 3, 4, 5, 6, 7].map((value) => ({ index: 1, value })));
});

Deno.test("compare() keeps the trace's order, and puts registers of ours after those before them", () => {
  const usage = (...names: string[]) =>
    names.map((name, first) => ({
      ...{ name, reads: 1, writes: 0, first },
      ...{ firstWrite: undefined, written: [], why: undefined },
    }));
  const rows = compare(
    usage("CTRL", "RDT", "EIMS"),
    usage("STATUS", "CTRL", "EEC", "GPIE", "EIMS"),
  );
  assertEquals(rows.map(({ name, theirs, ours }) => [name, theirs?.first, ours?.first]), [
    ["STATUS", undefined, 0],
    ["CTRL", 0, 1],
    ["EEC", undefined, 2],
    ["GPIE", undefined, 3],
    ["RDT", 1, undefined],
    ["EIMS", 2, 4],
  ]);
});
