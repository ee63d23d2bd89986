/**
 * What programs print about devices, without devices.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import type { Device } from "../../mod.ts";
import { type Counts, Report } from "../../programs/report.ts";

const DEVICES = ["a", "longer"].map((address) => ({ address })) as unknown as Device[];
const NOTHING = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, missed: 0, errors: 0 };

/** Returns a report on devices whose counts the test sets, and its lines. */
function reportOn(counts: readonly Counts[], options: { json?: boolean; quiet?: boolean } = {}) {
  const lines: string[] = [];
  const state = { counts };
  const report = new Report(
    { json: false, quiet: false, ...options },
    DEVICES,
    () => state.counts,
    (line) => lines.push(line),
  );
  return { report, lines, state };
}

Deno.test("Report.second() prints the rates of that second on the wire, in aligned columns", () => {
  const { report, lines, state } = reportOn([
    { ...NOTHING, rxPackets: 5e6, rxBytes: 300e6, dropped: 0 },
    { ...NOTHING, dropped: 7 },
  ]);
  report.second(report.start + 999);
  assertEquals(lines, []);
  report.second(report.start + 1000.5);
  state.counts = [
    { ...state.counts[0], txPackets: 999, txBytes: 999 * 60, missed: 123456 },
    { ...state.counts[1], dropped: 1007 },
  ];
  report.second(report.start + 2001);
  assertEquals(lines, [
    "a:      rx 5.00 Mpps 3.36 Gbit/s, tx     0 pps     0 bit/s, missed 0, errors 0, dropped 0",
    "longer: rx     0 pps     0 bit/s, tx     0 pps     0 bit/s, missed 0, errors 0, dropped 7",
    "a:      rx     0 pps     0 bit/s, tx   999 pps  671 kbit/s, missed 123456, errors 0, dropped    0",
    "longer: rx     0 pps     0 bit/s, tx     0 pps     0 bit/s, missed      0, errors 0, dropped 1000",
  ]);
});

Deno.test("Report.second() with quiet prints nothing, and counts every ten seconds", () => {
  let counted = 0;
  const report = new Report({ json: false, quiet: true }, DEVICES, () => {
    counted++;
    return [NOTHING, NOTHING];
  }, (line) => assertEquals(line, "nothing"));
  for (let ms = 0; ms < 30_000; ms += 20) report.second(report.start + ms);
  assertEquals(counted, 2);
});

Deno.test("Report.total() prints counts, with mean rates until workEnded()", async () => {
  const counts = [{ ...NOTHING, rxPackets: 3, rxBytes: 180, missed: 12 }, NOTHING];
  const { report, lines } = reportOn(counts, { quiet: true });
  report.second(report.start + 1000);
  report.workEnded();
  await new Promise((resolve) => setTimeout(resolve, 150));
  assertEquals(report.total(), counts);
  assertMatch(lines[0], /^totals after 0\.0 s:$/);
  assertMatch(
    lines[1],
    /^a: {6}received 3 \([0-9.]+ [kM]?pps, [0-9.]+ [kMG]?bit\/s\), sent 0 \(0 pps, 0 bit\/s\), missed 12, errors 0$/,
  );
  assertMatch(
    lines[2],
    /^longer: received +0 \(0 pps, 0 bit\/s\), sent 0 \(0 pps, 0 bit\/s\), missed {2}0, errors 0$/,
  );
  assertEquals(lines.length, 3);
});

Deno.test("Report prints counts since the start with full precision as JSON", () => {
  const counts = [{ ...NOTHING, rxPackets: 1234567 }, { ...NOTHING, own: 1 }];
  const { report, lines } = reportOn(counts, { json: true });
  report.ready();
  report.second(report.start + 1500);
  report.second(report.start + 2600);
  report.total();
  const parsed = lines.map((line) => JSON.parse(line));
  const ports = DEVICES.map(({ address }, i) => ({ address, ...counts[i] }));
  assertEquals(parsed.slice(0, 3), [
    { ready: true },
    { total: false, seconds: 1.5, ports },
    { total: false, seconds: 2.6, ports },
  ]);
  assertEquals([parsed[3].total, parsed[3].ports, parsed.length], [true, ports, 4]);
});
