/** The frames that are sent to the ports: lengths, addresses, checksums. */

import { assertEquals, assertNotEquals } from "@std/assert";
import { buildFrame } from "../../../explorer/recorder/frames.ts";
import { FRAMES } from "../../../explorer/recording/experiment.ts";
import { checksum } from "../../../packets/checksum.ts";

const STATION = Uint8Array.of(2, 0, 0, 0, 5, 0x99);
const LENGTHS = { long: 2100, jumbo: 4608 };

for (const kind of FRAMES) {
  Deno.test(`buildFrame() builds a ${kind} frame with valid checksums`, () => {
    for (const flow of [0, 1, 255, 65_535]) {
      const frame = buildFrame(kind, { station: STATION, flow, ...LENGTHS });
      const ip = kind === "vlan" ? 18 : 14, l4 = ip + 20;
      const sum = checksum(frame, ip, l4);
      if (kind === "damaged") assertNotEquals(sum, 0);
      else assertEquals(sum, 0);
      const ping = frame[ip + 9] === 1;
      const pseudo = ~checksum(frame, ip + 12, l4, frame[ip + 9] + frame.length - l4) & 0xffff;
      assertEquals(checksum(frame, l4, frame.length, ping ? 0 : pseudo), 0);
    }
  });
}

Deno.test("buildFrame() gives frames the lengths of their kinds", () => {
  const length = (kind: typeof FRAMES[number]) => {
    return buildFrame(kind, { station: STATION, flow: 1, ...LENGTHS }).length;
  };
  assertEquals([length("udp"), length("vlan"), length("ping")], [60, 64, 98]);
  assertEquals([length("short"), length("long"), length("jumbo")], [48, 2100, 4608]);
});

Deno.test("buildFrame() gives each flow an address and a port of its own", () => {
  const flows = new Set(Array.from({ length: 500 }, (_, flow) => {
    return buildFrame("udp", { station: STATION, flow, ...LENGTHS }).subarray(26, 38).join();
  }));
  assertEquals(flows.size, 500);
});
